"""One device, heard by two gateways: a bridged broker, a spare gateway, or one that a device has been moved to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from gateway.reading import Batch, Presence, Reading
from services.changes import Changes
from services.clock import to_millis
from services.commands.dispatch import Asked
from services.presence.forgetting import Forgetting, GatewaySpeaks
from services.scope import NotFound
from services.sites.store import list_gateways
from services.tables import audit, device_states
from tests.stories.site import LIBRARY, Story, opened, profile
from tests.stories.test_breaks import METER

DOOR = """
profile: door
family: access_gate
name: {zh: 门, en: Door}
states: {door: {name: {zh: 门, en: Door}, values: {open: {zh: 开, en: open}, closed: {zh: 关, en: closed}}}}
availability: {period: 60s, event_driven: true}
bindings:
  - {id: t, topic: "door/{address}", decode: [{json: true}], fields: {door: d}}
  - {id: will, topic: "door/{address}/lwt", decode: [{text: true}], presence: {online: online, offline: offline}}
commands: {unlock: {name: {zh: 开门, en: Unlock}, topic: "door/{address}/cmd", text: open, role: crew, expires: 10s}}
"""
YARD = """
site: yard
name: The Yard
timezone: Asia/Shanghai
buildings: [{id: 1, units: [{id: 1, households: 20}]}]
devices: [{id: m1, profile: meter}, {id: d1, profile: door}]
"""


class Two:
    """The story's own gateway `gw`, and another one, `spare`."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.seq = 0

    def spare_says(self, *readings: Reading, at: datetime | None = None) -> None:
        first, self.seq = self.seq + bool(readings), self.seq + len(readings)
        progress = to_millis(at or self.story.clock.time)
        self.story.intake.take(Batch("spare", first, self.seq, progress, list(readings)))

    def both_say(self, clock: str, *, spare: bool = True) -> None:
        story = self.story.at(clock)
        said = [story.reading("m1", "", {"energy": 1.0}, profile="meter")]
        story.deliver(*said)
        if spare:
            self.spare_says(*said)

    def gateway_of(self, device: str) -> str:
        with self.story.database.read() as connection:
            query = select(device_states.c.gateway).where(device_states.c.device == device, device_states.c.child == "")
            return str(connection.execute(query).scalar_one())


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    database = opened(f"sqlite:///{tmp_path / 'two.db'}")
    library = {**LIBRARY, "meter": profile(METER), "door": profile(DOOR)}
    yield Two(Story(database, text=YARD, library=library))
    database.close()


def test_while_one_of_them_hears_it_a_device_is_there(two: Two) -> None:
    for second in range(0, 60, 20):
        two.both_say(f"00:00:{second:02}")
    for minute in range(1, 15):
        for second in range(0, 60, 20):
            two.both_say(f"00:{minute:02}:{second:02}", spare=False)
            two.story.expect_presence("m1", "online")
    assert "m1" not in [alarm.device for alarm in two.story.alarms(state=None)]


def test_what_the_spare_collected_while_it_was_cut_off_says_nothing_of_now(two: Two) -> None:
    """Its last will of an hour ago was overruled long since: the door has spoken after it."""
    story = two.story.deliver(two.story.reading("d1", "", {"door": "closed"}, profile="door"))
    old = replace(story.at("00:01").reading("d1", presence=Presence.OFFLINE, profile="door"), binding="will")
    then = story.clock.time
    story.at("00:30").deliver(story.reading("d1", "", {"door": "open"}, profile="door"))
    two.spare_says(old, at=then)
    two.spare_says()
    story.at("00:31").deliver().expect_presence("d1", "online")


def test_what_a_broker_kept_does_not_make_its_gateway_the_one_that_hears_a_device(two: Two) -> None:
    """Commands would go there, and its silence would make the device unknown."""
    story = two.story.deliver(two.story.reading("d1", "", {"door": "closed"}, profile="door"))
    kept = story.reading("d1", "", {"door": "open"}, profile="door", retained=True)
    two.spare_says(kept)
    assert two.gateway_of("d1") == "gw"
    with story.intake.commanding(story.clock.now()) as commands:
        commands.ask(Asked(device="d1", child="", command="unlock", params={}, by="li.wei"))
    with story.intake.commanding(story.clock.now()) as commands:
        assert len(commands.due("gw", None, again=False)) == 1


