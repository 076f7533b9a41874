"""A day of a pump room under other rules: the numbers are those that one counts by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.reading import Quality
from services.backtest import EVERYTHING, Focus, Report, RuleResult, Tally, Variant, run
from services.backtest.change import ChangeMistakes, with_change
from services.backtest.history import SqliteHistory
from services.clock import to_millis
from services.rules.book import RuleBook
from services.tables import notices
from tests.fixtures_influxdb import Influx
from tests.services.backtest.kit import AS_IS, Stored, clock, close, influx_store, replayed, stored
from tests.stories.site import LIBRARY


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Stored]:
    site = stored(tmp_path)
    yield site
    close(site)


def dips(site: Stored, *dips: tuple[str, str]) -> None:
    """The pressure is good, and low from each first time to each second one."""
    site.keeps_saying("pumps", pressure=0.5)
    for begin, end in dips:
        site.at(begin).says("pumps", pressure=0.1)
        site.at(end).says("pumps", pressure=0.5)


def rule(report: Report, id: str) -> RuleResult:
    return next(one for one in report.rules if one.rule == id)


def test_a_longer_delay_leaves_out_the_short_dips(site: Stored) -> None:
    dips(site, ("00:40", "00:43"), ("01:00", "01:02"), ("01:20", "01:32"))
    site.at("02:00")
    found = replayed(site, "00:30", "02:00", {"rules": {"pumps": {"low": {"for": "5m"}}}})
    low = rule(found, "low")
    assert low.changed
    # Raised after 60 s of low pressure, cleared after 30 s of good: 2.5 + 1.5 + 11.5 minutes.
    assert low.old == Tally(alarms=3, tickets=3, notices=low.old.notices, active_seconds=930)
    assert low.new == Tally(alarms=1, tickets=1, notices=low.new.notices, active_seconds=450)
    kinds = [(one.kind, one.either.raised_at) for one in found.differences]
    assert kinds == [
        ("only_old", to_millis(clock("00:41"))),
        ("only_old", to_millis(clock("01:01"))),
        ("moved", to_millis(clock("01:25"))),
    ]


def test_the_rules_that_nobody_touched_are_left_out_or_the_same(site: Stored) -> None:
    dips(site, ("00:40", "00:43"))
    site.at("00:50").says("pumps", room="wet").at("01:00").says("pumps", room="dry").at("01:10")
    calmer = {"rules": {"pumps": {"low": {"for": "5m"}}}}
    every = replayed(site, "00:30", "01:10", calmer)
    wet = rule(every, "wet")
    assert not wet.changed
    assert wet.old == wet.new
    assert wet.old.alarms == 1
    affected = replayed(site, "00:30", "01:10", calmer, Focus("affected"))
    assert [one.rule for one in affected.rules] == ["low"]
    assert affected.differences == every.differences
    alone = replayed(site, "00:30", "01:10", calmer, Focus(rule=("pumps", "low")))
    assert rule(alone, "low") == rule(every, "low")


def test_a_threshold_of_the_site_is_a_change_of_the_rules_that_read_it(site: Stored) -> None:
    dips(site, ("00:40", "00:43"))
    site.at("01:10")
    found = replayed(site, "00:30", "01:10", {"params": {"pumps": {"low": 0.05}}}, Focus("affected"))
    assert [(one.rule, one.old.alarms, one.new.alarms) for one in found.rules] == [("low", 1, 0)]


def test_a_rule_on_trial_is_counted_and_raises_nothing(site: Stored) -> None:
    dips(site, ("00:40", "00:43"))
    site.at("01:10")
    low = rule(replayed(site, "00:30", "01:10", {"rules": {"pumps": {"low": {"mode": "shadow"}}}}), "low")
    assert (low.old.alarms, low.old.tickets, low.old.shadow) == (1, 1, 0)
    assert (low.new.alarms, low.new.tickets, low.new.notices, low.new.shadow) == (0, 0, 0, 1)


def test_notices_are_those_that_the_site_got(site: Stored) -> None:
    dips(site, ("00:40", "00:43"))
    site.at("01:10")
    found = replayed(site, "00:30", "01:10")
    with site.database.read() as connection:
        sent = connection.scalars(select(notices.c.subject_kind)).all()
    assert found.old.notices == sum(1 for kind in sent if kind in ("alarm", "ticket")) > 0
    assert found.old_outage_notices == sum(1 for kind in sent if kind == "outage")


def test_what_began_before_is_carried_and_not_counted(site: Stored) -> None:
    dips(site, ("00:40", "01:20"))
    site.at("01:30")
    low = rule(replayed(site, "00:50", "01:00"), "low")
    assert (low.old.alarms, low.old.active_seconds, low.old.going_on) == (0, 600, 1)


def test_late_readings_raise_nothing(site: Stored) -> None:
    site.keeps_saying("pumps", pressure=0.5).at("00:40")
    then = clock("00:10")
    low = [
        site.reading("pumps", "", {"pressure": 0.1}, at=then + timedelta(seconds=20 * n), quality=Quality.LATE)
        for n in range(20)
    ]
    site.deliver(*low).at("01:00")
    found = replayed(site, "00:05", "01:00")
    assert found.old.alarms == 0
    assert found.readings > 300


def test_a_silence_is_judged_and_said_to_be_all_that_is_known(site: Stored) -> None:
    site.keeps_saying("pumps", pressure=0.5).at("00:40").falls_silent("pumps").at("01:00")
    found = replayed(site, "00:30", "01:00")
    assert rule(found, "gone").old.alarms == 1
    assert {"raw_only", "gateway_unknown", "presence_by_silence", "people_as_they_were"} <= {
        note.code for note in found.notes
    }


def test_no_history_is_said(site: Stored) -> None:
    found = replayed(site, "00:30", "01:00", {"rules": {"pumps": {"low": {"for": "5m"}}}})
    assert (found.readings, found.old.alarms) == (0, 0)
    assert "no_history" in {note.code for note in found.notes}


def test_several_processes_find_what_one_does(site: Stored, tmp_path: Path) -> None:
    dips(site, ("00:40", "00:43"), ("01:00", "01:12"))
    site.keeps_saying("gate-1", door="open").at("01:20")
    book = RuleBook.model_validate({"rules": {"pumps": {"low": {"for": "5m"}}, "gate": {"held": {"for": "30s"}}}})
    sides = [Variant(site.library, one) for one in (AS_IS, book)]
    assert site.telemetry is not None
    history, where = SqliteHistory(tmp_path / "telemetry.db"), (clock("00:30"), clock("01:20"))
    found = [run(site.database, site.telemetry, "yard", *sides, *where, history=history, processes=n) for n in (1, 2)]
    assert [one.processes for one in found] == [1, 2]
    assert found[0].differences == found[1].differences != ()
    assert (found[0].rules, found[0].readings) == (found[1].rules, found[1].readings)


@pytest.mark.influxdb
def test_influxdb_tells_the_same_story(tmp_path: Path) -> None:
    with Influx(tmp_path / "influx") as influx, ExitStack() as stack:
        store = influx_store(stack, tmp_path, influx.url)
        site = stored(tmp_path, store)
        stack.callback(site.database.close)
        dips(site, ("00:40", "00:43"), ("01:00", "01:02"), ("01:20", "01:32"))
        site.at("02:00")
        for focus in (EVERYTHING, Focus("affected")):
            found = replayed(site, "00:30", "02:00", {"rules": {"pumps": {"low": {"for": "5m"}}}}, focus)
            low = rule(found, "low")
            assert (low.old.alarms, low.old.active_seconds) == (3, 930)
            assert (low.new.alarms, low.new.active_seconds) == (1, 450)


# --- the change as people write it ----------------------------------------


def tried(text: str, key: tuple[str, str] | None = None) -> Variant:
    live = Variant(LIBRARY, RuleBook.model_validate({"rules": {"pumps": {"low": {"severity": "major"}}}}))
    return with_change(live, text, name="c.yaml", rule=key, devices={"pumps": "pumps", "gate-1": "gate"})


def test_a_change_is_laid_over_what_is_live() -> None:
    book = tried("rules: {pumps: {low: {for: 5m}}}").book
    assert book.rules["pumps"]["low"].severity == "major"
    assert book.rules["pumps"]["low"].for_ == timedelta(minutes=5)
    assert tried("for: 5m", ("pumps", "low")).book == book


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules:\n  pumps:\n    low:\n      fro: 5m\n", r"c\.yaml:4: rules\.pumps\.low\.fro"),
        ("rules:\n  pumps:\n    low:\n      for: soon\n", r"c\.yaml:4: .*expected a duration"),
        ("rules:\n  pumps:\n    low:\n      for: 5m\n    lw: {for: 1m}\n", r"c\.yaml:5: pumps/lw: no such rule"),
        ("rules:\n  pumps:\n    low: {when: presure < 1}\n", r"c\.yaml:3: pumps/low: .*did you mean pressure"),
        ("rules: {\n", r"c\.yaml:\d+: found"),
        ("for: 5m\n", r"c\.yaml:1: found 'for', expected rules:"),
    ],
)
def test_a_mistake_has_its_line(text: str, said: str) -> None:
    with pytest.raises(ChangeMistakes) as caught:
        tried(text)
    assert re.search(said, str(caught.value)), str(caught.value)
