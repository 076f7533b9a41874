"""A backtest of the rules that were live finds what really happened: alarms, tickets and notices are those of the
database, through gaps of the gateway, events, what people said, and maintenance windows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from shutil import copytree

import pytest
from sqlalchemy import delete, func, select

from gateway.reading import Event
from gateway.telemetry.sqlite import SqliteTelemetry
from services.backtest import EVERYTHING, Focus, Report, Variant, run
from services.backtest.report import Agreement
from services.maintenance.desk import MaintenanceDesk
from services.maintenance.planning import Wish
from services.rules import book_store
from services.rules.book import RuleBook
from services.rules.desk import AlarmDesk
from services.scope import EVERYWHERE
from services.tables import alarm_events, alarms, gateway_gaps, notices, tickets
from tests.services.backtest.kit import AS_IS, Stored, close
from tests.stories.site import GATE, MIDNIGHT, PUMPS, YARD, opened, profile

CHIEFS = """
  - {id: lead, audience: engineers, channel: webhook, to: "https://e.example/lead", lang: en, step: 1}
"""
SITE = YARD + CHIEFS
KNOCKS = """
  - id: knocks
    name: {zh: 敲门, en: Knocked at}
    when: count(knock, 10m) >= 3
    clear: {for: 0s}
    severity: major
    source: {kind: judgement}
    ticket: look
events:
  knock: {name: {zh: 敲门, en: Knock}}