def test_where_its_gateway_is_gone_what_another_s_broker_kept_is_better_than_nothing(two: Two) -> None:
    story = two.story.deliver(two.story.reading("d1", "", {"door": "closed"}, profile="door"))
    two.spare_says()
    story.loses_uplink().at("00:20").expect_presence("d1", "unknown")
    two.spare_says(story.reading("d1", "", {"door": "open"}, profile="door", retained=True))
    assert two.gateway_of("d1") == "spare"


def test_a_spare_gateway_that_dies_is_seen_though_every_device_is_heard(two: Two) -> None:
    """And it is a smaller alarm than one behind which devices are out of sight."""
    two.both_say("00:00:20")
    for minute in range(1, 8):
        for second in range(0, 60, 20):
            two.both_say(f"00:{minute:02}:{second:02}", spare=False)
        two.story.expect_alarms(*(["spare_silent"] if minute >= 3 else []))
    (alarm,), (ticket,) = two.story.alarms(), two.story.tickets()
    assert (alarm.device, alarm.severity, alarm.device_name.en) == ("gateway:spare", "minor", "Gateway spare")
    assert (ticket.priority, ticket.title.zh) == ("P3", "恢复备用网关：网关 spare")
    two.story.expect_presence("m1", "online")
    two.story.restart()
    for second in range(0, 60, 20):
        two.both_say(f"00:08:{second:02}", spare=False)
    two.story.expect_alarms("spare_silent").expect_tickets(1)
    two.both_say("00:09")
    two.story.at("00:09:10").expect_alarms()


def test_where_both_die_at_once_one_alarm_says_that_devices_are_cut_off(two: Two) -> None:
    two.both_say("00:00:20")
    two.both_say("00:00:40", spare=False)
    two.story.loses_uplink().at("00:10").expect_alarms("uplink_cut").expect_tickets(1)
    assert two.story.alarms()[0].device == "gateway:gw"
    # The one that heard the devices is back, and the spare one is still silent.
    two.story.finds_uplink().at("00:11").expect_alarms("spare_silent").expect_tickets(2)


def test_a_gateway_that_was_taken_down_is_forgotten_and_is_there_again_when_it_speaks(two: Two) -> None:
    two.both_say("00:00:20")
    story = two.story.keeps_saying("m1", energy=1.0).at("00:05").expect_alarms("spare_silent")
    forgetting = Forgetting(intake=story.intake, changes=Changes(), silent_after=60)
    with pytest.raises(GatewaySpeaks, match="expected it to be silent for more than 60 s"):
        forgetting.forget("gw", who="chen.yu", now=story.clock.now())
    with pytest.raises(NotFound):
        forgetting.forget("never", who="chen.yu", now=story.clock.now())
    forgetting.forget("spare", who="chen.yu", now=story.clock.now())
    story.at("00:20").expect_alarms().expect_presence("m1", "online")
    with story.database.read() as connection:
        assert [row.id for row in list_gateways(connection)] == ["gw"]
        query = select(audit.c.who, audit.c.subject).where(audit.c.action == "gateway.forgotten")
        assert [tuple(row) for row in connection.execute(query)] == [("chen.yu", "spare")]
    assert story.intake.cursor("spare") == two.seq, "what it has handed over it need not hand over again"
    story.restart().at("00:30").expect_alarms()
    two.spare_says()
    with story.database.read() as connection:
        assert [row.id for row in list_gateways(connection)] == ["gw", "spare"]
    story.at("00:40").expect_alarms("spare_silent")


def test_what_only_a_forgotten_gateway_heard_is_judged_by_the_one_that_remains(two: Two) -> None:
    story = two.story.keeps_saying("m1", energy=1.0).at("00:01")
    two.spare_says(story.reading("d1", "", {"door": "closed"}, profile="door"))
    story.at("00:10").expect_presence("d1", "unknown").expect_alarms("uplink_cut")
    Forgetting(intake=story.intake, changes=Changes(), silent_after=60).forget(
        "spare", who="chen.yu", now=story.clock.now()
    )
    story.at("00:11").expect_alarms()
    assert story.device("d1").latest.reason != "uplink_cut"
