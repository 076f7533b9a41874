"""Rules over several devices, told as what happened in a yard of four doors and two pump rooms."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from services.rulebook.problems import problems_of
from services.rules.store import Alarm
from services.scope import EVERYWHERE
from services.sites.importer import import_site
from services.tables import devices, rule_states
from services.tickets.store import Ticket
from tests.stories.site import MIDNIGHT, Story, opened

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
  - {id: gate-4, profile: gate, building: 2}
  - {id: pumps-1, profile: pumps, building: 1}
  - {id: pumps-2, profile: pumps, building: 2}
supplies:
  - {id: water, service: water, needs: 1, members: [{device: pumps-1, child: "pump:*"}], buildings: [1]}
recipients:
  - {id: eng, audience: engineers, channel: webhook, to: "https://e.example/hook", lang: en}
rules:
"""
DOORS = """
  - id: doors_open
    name: {zh: 一半门开着, en: Half of the doors open}
    of: {families: [access_gate]}
    per: building
    when: share(device, door == open) >= 50 %
    for: 2m
    clear: {for: 1m}
    severity: major
    ticket: {title: {zh: 看门, en: See to the doors}, trade: access, priority: P2, due: 8h}
"""
PUMPS = """
  - id: pumps_out
    name: {zh: 多台水泵故障, en: Several pumps out}
    of: {profiles: [pumps]}
    when: number(pump, run == fault) >= 3
    for: 1m
    severity: critical
"""
GATES = ("gate-1", "gate-2", "gate-3", "gate-4")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    yield f"sqlite:///{tmp_path / 'g.db'}"


def yard(url: str, *rules: str) -> Story:
    """All doors closed and all pumps running, said every ten seconds."""
    story = Story(opened(url), text=SITE + "".join(rules))
    for gate in GATES:
        story.keeps_saying(gate, door="closed")
    for room in ("pumps-1", "pumps-2"):
        story.keeps_saying(room, pressure=0.5)
        for pump in ("pump:1", "pump:2"):
            story.keeps_saying(room, pump, run="running")
    return story


def group_alarms(story: Story, state: str | None = "active") -> list[Alarm]:
    return [one for one in story.alarms(state) if one.profile == "courtyard_site_rules"]


def group_tickets(story: Story) -> list[Ticket]:
    return [one for one in story.tickets() if one.profile == "courtyard_site_rules"]


def test_half_of_a_buildings_doors_is_one_alarm_of_that_building(database: str) -> None:
    story = yard(database, DOORS).at("00:01")
    story.says("gate-1", door="open").at("00:02:50")
    assert group_alarms(story) == []
    story.at("00:03:10")
    (alarm,) = group_alarms(story)
    assert (alarm.device, alarm.child, alarm.rule, alarm.severity) == ("building:yard/1", "", "doors_open", "major")
    assert alarm.raised_at == MIDNIGHT + timedelta(minutes=3)
    assert (alarm.device_name.zh, alarm.device_name.en, alarm.building) == ("一号楼", "House 1", "1")
    assert alarm.reason["values"] == {
        "share(device, door == open)": 0.5,
        "share(device, door == open) met by": "1/2: gate-1",
        "share(device, door == open) not met by": "1/2: gate-2",
    }
    (ticket,) = group_tickets(story)
    assert ticket.title.en == "See to the doors"
    assert ticket.device_name is not None
    assert ticket.device_name.en == "House 1"
    titles = [notice.title for notice in story.notices("eng") if "Half of the doors" in notice.title]
    assert titles == ["[Major] Alarm · Half of the doors open · House 1"]


def test_it_clears_when_its_members_do_and_is_raised_again_as_a_new_episode(database: str) -> None:
    story = yard(database, DOORS).at("00:01").says("gate-1", door="open").at("00:05")
    story.says("gate-1", door="closed").at("00:05:50")
    assert len(group_alarms(story)) == 1
    story.at("00:06:10")
    assert group_alarms(story) == []
    (over,) = group_alarms(story, "cleared")
    assert over.cleared_at == MIDNIGHT + timedelta(minutes=6)
    story.says("gate-2", door="open").at("00:09")
    assert [one.reason["values"]["share(device, door == open) met by"] for one in group_alarms(story)] == [
        "1/2: gate-2"
    ]


