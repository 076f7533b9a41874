"""Rules and calm under attack: what must not keep an alarm from those who wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from time import thread_time
from typing import Any

import pytest

from gateway.reading import Presence
from services.changes import Changes
from services.maintenance.desk import MaintenanceDesk
from services.maintenance.planning import Wish
from services.rulebook.desk import RuleBookDesk, Shipping
from services.rules.book import RuleBook
from services.rules.desk import AlarmDesk
from services.rules.trial_store import expire
from services.scope import EVERYWHERE
from services.sites.mistakes import SiteMistakes
from services.tables import alarm_events, shadow_episodes, ticket_events
from tests.timeline import Timeline

HEATER = """
profile: heater
family: heater
name: {zh: 加热器, en: Heater}
metrics:
  temp: {name: {zh: 温度, en: Temperature}, uom: Cel}
  gas: {name: {zh: 燃气, en: Gas}, uom: "%"}
availability: {period: 1h, event_driven: true}
bindings: [{id: t, topic: "h/{address}", decode: [{json: true}], fields: {temp: v, gas: g}}]
rules:
  - id: hot
    name: {zh: 过热, en: Too hot}
    when: temp > 50 Cel
    for: 30s
    clear: {for: 0s}
    severity: minor
    grades: [{severity: critical, when: temp > 80 Cel}]
    source: {kind: judgement}
    ticket: look
  - id: gas
    name: {zh: 燃气, en: Gas}
    when: gas > 5 %
    clear: {for: 0s}
    severity: critical
    source: {kind: judgement}
    ticket: look
