"""Rules and calm under attack: what must not keep an alarm from those who wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.rules.desk import AlarmDesk
from services.scope import EVERYWHERE
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