def test_children_of_several_devices_are_counted_together(database: str) -> None:
    story = yard(database, PUMPS).at("00:01")
    story.says("pumps-1", "pump:1", run="fault").says("pumps-1", "pump:2", run="fault").at("00:05")
    assert group_alarms(story) == []
    story.says("pumps-2", "pump:1", run="fault").at("00:06:10")
    (alarm,) = group_alarms(story)
    assert (alarm.device, alarm.raised_at) == ("site:yard", MIDNIGHT + timedelta(minutes=6))
    assert alarm.device_name.en == "The Yard"
    key = "number(pump, run == fault)"
    assert alarm.reason["values"] == {
        key: 3.0,
        f"{key} met by": "3/4: pumps-1 pump:1, pumps-1 pump:2, pumps-2 pump:1",
        f"{key} not met by": "1/4: pumps-2 pump:2",
    }


@pytest.mark.parametrize("restarts", [0, 7], ids=["runs", "restarts"])
def test_a_restart_in_the_middle_of_a_delay_changes_nothing(database: str, restarts: int) -> None:
    story = yard(database, DOORS).at("00:01").says("gate-3", door="open")
    for n in range(restarts):
        story.at(f"00:02:{n * 7:02}").restart()
    story.at("00:02:50")
    assert group_alarms(story) == []
    story.restart().at("00:03:10").restart().at("00:04")
    (alarm,) = group_alarms(story)
    assert alarm.raised_at == MIDNIGHT + timedelta(minutes=3)
    assert len(group_tickets(story)) == 1
    story.says("gate-3", door="closed").at("00:04:30").restart().at("00:05:20")
    (over,) = group_alarms(story, "cleared")
    assert over.cleared_at == MIDNIGHT + timedelta(minutes=5)
    with story.database.read() as connection:
        left = [row.rule for row in connection.execute(select(rule_states)) if row.device == "building:yard/2"]
    assert left in ([], ["doors_open"]), "a mark at rest is not kept; how often it began is, for a while"


def test_behind_a_cut_uplink_nothing_is_known_and_nothing_moves(database: str) -> None:
    story = yard(database, DOORS).at("00:01").says("gate-1", door="open").says("gate-3", door="open").at("00:02")
    story.loses_uplink().at("00:09")
    assert group_alarms(story) == []
    # What was said meanwhile comes in one go: the door of the second building had been closed by then.
    story.said["gate-3", ""] = {"door": "closed"}
    story.finds_uplink().at("00:13")
    assert [one.device for one in group_alarms(story)] == ["building:yard/1"]


def test_an_alarm_stands_while_its_members_cannot_be_seen(database: str) -> None:
    story = yard(database, DOORS).at("00:01").says("gate-1", door="open").at("00:03:30").loses_uplink().at("00:10")
    assert [one.device for one in group_alarms(story)] == ["building:yard/1"]
    assert len(group_tickets(story)) == 1


def test_of_a_silent_device_only_its_presence_is_known(database: str) -> None:
    rule = DOORS.replace("door == open", "presence == offline").replace("doors_open", "doors_gone")
    story = yard(database, DOORS, rule).at("00:01").says("gate-1", door="open").says("gate-2", door="open")
    story.at("00:01:20").falls_silent("gate-1").falls_silent("gate-2").at("00:08")
    assert sorted(one.rule for one in group_alarms(story)) == ["doors_gone"], "two minutes open were never seen"


def test_a_device_that_was_never_heard_is_no_member_yet(database: str) -> None:
    story = Story(opened(database), text=SITE + DOORS)
    story.keeps_saying("gate-1", door="open").at("00:03")
    assert [one.reason["values"]["share(device, door == open) met by"] for one in group_alarms(story)] == [
        "1/1: gate-1"
    ]


def test_alarms_of_members_count(database: str) -> None:
    rule = PUMPS.replace("number(pump, run == fault) >= 3", "number(device, alarm.low) >= 2")
    story = yard(database, rule).at("00:01").says("pumps-1", pressure=0.1).at("00:04")
    assert group_alarms(story) == []
    story.says("pumps-2", pressure=0.1).at("00:07")
    (alarm,) = group_alarms(story)
    # Each was low for a minute before that was an alarm; both for a minute more.
    assert alarm.raised_at == MIDNIGHT + timedelta(minutes=6)
    assert alarm.reason["values"]["number(device, alarm.low) met by"] == "2/2: pumps-1, pumps-2"


def test_residents_lose_what_it_says(database: str) -> None:
    words = """
    residents: {service: water, loss: degraded, what: {zh: 水小。, en: The water may be weak.}}
    supplies: [water]
"""
    rule = PUMPS.replace("number(pump, run == fault) >= 3", "number(device, pressure < 0.45 MPa) >= 2") + words
    story = yard(database, rule).at("00:01").says("pumps-1", pressure=0.4).says("pumps-2", pressure=0.4).at("00:03")
    story.expect_outage("water", "degraded", buildings=["1"])
    assert story.outages()[0].what.en == "The water may be weak."
    story.restart().at("00:04").expect_outage("water", "degraded")
    story.says("pumps-2", pressure=0.5).at("00:06").expect_no_outage()


