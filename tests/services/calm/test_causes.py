"""What is the cause of what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from services.calm.causes import Place, came_before, cause_of, explains


class Alarm(NamedTuple):
    id: str
    device: str
    rule: str
    child: str = ""
    suppressed_by: Mapping[str, Any] | None = None


PORT = Place("station", "port:1", causes=("mains_lost", "offline"), above=("box", "feeder"), gateway="gateway:gw")
SILENT = PORT._replace(causes=(), by_silence=True)


@pytest.mark.parametrize(
    ("place", "cause", "expected"),
    [
        (PORT, Alarm("a", "station", "mains_lost"), True),
        (PORT, Alarm("a", "station", "offline", "port:1"), True),
        (PORT, Alarm("a", "station", "mains_lost", "port:2"), False),  # another port's
        (PORT, Alarm("a", "station", "too_hot"), False),  # not named
        (PORT, Alarm("a", "box", "mains_lost"), True),
        (PORT, Alarm("a", "feeder", "offline"), True),
        (PORT, Alarm("a", "box", "mains_lost", "port:1"), False),  # of a child of something else
        (PORT, Alarm("a", "box", "parent_down"), False),  # judged by what it says: it got through
        (SILENT, Alarm("a", "box", "parent_down"), True),
        (SILENT, Alarm("a", "gateway:gw", "uplink_cut"), True),
        (SILENT, Alarm("a", "gateway:gw", "broker_down"), True),
        (SILENT, Alarm("a", "station", "parent_down"), False),  # that is about what hangs on it
        (PORT._replace(child=""), Alarm("a", "station", "offline", "port:2"), True),  # a part explains the whole
    ],
)
def test_what_explains_what(place: Place, cause: Alarm, expected: bool) -> None:
    assert explains(place, cause) is expected


def found(*alarms: Alarm, place: Place = PORT, own: str = "me") -> str | None:
    by_id = {alarm.id: alarm for alarm in alarms}
    cause = cause_of(place, lambda device: [one for one in alarms if one.device == device], by_id.get, own)
    return None if cause is None else cause.id


def test_the_nearest_cause_is_the_one_that_is_told() -> None:
    far, near = Alarm("far", "feeder", "mains_lost"), Alarm("near", "box", "mains_lost")
    assert found(far) == "far"
    assert found(far, near) == "near"
    assert found(far, near, Alarm("own", "station", "mains_lost")) == "own"
    assert found() is None


def test_what_waits_itself_is_still_a_cause() -> None:
    """The station is without mains because the feeder is: its ports wait for the station."""
    held = {"kind": "cause", "id": "feeder_down", "since": 0}
    assert found(Alarm("a", "station", "mains_lost", suppressed_by=held)) == "a"
    assert found(Alarm("a", "station", "mains_lost", suppressed_by={"kind": "maintenance", "id": "w"})) == "a"


def test_two_never_wait_for_each_other() -> None:
    mine = {"kind": "cause", "id": "me", "since": 0}
    assert found(Alarm("a", "station", "mains_lost", suppressed_by=mine)) is None
    by_way = Alarm("b", "station", "offline", suppressed_by={"kind": "cause", "id": "a", "since": 0})
    assert found(Alarm("a", "else", "x", suppressed_by=mine), by_way) is None


def test_a_ring_of_others_ends() -> None:
    one = Alarm("a", "station", "mains_lost", suppressed_by={"kind": "cause", "id": "b", "since": 0})
    two = Alarm("b", "else", "x", suppressed_by={"kind": "cause", "id": "a", "since": 0})
    assert found(one, two) == "a"


@pytest.mark.parametrize(("dependent", "cause", "expected"), [(0, 0, True), (0, 120_000, True), (0, 120_001, False)])
def test_a_cause_that_comes_shortly_after(dependent: int, cause: int, expected: bool) -> None:
    assert came_before(dependent, cause) is expected
    assert not came_before(1, 0), "that is no reverse order"
