"""A mean is asked only when it may pass what it is compared with. Whatever happens meanwhile (values that cannot be
trusted, clocks that jump, thresholds that change, people at work, nobody listening), the same is told at the same times
as where it is asked at every look."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.presence import PresenceReason
from gateway.reading import Millis, Quality, Reading, Value
from services.groups.groups import GatewayTime, Groups
from services.groups.rule import GroupRule
from services.rules import engine
from services.rules.engine import GatewayView
from tests.services.groups.test_counting import START, compiled, placed, room

ROOMS = ["pumps-0", "pumps-1"]
EVERY_LOOK: Millis = 6_000
"""Of means over 1m, 90s, 2m and 3m; the clocks of devices differ by multiples of it."""
RULES: dict[str, dict[str, Any]] = {
    "negated": {"when": "number(device, not (mean(pressure, 1m) >= 0.3 MPa)) >= 1"},
    "either": {
        "when": "number(device, (mean(pressure, 2m) < low and not mean(pressure, 1m) < 0.4 MPa) or "
        "(not mean(pressure, 2m) < low and mean(pressure, 1m) < 0.4 MPa)) >= 1"
    },
    "above_its_mean": {"when": "number(device, mean(pressure, 90s) < pressure) >= 1", "for": "3s"},
    "near_its_change": {"when": "number(device, mean(pressure, 1m) > low * 2 + delta(pressure, 30s)) >= 1"},
    "between": {"when": "share(device, mean(pressure, 2m) > 0.2 MPa and mean(pressure, 2m) <= 0.4 MPa) > 50 %"},
    "fresh": {"when": "number(device, mean(pressure, 3m) != 0.5 MPa and age(pressure) > 20s) >= 1"},
    "of_a_pump": {"when": "number(pump, mean(current, 1m) > 5 A and mean(parent.pressure, 1m) < 0.3 MPa) >= 1"},
    "lenient": {"when": "number(device, mean(pressure, 1m) < 0.3 MPa or silence > 40s) >= 1", "needs": "any"},
}


@cache
def _rules() -> tuple[GroupRule, ...]:
    return tuple(compiled(id=id, **{"clear": {"for": "0s"}, **rule}) for id, rule in RULES.items())


class Step(NamedTuple):
    """What happens, to whom, and how long after what happened before."""

    what: str
    room: int
    value: float
    later: Millis
    jumps: Millis
    """The device's clock, ahead: it was behind, and is put right more and more."""