def test_a_rule_that_leaves_the_site_file_takes_its_alarm_along(database: str) -> None:
    story = yard(database, DOORS).at("00:01").says("gate-1", door="open").at("00:05")
    import_site(story.database, SITE.replace("rules:\n", ""), story.library, story.clock.time)
    story.at("00:06")
    assert group_alarms(story) == []
    (over,) = group_alarms(story, "cleared")
    assert "no longer in the site file" in str(over.reason["cleared"])


def test_a_rule_on_trial_raises_nothing(database: str) -> None:
    story = yard(database, DOORS.replace("severity: major", "mode: shadow\n    severity: major"))
    story.at("00:01").says("gate-1", door="open").at("00:05").restart().at("00:06")
    assert group_alarms(story, None) == []
    assert group_tickets(story) == []


def test_a_schedule_is_that_of_the_site(database: str) -> None:
    # 00:05 UTC is 08:05 in Shanghai.
    rule = DOORS.replace("severity: major", 'severity: major\n    schedule: [{from: "08:05", to: "18:00"}]')
    story = yard(database, rule).at("00:01").says("gate-1", door="open").at("00:04:50")
    assert group_alarms(story) == []
    story.at("00:08")
    (alarm,) = group_alarms(story)
    assert alarm.raised_at == MIDNIGHT + timedelta(minutes=7)


def test_a_grade_follows_the_number(database: str) -> None:
    rule = PUMPS.replace(">= 3", ">= 1").replace("critical", "minor")
    rule += "    grades: [{severity: critical, when: 'number(pump, run == fault) >= 3'}]\n"
    story = yard(database, rule).at("00:01").says("pumps-1", "pump:1", run="fault").at("00:03")
    assert [one.severity for one in group_alarms(story)] == ["minor"]
    story.says("pumps-1", "pump:2", run="fault").says("pumps-2", "pump:2", run="fault").at("00:04")
    assert [one.severity for one in group_alarms(story)] == ["critical"]
    assert group_tickets(story) == []


def test_a_rule_that_cannot_be_read_any_more_is_said_and_stops_nobody(database: str) -> None:
    story = yard(database, DOORS, PUMPS).at("00:01")
    gate = story.library["gate"]
    door = gate.states["door"].model_copy(update={"values": {"shut": gate.states["door"].values["closed"]}})
    # A new release of the profile, in which the words of its states are others and its own rules are gone.
    story.library["gate"] = gate.model_copy(update={"states": {"door": door}, "rules": ()})
    with story.database.read() as connection:
        (problem,) = [one for one in problems_of(connection, story.library, EVERYWHERE) if one.is_hard]
    assert (problem.kind, problem.profile, problem.rule) == ("broken", "courtyard_site_rules", "doors_open")
    assert "'open' at column 23" in problem.found
    story.restart().says("gate-1", door="open").at("00:04")
    assert group_alarms(story) == []
    for pump in ("pump:1", "pump:2"):
        story.says("pumps-1", pump, run="fault").says("pumps-2", pump, run="fault")
    story.at("00:06")
    assert [one.rule for one in group_alarms(story)] == ["pumps_out"]


def test_a_rule_whose_devices_have_all_left_is_said(database: str) -> None:
    story = yard(database, DOORS, PUMPS).at("00:01").says("gate-1", door="open").at("00:04")
    assert len(group_alarms(story)) == 1
    with story.database.write() as connection:
        connection.execute(update(devices).where(devices.c.profile == "gate").values(retired_at=story.clock.time))
    with story.database.read() as connection:
        found = [one.rule for one in problems_of(connection, story.library, EVERYWHERE) if one.is_hard]
    assert found == ["doors_open"]
    story.restart().at("00:05")
    assert group_alarms(story) == []


def test_a_memory_that_is_read_again_at_every_tick_delays_an_alarm_and_its_end_but_not_for_ever(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody adopts devices one by one, or a part of each tick fails, and to count everybody takes several ticks."""
    monkeypatch.setattr("services.intake.passing._ASKED_AT_ONCE", 1)
    story = yard(database, DOORS).at("00:01")

    def five_minutes_pass() -> None:
        for _ in range(30):
            story.intake.change(lambda _connection: None)
            story.at(f"{story.clock.time + timedelta(seconds=10):%H:%M:%S}")

    for gate in GATES[:2]:
        story.says(gate, door="open")
    five_minutes_pass()
    assert [one.device for one in group_alarms(story)] == ["building:yard/1"]
    for gate in GATES[:2]:
        story.says(gate, door="closed")
    five_minutes_pass()
    assert group_alarms(story) == []
