"""Every failure has a number: what parts count arrives at the page that Prometheus reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError, OperationalError

from gateway.measure import Distribution, Metric, Timing
from services import tables as t
from services.database import Database, metadata
from services.metrics import Metrics, parts, state
from services.metrics.calm import of_decisions
from services.metrics.exposition import exposed
from services.ticker import Chore, Ticker
from tests.services.metrics.kit import read, read_strictly, value
from tests.services.web.world import NOW, StoppedClock, World
from tests.stories.site import Story, opened

LATER = NOW + timedelta(days=300)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def shown(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    body, _ = exposed(metrics, "")
    return read(body.decode())


def test_a_histogram_says_how_many_took_how_long() -> None:
    timing = Timing((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        timing.note(seconds)
    assert timing.read() == Distribution((0.1, 1.0), (2, 1, 1), pytest.approx(7.65))
    metrics = Metrics()
    metric = Metric("courtyard_x_seconds", "histogram", "X.")
    metrics.watch("x", lambda: [metric.at(timing.read())])
    series = shown(metrics)
    assert [value(series, "courtyard_x_seconds_bucket", le=le) for le in ("0.1", "1.0", "+Inf")] == [2, 3, 4]
    assert value(series, "courtyard_x_seconds_count") == 4


def test_a_label_without_its_value_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match=r"has the labels \('code',\), found \(\)"):
        Metric("courtyard_x_total", "counter", "X.", ("code",)).at(1)


def test_a_part_that_fails_hides_no_other_and_is_counted() -> None:
    metrics = Metrics()
    metric = Metric("courtyard_x", "gauge", "X.")
    metrics.watch("broken", lambda: [metric.at(1 // 0)])
    metrics.watch("fine", lambda: [metric.at(7)])
    shown(metrics)
    series = shown(metrics)
    assert value(series, "courtyard_x") == 7
    assert value(series, "courtyard_scrape_failures_total", part="broken") == 2
    assert value(series, "courtyard_scrape_failures_total", part="fine") == 0


def test_two_products_in_one_process_do_not_count_each_other() -> None:
    one, other = Metrics(), Metrics()
    metric = Metric("courtyard_x", "gauge", "X.")
    one.watch("x", lambda: [metric.at(1)])
    other.watch("x", lambda: [metric.at(2)])
    assert value(shown(one), "courtyard_x") == 1
    assert value(shown(other), "courtyard_x") == 2


def test_a_chore_that_fails_shows_its_failures_and_when_it_last_was_done() -> None:
    broken = Event()

    def work(_: datetime) -> None:
        if broken.is_set():
            raise RuntimeError("no")

    ticker = Ticker(StoppedClock(), [Chore("tick", timedelta(seconds=1), work)])
    metrics = Metrics()
    metrics.watch("chores", parts.of_ticker(ticker))
    ticker.chores[0].run_if_due(NOON)
    broken.set()
    for seconds in (1, 2):
        ticker.chores[0].run_if_due(NOON + timedelta(seconds=seconds))
    series = shown(metrics)
    assert value(series, "courtyard_chore_runs_total", chore="tick") == 3
    assert value(series, "courtyard_chore_failures_total", chore="tick") == 2
    assert value(series, "courtyard_chore_last_success_timestamp_seconds", chore="tick") == NOON.timestamp()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database.sqlite(tmp_path / "courtyard.db")
    made.start()
    metadata.create_all(made.engine)
    return made


def test_what_the_database_refuses_is_counted_by_kind(database: Database) -> None:
    row = {"id": "a", "name_zh": "a", "name_en": "a", "timezone": "UTC", "updated_at": NOW}
    with database.write() as connection:
        connection.execute(insert(t.sites), row)
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(insert(t.sites), row)
    with pytest.raises(OperationalError), database.read() as connection:
        connection.execute(text("SELECT * FROM nowhere"))
    assert dict(database.errors) == {"integrity": 1, "operational": 1}
    database.close()


def test_a_database_that_is_away_is_said_and_hides_nothing_else(database: Database, tmp_path: Path) -> None:
    metrics, clock = Metrics(), StoppedClock()
    metrics.watch("state", state.of_state(database, clock))
    assert value(shown(metrics), "courtyard_database_up") == 1
    database.close()
    (tmp_path / "courtyard.db").unlink()
    gone = Database.sqlite(tmp_path / "no folder" / "courtyard.db")
    gone.start()
    metrics.watch("state", state.of_state(gone, clock))
    series = shown(metrics)
    assert value(series, "courtyard_database_up") == 0
    assert value(series, "courtyard_database_errors_total", kind="operational") >= 1
    assert value(series, "courtyard_scrape_failures_total", part="state") == 0
    gone.close()


def test_a_database_that_hangs_holds_up_one_scrape_only(database: Database) -> None:
    figures = state.StateFigures(database, StoppedClock())
    entered, leave = Event(), Event()

    class HangingClock:
        def now(self) -> datetime:
            entered.set()
            leave.wait(100)
            return NOW

    figures._clock = HangingClock()
    first = Thread(target=lambda: list(figures()))
    first.start()
    assert entered.wait(60)
    up = [sample.value for sample in figures() if sample.metric is state.DATABASE_UP]
    leave.set()
    first.join(60)
    assert up == [0]
    database.close()


def test_what_stands_in_the_database_is_what_is_shown(world: World) -> None:
    world.clock.go(minutes=20)
    with world.context.database.write() as connection:
        connection.execute(t.alarms.update().values(state="active"))
        connection.execute(t.outages.update().values(state="ongoing"))
        late = NOW + timedelta(minutes=5)
        connection.execute(t.tickets.update().where(t.tickets.c.site == "east").values(due_at=late))
        connection.execute(
            t.gateways.insert(),
            {
                "id": "yard",
                "heard_at": NOW,
                "status": {
                    "connected": False,
                    "journal_bytes": 900,
                    "journal_max_bytes": 1000,
                    "oldest_entry_at": int((NOW - timedelta(seconds=90)).timestamp() * 1000),
                    "shed": 4,
                },
            },
        )
    metrics = Metrics()
    metrics.watch("state", state.of_state(world.context.database, world.clock))
    series = shown(metrics)
    assert value(series, "courtyard_alarms_active", severity="major") == 2
    assert value(series, "courtyard_alarms_active", severity="critical") == 0
    assert value(series, "courtyard_tickets_open", priority="P2") == 2
    assert value(series, "courtyard_tickets_overdue") == 1
    assert value(series, "courtyard_outages_ongoing", loss="full") == 2
    assert value(series, "courtyard_gateway_silent_seconds", gateway="yard") == 1200
    assert value(series, "courtyard_gateway_broker_connected", gateway="yard") == 0
    assert value(series, "courtyard_gateway_backlog_seconds", gateway="yard") == 90
    assert value(series, "courtyard_gateway_journal_ratio", gateway="yard") == 0.9
    assert value(series, "courtyard_gateway_shed_readings_total", gateway="yard") == 4


def test_what_is_held_back_is_counted_by_what_keeps_it(world: World) -> None:
    """Each alarm once, and every decision by its reason."""
    by_cause, at_work = ({"kind": kind, "id": "1", "since": 1} for kind in ("cause", "maintenance"))
    states: list[dict[str, Any]] = [
        {"state": "suppressed", "suppressed_by": by_cause},
        {"state": "suppressed", "suppressed_by": at_work, "snoozed_until": LATER},
        {"state": "active", "parent": "a9", "snoozed_until": LATER},
        {"state": "active", "snoozed_until": LATER},
        {"state": "active", "snoozed_until": NOW - timedelta(days=1)},
        {"state": "cleared", "parent": "a9"},
    ]
    with world.context.database.write() as connection:
        row: dict[str, Any] = {**connection.execute(t.alarms.select().limit(1)).mappings().one()}
        connection.execute(t.alarms.update().values(state="cleared"))
        for n, state_ in enumerate(states):
            connection.execute(t.alarms.insert(), {**row, "id": f"held{n}", "child": f"c{n}", **state_})
    metrics = Metrics()
    metrics.watch("state", state.of_state(world.context.database, world.clock))
    series = shown(metrics)
    for why in ("cause", "maintenance", "storm", "snooze"):
        assert value(series, "courtyard_alarms_held_back", why=why) == 1


def test_decisions_are_counted_by_their_reason(tmp_path: Path) -> None:
    site = Story(opened(f"sqlite:///{tmp_path / 'c.db'}"))
    site.keeps_saying("pumps", pressure=0.2, room="wet").at("00:02").says("pumps", room="dry", pressure=0.2)
    metrics = Metrics()
    metrics.watch("decisions", of_decisions(site.intake))
    series = shown(metrics)
    assert value(series, "courtyard_alarm_decisions_total", kind="raised", why="condition_held") == 2
    assert value(series, "courtyard_alarm_decisions_total", kind="cleared", why="") == 1
    assert value(series, "courtyard_alarm_decisions_total", kind="suppressed", why="cause") == 0
    site.database.close()


def test_notices_that_wait_or_failed_are_shown_by_channel(world: World) -> None:
    notice = {
        "site": "east",
        "recipient": "r",
        "target": "x@example.org",
        "subject_kind": "alarm",
        "subject_id": "a",
        "event": "raised",
        "title": "t",
        "body": "b",
        "data": {},
        "created_at": NOW,
    }
    with world.context.database.write() as connection:
        connection.execute(t.notices.delete())
        for number, (channel, notice_state) in enumerate(
            (("email", "queued"), ("email", "queued"), ("webhook", "failed"))
        ):
            connection.execute(
                t.notices.insert(),
                {**notice, "id": f"n{number}", "key": f"k{number}", "channel": channel, "state": notice_state},
            )
    world.clock.go(seconds=45)
    metrics = Metrics()
    metrics.watch("state", state.of_state(world.context.database, world.clock))
    series = shown(metrics)
    assert value(series, "courtyard_outbox_queued", channel="email") == 2
    assert value(series, "courtyard_outbox_oldest_seconds", channel="email") == 45
    assert value(series, "courtyard_outbox_oldest_seconds", channel="webhook") == 0
    assert value(series, "courtyard_outbox_failed", channel="webhook") == 1


def test_who_accepts_openmetrics_gets_it_whole(world: World) -> None:
    body, media_type = exposed(world.context.metrics, "application/openmetrics-text; version=1.0.0")
    assert media_type.startswith("application/openmetrics-text")
    read_strictly(body.decode())