tickets:"""
LIBRARY = {one.id: one for one in (profile(PUMPS), profile(GATE.replace("\ntickets:", KNOCKS, 1)))}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime]:
    """A site with a morning behind it, and when that ended."""
    folder = tmp_path_factory.mktemp("lived")
    site = yard(folder)
    a_long_morning(site)
    gaps(site)
    close(site)
    return folder, site.clock.time


@pytest.fixture
def site(lived: tuple[Path, datetime], tmp_path: Path) -> Iterator[Stored]:
    """That site, to be changed."""
    copytree(lived[0], tmp_path, dirs_exist_ok=True)
    telemetry = SqliteTelemetry(tmp_path / "telemetry.db")
    telemetry.start()
    found = Stored(opened(f"sqlite:///{tmp_path / 'c.db'}"), text=SITE, library=dict(LIBRARY), telemetry=telemetry)
    found.clock.time = lived[1]
    yield found
    close(found)


def yard(folder: Path) -> Stored:
    telemetry = SqliteTelemetry(folder / "telemetry.db")
    telemetry.start()
    found = Stored(opened(f"sqlite:///{folder / 'c.db'}"), text=SITE, library=dict(LIBRARY), telemetry=telemetry)
    found.keeps_saying("pumps", pressure=0.5).keeps_saying("pumps", "pump:1", run="running")
    return found.keeps_saying("gate-1", door="closed").at("00:20")


HOURS = timedelta(hours=2)


def people(site: Stored) -> AlarmDesk:
    return AlarmDesk(database=site.database, intake=site.intake, clock=site.clock)


def the_alarm(site: Stored, rule: str) -> str:
    [found] = [one.id for one in site.alarms() if one.rule == rule]
    return found


def work_on(site: Stored, minutes: int) -> None:
    """People begin to work on the pumps."""
    desk = MaintenanceDesk(
        database=site.database, write=site.intake.change_rules, changes=site.changes, library=site.library
    )
    now = site.clock.now()
    wish = Wish.model_validate(
        {"site": "yard", "title": "pumps", "scope": {"devices": ["pumps"]}, "ends_at": now + timedelta(minutes=minutes)}
    )
    desk.add(EVERYWHERE, wish, by="chen", now=now)


def a_long_morning(site: Stored) -> None:
    """Everything that makes an alarm other than its condition."""
    site.says("pumps", pressure=0.1).at("00:30")
    people(site).acknowledge(EVERYWHERE, the_alarm(site, "low"), by="li")  # in time: nobody else is told
    site.at("00:55").says("pumps", pressure=0.5).at("01:00")
    site.says("pumps", pressure=0.1).at("01:20")  # nobody acknowledges: the lead is told
    site.says("pumps", pressure=0.5).at("01:25")
    site.says("pumps", "pump:1", run="fault").at("01:30")
    snoozed = people(site).snooze(EVERYWHERE, the_alarm(site, "pump_fault"), until=site.clock.now() + HOURS, by="li")
    assert snoozed.snoozed_until is not None
    site.at("02:50").says("pumps", "pump:1", run="running").at("02:55")
    for minute in (55, 56, 58):
        site.at(f"02:{minute}").deliver(site.reading("gate-1", profile="gate", events=(Event("knock"),)))
    site.at("03:10")
    work_on(site, 15)
    site.at("03:12").says("pumps", "pump:1", run="fault").at("03:35")  # raised at the end of the window
    site.says("pumps", "pump:1", run="running").at("03:40")


def gaps(site: Stored) -> None:
    """The broker is gone with the pressure low for half of its time; then the gateway; then the line to it."""
    site.says("pumps", pressure=0.1).at("03:40:30").loses_broker()
    said, site.said = site.said, {}
    site.at("03:50").finds_broker()
    site.said = said
    site.at("03:56").says("pumps", pressure=0.5).at("04:00")
    stop(site, "04:20")
    site.at("04:30").falls_silent("gate-1").at("04:35")
    site.keeps_saying("gate-1", door="closed").at("04:36").loses_uplink()
    site.says("pumps", pressure=0.1).at("05:00").finds_uplink().at("05:20").says("pumps", pressure=0.5).at("05:25")


def stop(site: Stored, until: str) -> None:
    """The gateway is off: nothing is heard, and time passes for services alone."""
    hours, minutes = map(int, until.split(":"))
    while site.clock.time < MIDNIGHT + timedelta(hours=hours, minutes=minutes):
        site.clock.time += timedelta(seconds=10)
        site.intake.tick(site.clock.time)


def replayed(site: Stored, begin: datetime, end: datetime, book: RuleBook = AS_IS, focus: Focus = EVERYTHING) -> Report:
    old, new = Variant(site.library, AS_IS), Variant(site.library, book)
    assert site.telemetry is not None
    return run(site.database, site.telemetry, "yard", old, new, begin, end, focus=focus)


def agreed(report: Report) -> Agreement:
    assert report.agreement is not None
    return report.agreement


def test_what_was_live_is_found_again(site: Stored) -> None:
    report = replayed(site, MIDNIGHT + timedelta(minutes=15), site.clock.now())
    found = agreed(report)
    assert found.unlike == (), "\n".join(map(str, found.unlike))
    assert (report.old.alarms, report.old.tickets, report.old.notices) == counted(site)
    assert report.old_outage_notices == found.outage_notices > 0
    assert (found.actual.alarms, found.actual.tickets, found.actual.notices) == counted(site)
    rules = {one.rule: one.actual.alarms for one in report.rules if one.actual.alarms}
    assert rules == {"low": 4, "pump_fault": 2, "knocks": 1, "broker_down": 1, "uplink_cut": 2}


def counted(site: Stored) -> tuple[int, int, int]:
    with site.database.read() as connection:
        count = [connection.scalar(select(func.count()).select_from(table)) or 0 for table in (alarms, tickets)]
        told = connection.scalar(select(func.count()).where(notices.c.subject_kind != "outage")) or 0
    return count[0], count[1], told


def test_without_the_record_of_the_gap_it_would_not_be_and_says_why(site: Stored) -> None:
    """The kinds of gaps are what makes the two agree."""
    with site.database.write() as connection:
        kinds = connection.scalars(select(gateway_gaps.c.kind).order_by(gateway_gaps.c.begins_at)).all()
        connection.execute(delete(gateway_gaps))
    assert kinds == ["broker", "gateway", "uplink"]
    found = agreed(replayed(site, MIDNIGHT + timedelta(hours=3), site.clock.now()))
    assert {one.either.rule for one in found.unlike} >= {"broker_down", "gone"}


def test_what_was_said_and_is_forgotten_is_named(site: Stored) -> None:
    with site.database.write() as connection:
        connection.execute(delete(alarm_events))
    found = agreed(replayed(site, MIDNIGHT + timedelta(minutes=15), site.clock.now()))
    low = next(one for one in found.unlike if one.either.rule == "low")
    assert low.actual is not None and low.replayed is not None
    assert low.replayed.notices > low.actual.notices
    assert "decisions_gone" in low.why


def test_a_book_that_has_changed_since_is_named(site: Stored) -> None:
    book = RuleBook.model_validate({"rules": {"pumps": {"low": {"for": "5m"}}}})
    with site.database.write() as connection:
        book_store.append(
            connection, site="yard", began_with=0, content=book_store.content_of(book), who="li", note="", preview=None,
            now=site.clock.now(),
        )  # fmt: skip
    assert site.telemetry is not None
    now = Variant(site.library, book)
    report = run(site.database, site.telemetry, "yard", now, now, MIDNIGHT, MIDNIGHT + HOURS)
    one, other = agreed(report).unlike
    assert [(each.kind, each.either.rule) for each in (one, other)] == [("moved", "low")] * 2
    assert one.actual is not None and one.replayed is not None
    assert one.replayed.raised_at - one.actual.raised_at == 4 * 60_000
    assert "book_changed" in one.why
    assert agreed(report).unexplained == 0
