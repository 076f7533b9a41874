"""What conditions on members may ask, and how a member counts of whom little is known: told as time lines."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from sqlalchemy import Connection

from services.groups.counting import Counted, counted
from services.groups.rule import GroupRule
from services.maintenance.store import add_window, claim
from services.maintenance.windows import Scope, Window
from services.rules import book_store
from services.rules.compiled import CompiledProfile
from services.rules.state import DeviceState
from tests.stories.site import PUMPS
from tests.timeline import Timeline

Made = Callable[..., Timeline]
ROOMS = ("pumps-1", "pumps-2", "pumps-3", "pumps-4")


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Made]:
    """Four pump rooms, heard every twenty seconds, and one rule over them."""
    made: list[Timeline] = []

    def make(when: str, **rule: Any) -> Timeline:
        entry = {"id": "several", "name": "Several", "of": {"profiles": ["pumps"]}, "severity": "major", **rule}
        devices = dict.fromkeys(ROOMS, "pumps")
        site = Timeline(tmp_path, PUMPS, devices=devices, more={"rules": [{**entry, "when": when}]})
        made.append(site)
        for n, room in enumerate(ROOMS):
            site.at(f"00:00:{10 + n:02}").keeps(room, every="20s", pressure=0.5)
        return site.at("00:02")

    yield make
    for site in made:
        site.close()


def test_values_grow_old_without_a_message(yard: Made) -> None:
    """Both were last heard at 00:01:53; time is told every ten seconds, and what is three minutes old is so before."""
    site = yard("number(device, age(pressure) >= 3m) >= 2").silent("pumps-1").silent("pumps-2")
    site.at("00:10").expect_alarm("site:yard", "several", raised="00:04:53")
    values = site.alarms("site:yard")[0].reason["values"]
    assert values["number(device, age(pressure) >= 3m) met by"] == "2/4: pumps-1, pumps-2"
    assert values["number(device, age(pressure) >= 3m) not met by"] == "2/4: pumps-3, pumps-4"


def test_a_member_falls_silent(yard: Made) -> None:
    site = yard("share(device, silence >= 90s) >= 50 %", clear={"for": "0s"}).silent("pumps-1").silent("pumps-4")
    site.at("00:05").expect_alarm("site:yard", "several", raised="00:03:23")
    site.reading("pumps-1", pressure=0.5).at("00:05:10").expect_no_alarm("site:yard", "several")


def test_a_mean_of_each_member_outlives_a_restart(yard: Made) -> None:
    site = yard("number(device, mean(pressure, 10m) < 0.35 MPa) >= 2").at("00:12")
    for room in ROOMS[:2]:
        site.keeps(room, every="20s", pressure=0.2)
    # From 0.5 to 0.2: after five minutes of ten the mean is 0.35.
    site.at("00:14").restart().at("00:16:30").expect_no_alarm("site:yard").restart().at("00:18")
    (alarm,) = site.alarms("site:yard")
    assert "16:30" < site.shown(alarm.raised_at)[6:] < "17:30"


def test_events_of_members_are_counted(yard: Made) -> None:
    site = yard("number(pump, count(run == fault, 10m) >= 3) >= 1")
    for minute in ("00:03", "00:04", "00:05"):
        site.at(minute).expect_no_alarm("site:yard").reading("pumps-2", "pump:1", run="running")
        site.reading("pumps-2", "pump:1", run="fault").at(f"{minute}:10")
    site.expect_alarm("site:yard", "several", raised="00:05")


def test_too_few_are_known_to_judge_a_share(yard: Made) -> None:
    """Three of four cannot be trusted: one that is low is not all that are."""
    key = "share(device, pressure < 0.3 MPa)"
    site = yard(f"{key} >= 50 %", known_at_least="50 %")
    for room in ROOMS[1:]:
        site.silent(room)
    site.at("00:04").keeps("pumps-1", every="20s", pressure=0.1).at("00:08").expect_no_alarm("site:yard")
    site.reading("pumps-2", pressure=0.5).at("00:08:20").expect_alarm("site:yard", "several", raised="00:08")
    values = site.alarms("site:yard")[0].reason["values"]
    assert (values[key], values[f"{key} unknown of"]) == (0.5, "2/4: pumps-3, pumps-4")


def test_all_must_be_known_where_the_rule_says_so(yard: Made) -> None:
    site = yard("share(device, pressure < 0.3 MPa) >= 50 %", known_at_least=1).silent("pumps-4").at("00:04")
    for room in ROOMS[:3]:
        site.keeps(room, every="20s", pressure=0.1)
    site.at("00:08").expect_no_alarm("site:yard")
    site.keeps("pumps-4", every="20s", pressure=0.5).at("00:08:30")
    site.expect_alarm("site:yard", "several", raised="00:08")


def test_people_at_work_on_a_member_make_it_unknown(yard: Made) -> None:
    site = yard("number(device, pressure < 0.3 MPa) >= 2", clear={"for": "0s"})
    plan(site, ["pumps-1"], "00:02", "00:10")
    site.at("00:03")
    for room in ROOMS[:2]:
        site.keeps(room, every="20s", pressure=0.1)
    site.at("00:09").expect_no_alarm("site:yard")
    site.at("00:12").expect_alarm("site:yard", "several", raised="00:10")


def test_a_window_opens_and_ends_for_members_whose_clocks_are_behind(yard: Made) -> None:
    site = yard("number(device, pressure < 0.3 MPa) >= 2", clear={"for": "0s"})
    plan(site, ["pumps-1"], "00:05", "00:10")
    for room in ROOMS[:2]:
        site.silent(room)
    while site.clock.time < site.moment("00:12"):
        behind = f"{(site.after('10s').clock.time - timedelta(seconds=15)).astimezone(site.zone):%H:%M:%S}"
        for room in ROOMS[:2]:
            site.reading(room, measured=behind, pressure=0.5 if site.clock.time < site.moment("00:06") else 0.1)
        if site.clock.time == site.moment("00:09:50"):
            site.expect_no_alarm("site:yard")
    site.expect_alarm("site:yard", "several", raised="00:10")


@pytest.mark.parametrize("when", ["silence > 5m", "age(pressure) > 5m"])
def test_while_the_gateway_was_off_nobody_was_silent(yard: Made, when: str) -> None:
    site = yard(f"number(device, {when}) >= 2")
    away(site, hours=1)
    site.at("01:06")
    assert not site.alarms("site:yard"), "not even for a moment"
    for room in ROOMS[:2]:
        site.silent(room)
    site.at("01:20").expect_alarm("site:yard", "several")


def test_the_time_in_which_a_gateway_was_off_is_passed_over(yard: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mean within a sum is asked every second, but not of eight hours in which nobody listened."""
    site = yard("number(device, mean(pressure, 1m) + 0 MPa < 0.3 MPa) >= 2")
    asked = asks(monkeypatch)
    away(site, hours=8)
    assert 0 < len(asked) < 100