class Yard:
    """Two rooms behind one gateway whose rules have a book of their own."""

    def __init__(self) -> None:
        self.now, self.since = START, START - 1
        self.devices = {id: room(id) for id in ROOMS}
        self.ahead = dict.fromkeys(ROOMS, -90_000)
        for device in self.devices.values():
            device.gateway, device.liveness, device.reason = "gw", "online", PresenceReason.HEARD.value
            device.heard_at = device.last_received = START - 1
        self.groups = Groups(_rules(), self.devices, [placed(id) for id in ROOMS])
        self.told: list[tuple[str, str, Millis, Millis]] = []
        self.tick()

    def lives(self, step: Step) -> None:
        self.now += step.later
        self.groups.pass_to("gw", GatewayTime(self.now, self.since))
        _STEPS[step.what](self, ROOMS[step.room], step)

    def hears(self, id: str, step: Step, child: str = "", **said: Any) -> None:
        self.ahead[id] = min(self.ahead[id] + step.jumps, 240_000)
        reading = Reading(id, child, self.now + self.ahead[id], self.now, "t", **said)
        fired = engine.take(self.devices[id], reading, GatewayView(self.now, known=True))
        self.groups.heard(self.devices[id], reading, fired=bool(fired))

    def presence(self, id: str, liveness: str, reason: PresenceReason) -> None:
        self.devices[id].liveness, self.devices[id].reason = liveness, reason.value
        self.groups.touch([id])
        self.tick()

    def low(self, id: str, value: float) -> None:
        self.devices[id].params = {"low": value}
        self.groups.touch([id])
        self.tick()

    def at_work(self, id: str, *, begins: bool) -> None:
        self.groups.at_work({("yard", "gw"): ("w",)} if begins else {}, lambda one, _: begins and one.id == id)
        self.tick()

    def gap(self) -> None:
        """Nobody listened since the last moment, up to one at which all of them are looked at by either way."""
        self.now = ((self.now + 45_000) // EVERY_LOOK + 1) * EVERY_LOOK
        self.since = self.now
        self.groups.pass_to("gw", GatewayTime(self.now, self.since))

    def tick(self) -> None:
        told = self.groups.judge({"gw": GatewayTime(self.now, self.since)})
        self.told += [(one.key[1], str(f.outcome), f.at, f.since) for one in told for f in one.fired]


def _values(name: str, value: float) -> dict[str, Value]:
    return {name: value}


_STEPS: dict[str, Callable[[Yard, str, Step], None]] = {
    "pressure": lambda yard, id, step: yard.hears(id, step, values=_values("pressure", step.value)),
    "current": lambda yard, id, step: yard.hears(id, step, "pump:1", values=_values("current", step.value * 20)),
    "other word": lambda yard, id, step: yard.hears(id, step, values={"room": "dry"}),
    "poor": lambda yard, id, step: yard.hears(
        id, step, values=_values("pressure", step.value), flags={"pressure": Quality.SUSPECT}
    ),
    "impossible": lambda yard, id, step: yard.hears(id, step, values={}, flags={"pressure": Quality.IMPOSSIBLE}),
    "hidden": lambda yard, id, _: yard.presence(id, "unknown", PresenceReason.UPLINK_CUT),
    "back": lambda yard, id, _: yard.presence(id, "online", PresenceReason.HEARD),
    "low": lambda yard, id, step: yard.low(id, step.value),
    "work": lambda yard, id, _: yard.at_work(id, begins=True),
    "no work": lambda yard, id, _: yard.at_work(id, begins=False),
    "gap": lambda yard, _id, _step: yard.gap(),
    "tick": lambda yard, _id, _step: yard.tick(),
}
steps = st.builds(
    Step,
    st.sampled_from(["pressure"] * 8 + ["tick"] * 2 + ["current", "other word"] * 2 + list(_STEPS)),
    st.integers(0, 1),
    st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.6]),
    st.sampled_from([0, 1, 900, 4_000, 7_300, 20_000, 20_000, 61_000, 130_000]),
    st.sampled_from([0, 0, 0, 0, 0, 6_000, 42_000, 90_000]),
)


def lived(story: list[Step]) -> list[tuple[str, str, Millis, Millis]]:
    yard = Yard()
    for step in story:
        yard.lives(step)
    yard.now += 600_000
    yard.tick()
    return yard.told


@settings(max_examples=25)
@given(st.lists(steps, max_size=30))
def test_whatever_happens_meanwhile_nothing_is_told_otherwise_or_later(story: list[Step]) -> None:
    seldom = lived(story)
    with pytest.MonkeyPatch.context() as always:
        always.setattr("services.groups.counting.mean_stands_until", lambda _series, at, _limits: at)
        assert seldom == lived(story)


def test_a_clock_that_is_put_right_by_another_word_is_looked_at_then() -> None:
    """Its clock is 90 s behind. The mean of a minute is low half a minute after the pressure fell: by its clock that
    time has passed at once when it speaks of the room by a clock that is right."""
    yard = Yard()
    for value in (0.5, 0.5, 0.5, 0.5, 0.1):
        yard.lives(Step("pressure", 0, value, 20_000, 0))
    assert [one for one in yard.told if one[0] == "negated"] == []
    yard.lives(Step("other word", 0, 0, 1000, 30_000))
    yard.lives(Step("other word", 0, 0, 4000, 0))
    yard.groups.pass_to("gw", GatewayTime(yard.now + 1))
    found = [(one.key[1], fired.at - yard.now) for one in yard.groups.news() for fired in one.fired]
    assert ("negated", -4000) in found, "when it spoke, and not half a minute later"
