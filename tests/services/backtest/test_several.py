"""Rules over several devices are replayed as they were judged: by the same groups, with the same alarms."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.telemetry.sqlite import SqliteTelemetry
from services.backtest import BacktestRefused, Focus, Report, RuleResult, Variant, run
from services.backtest.history import SqliteHistory
from services.groups.rule import SITE_RULES
from services.maintenance.desk import MaintenanceDesk
from services.maintenance.planning import Wish
from services.rules.book import RuleBook
from tests.services.backtest.kit import AS_IS, Stored, clock, close, replayed
from tests.stories.site import opened

SITE = """
site: yard
name: {zh: 小院, en: The Yard}
timezone: Asia/Shanghai
buildings:
  - {id: 1, name: {zh: 一号楼, en: House 1}, units: [{id: 1, households: 20}]}
  - {id: 2, name: {zh: 二号楼, en: House 2}, units: [{id: 1, households: 18}]}
devices:
  - {id: gate-1, profile: gate, building: 1}
  - {id: gate-2, profile: gate, building: 1}
  - {id: gate-3, profile: gate, building: 2}
  - {id: pumps-1, profile: pumps, building: 1}
recipients:
  - {id: eng, audience: engineers, channel: webhook, to: "https://e.example/hook", lang: en}
rules:
  - id: doors_open
    name: {zh: 一半门开着, en: Half of the doors open}
    of: {profiles: [gate]}
    per: building
    when: share(device, door == open) >= 50 %
    for: 2m
    clear: {for: 1m}
    severity: major
    ticket: {title: {zh: 看门, en: See to the doors}, trade: access, priority: P2, due: 8h}
  - id: held_somewhere
    name: {zh: 有门未关, en: Some door held}
    of: {profiles: [gate]}
    when: number(device, alarm.held) >= 1
    clear: {for: 1m}
    severity: minor
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Stored]:
    telemetry = SqliteTelemetry(tmp_path / "telemetry.db")
    telemetry.start()
    site = Stored(opened(f"sqlite:///{tmp_path / 'c.db'}"), text=SITE, telemetry=telemetry)
    for gate in ("gate-1", "gate-2", "gate-3"):
        site.keeps_saying(gate, door="closed")
    site.keeps_saying("pumps-1", pressure=0.5)
    # Open from 00:40 for ten minutes, and again for one.
    site.at("00:40").says("gate-1", door="open").at("00:50").says("gate-1", door="closed")
    site.at("01:10").says("gate-1", door="open").at("01:11").says("gate-1", door="closed").at("01:20")
    yield site
    close(site)


def of_site(report: Report, id: str) -> RuleResult:
    return next(one for one in report.rules if (one.profile, one.rule) == (SITE_RULES, id))


def test_they_raise_what_they_raised(site: Stored) -> None:
    found = replayed(site, "00:30", "01:20")
    doors = of_site(found, "doors_open")
    assert (doors.old.alarms, doors.old.tickets, doors.new) == (1, 1, doors.old)
    assert [(one.device, one.name.en) for one in doors.devices] == [("building:yard/1", "House 1")]
    (alarm,) = [one for one in site.alarms(None) if one.rule == "doors_open"]
    assert alarm.cleared_at is not None
    lasted = (alarm.cleared_at - alarm.raised_at).total_seconds()
    assert abs(doors.old.active_seconds - lasted) <= 1
    assert (of_site(found, "held_somewhere").old.alarms, found.differences) == (1, ())


def test_they_follow_the_alarms_that_a_change_moves(site: Stored) -> None:
    calmer = {"rules": {"gate": {"held": {"for": "15m"}}}}
    found = replayed(site, "00:30", "01:20", calmer, Focus("affected"))
    somewhere = of_site(found, "held_somewhere")
    assert (somewhere.changed, somewhere.old.alarms, somewhere.new.alarms) == (True, 1, 0)
    assert "doors_open" not in {one.rule for one in found.rules}, "it looks at no alarm"
    whole = replayed(site, "00:30", "01:20", calmer)
    assert of_site(whole, "held_somewhere").new.alarms == 0
    assert of_site(whole, "doors_open").old == of_site(whole, "doors_open").new
    touched = replayed(site, "00:30", "01:20", {"rules": {"pumps": {"low": {"for": "5m"}}}}, Focus("affected"))
    assert SITE_RULES not in {one.profile for one in touched.rules}


def test_one_is_asked_for_alone(site: Stored) -> None:
    found = replayed(site, "00:30", "01:20", focus=Focus(rule=(SITE_RULES, "doors_open")))
    assert [(one.rule, one.old.alarms) for one in found.rules] == [("doors_open", 1)]
    with pytest.raises(BacktestRefused, match="expected one of: doors_open, held_somewhere"):
        replayed(site, "00:30", "01:20", focus=Focus(rule=(SITE_RULES, "nothing")))


def test_several_processes_keep_the_members_together(site: Stored, tmp_path: Path) -> None:
    assert site.telemetry is not None
    sides = [Variant(site.library, one) for one in (AS_IS, RuleBook())]
    history, where = SqliteHistory(tmp_path / "telemetry.db"), (clock("00:30"), clock("01:20"))
    found = [run(site.database, site.telemetry, "yard", *sides, *where, history=history, processes=n) for n in (1, 2)]
    assert [one.processes for one in found] == [1, 2]
    assert found[0].rules == found[1].rules


def test_members_on_which_people_were_at_work_are_unknown_as_they_were(site: Stored, tmp_path: Path) -> None:
    now = site.clock.now()
    wish = Wish.model_validate(
        {"site": "yard", "title": "Door", "scope": {"devices": ["gate-3"]}, "ends_at": now + timedelta(minutes=15)}
    )
    desk = MaintenanceDesk(
        database=site.database, write=site.intake.change_rules, changes=site.changes, library=site.library
    )
    desk.add(None, wish, by="chen", now=now)
    site.at("01:21").says("gate-3", door="open").at("01:30").says("gate-3", door="closed").at("01:36")
    assert not [one for one in site.alarms(None) if one.device == "building:yard/2"], "the only member there"
    assert site.telemetry is not None
    side, history = Variant(site.library, AS_IS), SqliteHistory(tmp_path / "telemetry.db")
    for processes in (1, 2):
        found = run(
            site.database, site.telemetry, "yard", side, side, clock("01:15"), clock("01:36"),
            history=history, processes=processes,
        )  # fmt: skip
        assert of_site(found, "doors_open").old.alarms == 0
        assert found.agreement is not None and found.agreement.unlike == ()


def test_values_without_history_are_named(site: Stored) -> None:
    notes = {one.code: one.text.en for one in replayed(site, "00:30", "01:20").notes}
    assert "pumps/wet: room" in notes["values_missing"] and "gate/held" not in notes["values_missing"]
    assert "impossible_left_out" in notes
    assert "stored_roughly" not in notes, "no InfluxDB is here"
