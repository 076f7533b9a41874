"""However the same readings are cut into batches, and whenever time is told in between, a rule over several devices
says the same at the same times."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.presence import PresenceReason
from gateway.reading import Millis, Reading, Value
from services.groups.groups import Clock, GatewayTime, Groups, Told
from services.groups.rule import GroupRule
from services.rules import engine
from services.rules.engine import GatewayView
from services.rules.evaluation import pass_time
from tests.services.groups.test_counting import START, compiled, placed, room

ROOMS = [f"pumps-{n}" for n in range(3)]
RULES: dict[str, dict[str, Any]] = {
    "two_out": {"when": "number(pump, run == fault) >= 2", "for": "20s", "clear": {"for": "15s"}},
    "at_once": {"when": "number(pump, run == fault) >= 2", "clear": {"for": "0s"}},
    "gone_quiet": {"when": "share(device, age(pressure) > 45s) >= 50 %", "clear": {"for": "5s"}},
    "both_low": {"when": "number(device, alarm.low) >= 2", "clear": {"for": "10s"}},
    "low_on_average": {"when": "number(device, mean(pressure, 2m) < 0.3 MPa) >= 2", "for": "7s"},
    "falling": {"when": "number(device, delta(pressure, 1m) < -0.1 MPa) >= 1", "clear": {"for": "1s"}},
    "trembling": {"when": "number(pump, count(run == fault, 90s) >= 2) >= 1", "clear": {"for": "0s"}},
    "unheard": {"when": "number(device, silence > 30s) >= 2", "clear": {"for": "0s"}},
    "untrusted": {"when": "share(device, pressure < 0.3 MPa) >= 50 %", "for": "30s"},
}


@cache
def _rules() -> tuple[GroupRule, ...]:
    return tuple(compiled(id=id, **rule) for id, rule in RULES.items())


class Said(NamedTuple):
    room: str
    child: str
    values: dict[str, Value]
    at: Millis
    """When it was heard."""
    behind: Millis = 0
    """How long before that it was measured."""


class Yard:
    """The rooms behind one gateway; devices are there throughout, for who is there is told by ticks."""

    def __init__(self, *rules: GroupRule) -> None:
        self.devices = {id: room(id) for id in ROOMS}
        for device in self.devices.values():
            device.gateway, device.liveness, device.reason = "gw", "online", PresenceReason.HEARD.value
            device.heard_at = device.last_received = START - 1
        self.groups = Groups(rules, self.devices, [placed(id) for id in ROOMS])
        self.told: list[tuple[str, str, Millis, Millis]] = []
        self._note(self.groups.judge(self._clock(START - 1)))

    def _clock(self, at: Millis) -> Clock:
        return {"gw": GatewayTime(at)}

    def _note(self, told: list[Told]) -> None:
        fired = [(one.key[1], firing) for one in told for firing in one.fired]
        self.told += [(rule, str(one.outcome), one.at, one.since) for rule, one in fired]

    def batch(self, said: list[Said]) -> None:
        for one in said:
            reading = Reading(one.room, one.child, one.at - one.behind, one.at, "t", one.values)
            self.groups.pass_to("gw", GatewayTime(one.at))
            fired = engine.take(self.devices[one.room], reading, GatewayView(one.at, known=True))
            self.groups.heard(self.devices[one.room], reading, fired=bool(fired))
        self._note(self.groups.news())

    def tick(self, at: Millis) -> None:
        self.groups.pass_all(self._clock(at))
        for device in self.devices.values():
            if device.profile is not None:
                pass_time(device, device.event_now(at))
        self.groups.touch(self.devices)
        self._note(self.groups.judge(self._clock(at)))


values = st.one_of(
    st.tuples(st.just(""), st.fixed_dictionaries({"pressure": st.sampled_from([0.1, 0.2, 0.5, 0.6])})),
    st.tuples(
        st.sampled_from(["pump:1", "pump:2"]), st.fixed_dictionaries({"run": st.sampled_from(["running", "fault"])})
    ),
)
stories = st.lists(
    st.tuples(st.sampled_from(ROOMS), values, st.sampled_from([0, 0, 1, 900, 4_000, 17_000, 61_000])), max_size=40
)


def heard(story: list[tuple[str, tuple[str, dict[str, Value]], int]]) -> list[Said]:
    now, found = START, []
    for id, (child, said), later in story:
        now += later
        found.append(Said(id, child, said, now))
    return found


def lived(
    said: list[Said], cuts: list[int], ticks: list[bool], rules: tuple[GroupRule, ...] | None = None
) -> list[tuple[str, str, Millis, Millis]]:
    yard = Yard(*(rules or _rules()))
    begin = 0
    for cut, told in zip(cuts, ticks, strict=True):
        yard.batch(said[begin:cut])
        # Time is told when a moment is over: what one message says is never seen by halves.
        if told and cut < len(said) and cut > 0 and said[cut].at > said[cut - 1].at:
            yard.tick(
                (said[cut].at + said[cut - 1].at) // 2 if said[cut].at - said[cut - 1].at > 1 else said[cut - 1].at
            )
        begin = cut
    yard.batch(said[begin:])
    yard.tick((said[-1].at if said else START) + 600_000)
    return sorted(yard.told, key=lambda one: (one[2], one))


@settings(max_examples=15)
@given(st.data())
def test_any_cut_of_the_same_readings_tells_the_same(data: st.DataObject) -> None:
    said = heard(data.draw(stories))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=8)))
    ticks = data.draw(st.lists(st.booleans(), min_size=len(cuts), max_size=len(cuts)))
    assert lived(said, cuts, ticks) == lived(said, [], [])


@pytest.mark.parametrize("cuts", [[], [1], [2], [1, 2, 3]])
def test_a_message_about_two_pumps_is_one_moment(cuts: list[int]) -> None:
    """Pump 2 has recovered and pump 1 has failed, in one message: never were there two."""
    now = START + 1000
    said = [
        Said("pumps-0", "pump:2", {"run": "fault"}, now),
        Said("pumps-0", "pump:1", {"run": "fault"}, now + 500),
        Said("pumps-0", "pump:2", {"run": "running"}, now + 500),
    ]
    assert [one for one in lived(said, cuts, [False] * len(cuts)) if one[0] == "at_once"] == []


# --- means are asked only when they may pass a limit -----------------------------------------------------------------

MEANS: dict[str, dict[str, Any]] = {
    "minute": {"when": "number(device, mean(pressure, 1m) < 0.3 MPa) >= 2", "clear": {"for": "0s"}},
    "delayed": {"when": "share(device, mean(pressure, 90s) >= 0.35 MPa) > 50 %", "for": "11s", "clear": {"for": "3s"}},
    "by_param": {"when": "number(device, mean(pressure, 2m) < low or mean(pressure, 1m) == 0.5 MPa) >= 1"},
    "or_else": {"when": "number(device, mean(pressure, 3m) > delta(pressure, 1m) and age(pressure) > 20s) >= 1"},
    "above_mean": {"when": "number(device, pressure - mean(pressure, 1m) > 0.05 MPa) >= 1", "clear": {"for": "0s"}},
}


@cache
def _of_means() -> tuple[GroupRule, ...]:
    return tuple(compiled(id=id, **rule) for id, rule in MEANS.items())


pressures = st.fixed_dictionaries({"pressure": st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.6])})
rounds = st.lists(
    st.tuples(
        st.sampled_from(ROOMS),
        pressures,
        st.sampled_from([0, 1, 900, 4_000, 7_300, 7_300, 61_000, 130_000]),
        st.sampled_from([0, 0, 0, 40, 1_500]),
    ),
    max_size=40,
)


@settings(max_examples=10)
@given(st.data())
def test_a_mean_that_is_asked_seldom_tells_what_one_asked_every_second_does(data: st.DataObject) -> None:
    now, said = START, []
    for room_id, values, later, behind in data.draw(rounds):
        now += later
        said.append(Said(room_id, "", {**values}, now, behind))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=5)))
    ticks = data.draw(st.lists(st.booleans(), min_size=len(cuts), max_size=len(cuts)))
    seldom = lived(said, cuts, ticks, _of_means())
    with pytest.MonkeyPatch.context() as always:
        always.setattr("services.groups.counting.mean_stands_until", lambda _series, at, _limits: at)
        assert seldom == lived(said, cuts, ticks, _of_means())
