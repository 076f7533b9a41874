"""How Courtyard itself fares: what fails is said in words, at the right place, with what to do."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, update

import services.bootstrap
from gateway import metrics as gateway
from gateway.measure import Sample, Timing
from services.accounts import desk
from services.accounts.policy import Grant, Role
from services.clock import to_millis
from services.metrics import parts, process, state
from services.retention import retention_chores
from services.sites.store import GatewayRow
from services.tables import gateways
from services.ticker import Chore, Ticker
from services.web.pages.render import translations
from services.web.views import fares
from services.web.views.fares import BROKEN, FINE, NOTED, WATCH, Figures, Line
from tests.services.web.world import StoppedClock
from tests.web.conftest import Courtyard
from tests.web.seed import PASSWORD, SITE

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
YARD = GatewayRow(
    id="yard",
    cursor=7,
    progress_at=NOW,
    heard_at=NOW - timedelta(seconds=2),
    status={"connected": True, "journal_bytes": 10, "journal_max_bytes": 1000, "messages_per_second": 38.4},
)


def lines(*samples: Sample, gateways: tuple[GatewayRow, ...] = (), language: str = "en", **more: str) -> list[Line]:
    t = translations()["zh" if language == "zh" else "en"]
    found = fares.sections(Figures(samples), gateways, NOW, t, silent_after=60, **more)
    return [line for section in found for line in section.lines]


def only(*samples: Sample, gateways: tuple[GatewayRow, ...] = (), **more: str) -> Line:
    (line,) = lines(*samples, gateways=gateways, **more)
    return line


def test_a_gateway_that_speaks_is_fine() -> None:
    line = only(gateways=(YARD,))
    assert (line.mark, line.what, line.todo) == (FINE, "yard", "")
    assert line.figures[:3] == ("heard 2 s ago", "38.4 messages per second", "journal 1% full")


@pytest.mark.parametrize(
    ("change", "mark", "todo"),
    [
        ({"heard_at": NOW - timedelta(minutes=5)}, BROKEN, "not heard"),
        ({"status": {"connected": False, "last_error": "no route"}}, BROKEN, "no broker"),
        ({"status": {"connected": True, "journal_bytes": 9, "journal_max_bytes": 10}}, BROKEN, "nearly full"),
        ({"status": {"connected": True, "oldest_entry_at": to_millis(NOW - timedelta(hours=1))}}, WATCH, "old"),
    ],
)
def test_a_gateway_that_fails_says_what_to_look_at(change: dict[str, object], mark: object, todo: str) -> None:
    line = only(gateways=(replace(YARD, **change),))  # type: ignore[arg-type]
    assert line.mark == mark
    assert todo in line.todo


def sink(failing: int, age: float, *, waiting: int = 0, shed: int = 0) -> tuple[Sample, ...]:
    at = ("services", "telemetry")
    return (
        gateway.SINK_FAILING.at(failing, *at),
        gateway.SINK_FAILURES.at(3 * failing, *at),
        gateway.BACKLOG_ENTRIES.at(waiting, *at),
        gateway.BACKLOG_AGE.at(age, *at),
        gateway.SHED.at(shed, *at),
    )


def test_what_cannot_be_handed_over_is_broken_with_the_reason_and_what_waits() -> None:
    line = only(*sink(1, 90, waiting=1200), telemetry_error="InfluxDB does not answer")
    assert line.mark == BROKEN
    assert line.figures == ("1,200 wait, the oldest 1 min", "3 failures since the start")
    assert line.error == "InfluxDB does not answer"
    assert only(*sink(0, 400, waiting=5)).mark == WATCH
    assert only(*sink(0, 0, shed=4)).mark == NOTED
    assert only(*sink(0, 0)).mark == FINE


def test_time_that_stands_still_is_broken() -> None:
    def tick(seconds_ago: float, took: float) -> Line:
        timing = Timing()
        timing.note(took)
        done = parts.CHORE_DONE.at(NOW.timestamp() - seconds_ago, "tick")
        return lines(done, parts.TICK_SECONDS.at(timing.read()))[0]

    assert tick(1, 0.002).mark == FINE
    assert tick(1, 0.9).mark == WATCH
    assert tick(90, 0.002).mark == BROKEN
    assert tick(90, 0.002).figures == ("last 1 min ago",)


def test_notices_that_wait_or_failed_lead_to_their_list() -> None:
    def outbox(queued: int, oldest: float, failed: int) -> Line:
        return only(
            state.QUEUED.at(queued, "email"), state.OLDEST.at(oldest, "email"), state.FAILED.at(failed, "email")
        )

    assert outbox(0, 0, 0).mark == FINE
    assert outbox(2, 1000, 0).mark == BROKEN
    assert outbox(2, 300, 0).mark == WATCH
    noted = outbox(0, 0, 4)
    assert (noted.mark, noted.href, noted.figures[1]) == (NOTED, "/notices?state=failed", "4 not delivered")


def test_a_disk_that_fills_is_said_before_it_is_full() -> None:
    def disk(free: float) -> Line:
        return only(process.DISK_FREE.at(free * 1e12), process.DISK_SIZE.at(1e12))

    assert [disk(free).mark for free in (0.5, 0.05, 0.01)] == [FINE, WATCH, BROKEN]
    assert "no message is taken" in disk(0.01).todo


def test_a_failure_that_is_over_is_noted_and_stays_to_be_seen() -> None:
    ticker = Ticker(StoppedClock(), [Chore("notices retention", timedelta(hours=1), lambda _: None, failures=2)])
    ticker.chores[0].run_if_due(NOW)
    line = only(*parts.of_ticker(ticker)())
    assert (line.mark, line.what) == (NOTED, "Forgetting old notices")
    assert line.figures == ("done 0 s ago", "2 failures since the start")


def test_one_is_said_as_one() -> None:
    t = translations()["en"]
    assert fares._failures(1, t) == "1 failure since the start"
    assert fares._given_up(1, t) == "1 reading given up" and fares._given_up(1200, t) == "1,200 readings given up"
    assert fares._waiting(1, 60, t) == "1 waits, for 1 min"


def test_the_page_is_for_engineers_of_every_site(standing: Courtyard) -> None:
    page = standing.client("chen.yu").get("/health")
    assert page.status_code == 200
    assert "How Courtyard fares" in page.text
    for part in ("Gateways", "Machine and database", "Fine"):
        assert part in page.text
    assert standing.client("li.wei").get("/health").status_code == 403
    chinese = standing.client("chen.yu", "zh-CN").get("/health").text
    assert "Courtyard 自身状况" in chinese
    assert "磁盘" in chinese


def test_a_gateway_that_is_gone_is_forgotten_by_an_admin_of_every_site(courtyard: Courtyard) -> None:
    now = datetime.now(UTC)
    row = {"id": "old <1>", "cursor": 3, "heard_at": now - timedelta(days=2), "status": {}}
    with courtyard.context.database.write() as connection:
        connection.execute(insert(gateways), [row])
    courtyard.context.intake.reload()
    wu_min = desk.add_person(
        courtyard.context.database,
        login="wu.min",
        password=PASSWORD,
        grants=[Grant("*", Role.ENGINEER)],
        now=now,
        who=None,
    )
    courtyard.people["wu.min"] = wu_min.id
    engineer, admin = courtyard.client("wu.min"), courtyard.client("chen.yu")
    assert "Forget it" not in engineer.get("/health").text
    with courtyard.context.database.write() as connection:
        # It speaks throughout, however long this takes.
        speaking = update(gateways).where(gateways.c.id == "gateway-1")
        connection.execute(speaking.values(heard_at=now + timedelta(hours=1)))
    page = admin.get("/health").text
    assert "Gateway old &lt;1&gt;" in page and 'action="/health/gateways/old%20%3C1%3E/forget"' in page
    assert engineer.post("/health/gateways/old%20%3C1%3E/forget").status_code == 403
    assert admin.post("/health/gateways/gateway-1/forget").status_code == 409, "it speaks"
    assert admin.post("/health/gateways/old%20%3C1%3E/forget").status_code == 303
    assert "old &lt;1&gt;" not in admin.get("/health").text
    gone = admin.delete("/api/v1/gateways/old%20%3C1%3E")
    assert (gone.status_code, gone.json()["type"]) == (404, "not-found")
    speaks = admin.delete("/api/v1/gateways/gateway-1").json()
    assert speaks["type"] == "conflict" and "expected it to be silent for more than 60 s" in speaks["detail"]


def test_the_board_leads_there_who_may_see_it(standing: Courtyard) -> None:
    assert 'href="/health"' in standing.client("chen.yu").get("/").text
    of_one_site = desk.add_person(
        standing.context.database,
        login="wu.min",
        password=PASSWORD,
        grants=[Grant(SITE, Role.ENGINEER)],
        now=datetime.now(UTC),
        who=None,
    )
    standing.people["wu.min"] = of_one_site.id
    board = standing.client("wu.min").get("/")
    assert board.status_code == 200
    assert 'href="/health"' not in board.text


def test_every_chore_of_the_product_has_a_name_in_both_languages(standing: Courtyard) -> None:
    folder = Path(services.bootstrap.__file__).parent
    source = "".join(path.read_text() for path in folder.glob("*.py"))
    forgotten = {one.name for one in retention_chores(standing.context.database, standing.context.settings)}
    assert {*re.findall(r'Chore\("([^"]+)"', source), *forgotten} == set(fares._CHORES)