tickets: {look: {title: {zh: 查看, en: Look}, trade: general, priority: P2, due: 4h}}
"""
Build = Callable[..., Timeline]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    made: list[Timeline] = []

    def build(*, heaters: int = 1, **more: Any) -> Timeline:
        devices = {f"h{number}": "heater" for number in range(heaters)}
        made.append(Timeline(tmp_path, HEATER, devices=devices, **more))
        return made[-1]

    yield build
    for one in made:
        one.close()


def test_one_reading_raises_gas_beside_an_alarm_that_has_grown_worse_at_once(build: Build) -> None:
    """The minute of silence lets the delay of `hot` run out, and the message that ends it finds it critical already;
    the rows of the two alarms do not name the same columns."""
    site = build().at("00:01").reading("h0", temp=60.0)
    site.clock.time += timedelta(minutes=1)
    site.reading("h0", temp=90.0, gas=9.0)
    site.expect_alarm("h0", "hot", severity="critical").expect_alarm("h0", "gas").expect_tickets(2)
    assert site.intake.set_aside == 0


# --- clocks that were ahead ------------------------------------------------------------------------------------------

YEAR = timedelta(days=365)


def test_alarms_by_a_clock_that_was_ahead_are_no_storm_until_that_time_has_come(build: Build) -> None:
    site = build(heaters=13).at("00:01")
    site.clock.time += YEAR
    site.deliver(*(site._reading(f"h{n}", "", {"gas": 9.0}) for n in range(10)))
    site.clock.time -= YEAR
    site.deliver(*(site._reading(f"h{n}", "", {"gas": 1.0}) for n in range(10)))
    for restarted in (False, True):
        site = site.restart() if restarted else site
        site.after("1h").reading("h10", gas=9.0).reading("h11", gas=9.0).reading("h12", gas=9.0)
        assert {one.parent for one in site.alarms("h12")} == {None}
        site.after("1m").deliver(*(site._reading(f"h{n}", "", {"gas": 1.0}) for n in (10, 11, 12)))
    assert len(site.tickets()) == 16


NIGHTS = HEATER.replace(
    "    when: temp > 50 Cel\n", "    when: temp > 50 Cel\n    schedule: [{from: '22:00', to: '06:00'}]\n"
)


def test_a_clock_that_leaps_over_years_does_not_live_through_their_nights(tmp_path: Path) -> None:
    """A gateway without a battery begins in 1970, and is told the time; alarms of all others wait for it meanwhile."""
    devices = {f"h{number}": "heater" for number in range(20)}
    site = Timeline(tmp_path, NIGHTS, devices=devices, starts="1970-01-02", step="1h")
    site.clock.time += timedelta(hours=12)
    site.deliver(*(site._reading(id, "", {"temp": 60.0}) for id in devices))
    site.clock.time += timedelta(days=56 * 365)
    began = thread_time()
    site.reading("h0", gas=1.0).intake.tick(site.clock.time)
    assert thread_time() - began < 5
    site.expect_no_alarm("h0").at(f"+{56 * 365} 22:00:40")
    assert {one.device for one in site.alarms(rule="hot", state="active")} >= devices.keys()
    site.close()


CHAIN = HEATER.replace("    ticket: look\ntickets", "    ticket: look\n    suppressed_by: [hot]\ntickets")


def test_what_waited_for_a_cause_by_a_clock_that_was_ahead_does_not_wait_for_that_time(tmp_path: Path) -> None:
    site = Timeline(tmp_path, CHAIN, devices={"h0": "heater"}).at("00:01")
    site.clock.time += YEAR
    site.reading("h0", temp=60.0).after("1m").reading("h0", gas=9.0).after("1m").expect_alarm("h0", "hot")
    assert [one.state for one in site.alarms("h0", "gas")] == ["suppressed"]
    site.reading("h0", temp=20.0).after("10s").expect_no_alarm()
    site.clock.time -= YEAR
    site.deliver().after("3m").expect_alarm("h0", "gas")
    site.close()


CHIEF = [
    {"id": "eng", "audience": "engineers", "channel": "webhook", "to": "https://e.example/hook", "lang": "en"},
    {"id": "lead", "audience": "engineers", "channel": "webhook", "to": "https://e.example/lead", "step": 1},
]


@pytest.mark.parametrize("restarted", [False, True])
def test_an_alarm_by_a_clock_that_was_ahead_goes_up_all_the_same(build: Build, restarted: bool) -> None:
    """Also where the clock of services themselves was ahead: both are moved here."""
    site = build(more={"recipients": CHIEF}).at("00:01")
    site.clock.time += YEAR
    site.reading("h0", gas=9.0).after("20s")
    site.clock.time -= YEAR
    site = site.deliver().restart() if restarted else site.deliver()
    site.after("15m")
    assert [one.recipient for one in site.notices("alarm", "step")] == []
    site.after("30s")
    assert [one.recipient for one in site.notices("alarm", "step")] == ["yard:lead"]
    assert "15 " in site.notices("alarm", "step")[0].body


# --- quiet for too long ----------------------------------------------------------------------------------------------


def test_a_snooze_of_something_small_is_over_when_it_becomes_critical(build: Build) -> None:
    site = build(more={"recipients": CHIEF}).at("00:01").reading("h0", temp=60.0).after("1m")
    [alarm] = site.alarms("h0", "hot")
    desk = AlarmDesk(database=site.database, intake=site.intake, clock=site.clock)
    desk.snooze(EVERYWHERE, alarm.id, until=site.clock.time + timedelta(days=7), by="li")
    site.restart().after("1h").reading("h0", temp=90.0)
    assert [(one.recipient, one.event) for one in site.notices("alarm")] == [
        ("yard:eng", "raised"),
        ("yard:eng", "worse"),
    ]
    [alarm] = site.alarms("h0", "hot")
    assert (alarm.severity, alarm.snoozed_until, alarm.snoozed_by) == ("critical", None, None)
    site.restart().after("16m")
    assert [one.recipient for one in site.notices("alarm", "step")] == ["yard:lead"]
    site.reading("h0", temp=20.0).after("1m")
    assert [one.recipient for one in site.notices("alarm", "cleared")] == ["yard:eng", "yard:lead"]


def test_a_critical_alarm_that_flapped_and_came_to_stay_goes_up_all_the_same(build: Build) -> None:
    site = build(more={"recipients": CHIEF}).at("00:01")
    site.every("10s", "3m", "h0", {"gas": 9.0}, {"gas": 1.0}).reading("h0", gas=9.0)
    [alarm] = site.alarms("h0", "gas", state="active")
    assert alarm.flaps
    site.after("16m")
    assert [one.recipient for one in site.notices("alarm", "step")] == ["yard:lead"]


DETECTOR = HEATER.replace("trade: general", "trade: fire")


@pytest.mark.parametrize(
    ("scope", "held"),
    [({}, False), ({"buildings": ["1"]}, False), ({"families": ["heater"]}, True), ({"devices": ["h0"]}, True)],
)
def test_fire_is_held_back_only_by_a_window_that_names_it(
    tmp_path: Path, scope: dict[str, list[str]], held: bool
) -> None:
    """Somebody cleans the tank of a building, and forgets to say what else stands there."""
    devices = {"h0": {"profile": "heater", "building": "1"}}
    site = Timeline(tmp_path, DETECTOR, devices=devices, more={"recipients": CHIEF}).at("00:01")
    desk = MaintenanceDesk(
        database=site.database, write=site.intake.change_rules, changes=Changes(), library=site.library
    )
    ends = site.clock.time + timedelta(days=1)
    wish = Wish.model_validate({"site": "yard", "title": "Tank cleaning", "scope": scope, "ends_at": ends})
    desk.add(EVERYWHERE, wish, by="li", now=site.clock.time)
    site.reading("h0", gas=9.0, temp=60.0).after("16m")
    assert [one.state for one in site.alarms("h0", "gas")] == ["suppressed" if held else "active"]
    assert [one.state for one in site.alarms("h0", "hot")] == ["suppressed"], "not critical"
    assert [one.recipient for one in site.notices("alarm")] == ([] if held else ["yard:eng", "yard:lead"])
    site.reading("h0", temp=90.0).after("1m")
    assert [one.state for one in site.alarms("h0", "hot")] == ["suppressed" if held else "active"]
    site.close()


def test_fire_is_never_folded_into_a_storm(tmp_path: Path) -> None:
    """Fifteen rooms within a minute: each has its ticket and its notice. What is not critical is folded."""
    rooms = {f"h{n}": {"profile": "heater", "building": "1"} for n in range(15)}
    site = Timeline(tmp_path, DETECTOR, devices=rooms, more={"recipients": CHIEF}).at("00:01")
    for room in rooms:
        site.reading(room, gas=9.0, temp=60.0)
    site.after("16m")
    gas = [one for room in rooms for one in site.alarms(room, "gas")]
    hot = [one for room in rooms for one in site.alarms(room, "hot")]
    assert [(one.state, one.parent) for one in gas] == [("active", None)] * 15
    assert sum(one.parent is not None for one in hot) == 5
    assert len({one.subject_id for one in site.notices("alarm")} & {one.id for one in gas}) == 15
    site.close()


DTU = """
profile: dtu
family: dtu
name: {zh: 采集器, en: DTU}
states: {link: {name: {zh: 链路, en: Link}, values: {up: {zh: 通, en: up, tone: ok}}}}
availability: {period: 60s, missed: 2, offline_after: 4m}
bindings: [{id: t, topic: "d/{address}", decode: [{json: true}], fields: {link: l}}]
"""
FRESH = DETECTOR.replace("period: 1h, event_driven: true", "period: 60s, missed: 2, offline_after: 4m").replace(
    "when: gas > 5 %", "when: gas > 5 % and age(gas) < 30m"
)


def test_gas_that_asks_for_a_fresh_value_does_not_wait_for_the_link_beside_it(tmp_path: Path) -> None:
    """The collector has an alarm because nothing behind it is heard; then one of the detectors gets through."""
    behind = {f"h{n}": {"profile": "heater", "parent": "dtu-1"} for n in range(5)}
    site = Timeline(tmp_path, DTU, FRESH, devices={"dtu-1": "dtu", **behind})
    site.at("00:01").reading("dtu-1", link="up")
    site.deliver(*(site._reading(id, "", {"gas": 1.0}) for id in behind)).at("00:20")
    site.expect_alarm("dtu-1", "parent_down").reading("h0", gas=9.0)
    site.expect_alarm("h0", "gas")
    site.close()


# --- rules that change while devices say nothing ---------------------------------------------------------------------


def ships(site: Timeline, began_with: int, **changes: str) -> Timeline:
    """The next version of the rule book says this of `hot`, and nothing else."""
    book = RuleBook.model_validate({"rules": {"heater": {"hot": changes}}} if changes else {})
    desk = RuleBookDesk(database=site.database, library=site.library, intake=site.intake)
    shipping = Shipping(began_with=began_with, book=book, note="", without_preview="a test")
    desk.ship(EVERYWHERE, "yard", shipping, by="li", now=site.clock.time)
    return site


@pytest.mark.parametrize("restarted", [False, True])
def test_a_stricter_rule_meets_what_stands_already(build: Build, restarted: bool) -> None:
    """The device speaks when something changes, and has said 40 degrees."""
    site = ships(build().at("00:01").reading("h0", temp=40.0).after("1m"), 0, when="temp > 30 Cel")
    site = site.restart() if restarted else site
    site.after("20s").expect_no_alarm().after("20s").expect_alarm("h0", "hot").expect_tickets(1)


def test_a_rule_that_is_switched_on_again_finds_what_lasts(build: Build) -> None:
    site = build().at("00:01").reading("h0", temp=60.0).after("1m").expect_alarm("h0", "hot")
    ships(site, 0, mode="off").after("1m").expect_no_alarm()
    ships(site, 1).intake.change(lambda _connection: None)  # thrown away once more before time passes
    site.after("1m").expect_alarm("h0", "hot")


def test_a_laxer_rule_clears_what_it_would_not_raise(build: Build) -> None:
    site = build().at("00:01").reading("h0", temp=60.0).after("1m").expect_alarm("h0", "hot")
    ships(site, 0, when="temp > 70 Cel").after("1m").expect_no_alarm()


def test_what_a_device_said_that_is_gone_meets_no_new_rule(build: Build) -> None:
    site = build().at("00:01").reading("h0", temp=40.0, presence=Presence.OFFLINE).after("1m")
    ships(site, 0, when="temp > 30 Cel").after("1h").expect_no_alarm()
    site.reading("h0", presence=Presence.ONLINE).after("1m").expect_alarm("h0", "hot")


# --- what never stops ------------------------------------------------------------------------------------------------


def test_a_value_that_trembles_at_the_border_of_a_grade_does_not_fill_the_record(build: Build) -> None:
    site = build().at("00:01").reading("h0", temp=60.0)
    site.every("1s", "10m", "h0", {"temp": 81.0}, {"temp": 79.0})
    site.expect_alarm("h0", "hot", severity="critical").expect_tickets(1)
    assert len(site._rows(alarm_events)) <= 25
    assert len(site._rows(ticket_events)) <= 25
    assert [one.event for one in site.notices("alarm")] == ["raised"]
    site.reading("h0", temp=20.0).after("1m").expect_no_alarm()


def test_trials_and_corrections_are_not_kept_for_ever(build: Build) -> None:
    site = ships(build().at("00:01"), 0, mode="shadow").reading("h0", temp=60.0).after("1m")
    site.reading("h0", temp=20.0).after("1m").reading("h0", temp=60.0).after("1m")
    site.late("h0", measured="00:00:30", gas=9.0)
    assert (len(site.corrections()), len(site._rows(shadow_episodes))) == (1, 2)
    for later, kept in ((timedelta(seconds=-600), (1, 2)), (timedelta(days=1), (0, 1))):
        with site.database.write() as connection:
            expire(connection, site.clock.time + later)
        assert (len(site.corrections()), len(site._rows(shadow_episodes))) == kept, "what goes on stays"


def test_a_site_file_with_a_thousand_rules_is_refused(build: Build) -> None:
    rule = {"name": {"zh": "热", "en": "Hot"}, "of": {"families": ["heater"]}, "severity": "minor"}
    rules = [{"id": f"r{n}", "when": f"number(device, temp > {n} Cel) >= 3", **rule} for n in range(1000)]
    with pytest.raises(SiteMistakes, match="at most 200 items"):
        build(more={"rules": rules})