@pytest.mark.parametrize(
    "condition",
    ["delta(pressure, 1m) < -0.1 MPa", "count(pressure < 0.3 MPa, 90s) >= 2", "mean(pressure, 1m) < 0.3 MPa"],
)
def test_what_turns_at_a_known_moment_is_asked_then_and_not_every_second(
    yard: Made, monkeypatch: pytest.MonkeyPatch, condition: str
) -> None:
    """After a cut uplink hours of it are judged in one go. Four rooms speak 24 times each in eight minutes."""
    site, asked = yard(f"number(device, {condition}) >= 2"), asks(monkeypatch)
    site.at("00:10").expect_no_alarm("site:yard", "several")
    assert 90 < len(asked) < 4 * 24 * 4


def asks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The devices that are asked from now on, each time."""
    found: list[str] = []

    def ask(rule: GroupRule, device: DeviceState, at: int) -> Counted:
        found.append(device.id)
        return counted(rule, device, at)

    monkeypatch.setattr("services.groups.groups.counted", ask)
    return found


def away(site: Timeline, *, hours: int) -> None:
    """The gateway is off for so long; then all are heard at once."""
    site.clock.time += timedelta(hours=hours)
    site.after("10s")


def test_rules_of_before_are_not_kept(yard: Made) -> None:
    """Each version of a rule book compiles the profile anew; a year of tuning must not fill the memory."""
    site = yard("number(device, mean(pressure, 10m) < 0.35 MPa) >= 2").at("00:03")
    older: list[ref[CompiledProfile]] = []
    for seconds in range(20, 26):
        memory = site.intake._remembered.memory
        assert memory is not None and memory.devices["pumps-1"].profile is not None
        older.append(ref(memory.devices["pumps-1"].profile))
        ship(site, {"rules": {"pumps": {"low": {"for": f"{seconds}s"}}}})
        assert site.intake._remembered.memory is memory, "only the rules were made anew"
    gc.collect()
    assert not [one for one in older if one() is not None]


def ship(site: Timeline, content: dict[str, Any]) -> None:
    """The next version of the rule book."""

    def write(connection: Connection) -> None:
        newest = book_store.newest(connection, "yard").version
        book_store.append(
            connection, site="yard", began_with=newest, content=content, who="mei", note="", preview=None,
            now=site.clock.time,
        )  # fmt: skip

    site.intake.change_rules(write)


def plan(site: Timeline, devices: list[str], start: str, end: str) -> None:
    """A maintenance window on these."""
    begins = site.moment(start)
    window = Window(
        id="w",
        site="yard",
        title="Cleaning",
        scope=Scope(devices=frozenset(devices)),
        starts_at=begins,
        ends_at=site.moment(end),
        created_at=begins,
        created_by="p1",
    )

    def write(connection: Connection) -> None:
        claim(connection, "yard")
        add_window(connection, window)

    site.intake.change_rules(write)
