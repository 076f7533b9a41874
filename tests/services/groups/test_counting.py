"""The counts of a rule, touched device by device, are those that counting everybody anew would give."""

from __future__ import annotations

from time import thread_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.presence import PresenceReason
from gateway.reading import Millis, Reading, Value
from services.groups.groups import GatewayTime, Groups
from services.groups.places import Placed
from services.groups.rule import GroupRule, RuleMistake, compile_rule
from services.rules import engine
from services.rules.automaton import Outcome
from services.rules.compiled import compile_profile
from services.rules.engine import GatewayView
from services.rules.state import DeviceState
from services.sites.model import SiteRule
from tests.stories.site import LIBRARY

START: Millis = 1_800_000_000_000
FAULTS = "number(pump, run == fault)"
LOW = "share(device, pressure < 0.3 MPa)"
COMPILED = {id: compile_profile(profile) for id, profile in LIBRARY.items()}


def rule(**said: Any) -> SiteRule:
    entry = {
        "id": "some",
        "name": "Some",
        "of": {"profiles": ["pumps"]},
        "when": f"{FAULTS} >= 2 or {LOW} >= 50 %",
        "severity": "major",
        **said,
    }
    return SiteRule.model_validate(entry)


def compiled(**said: Any) -> GroupRule:
    return compile_rule("yard", rule(**said), [LIBRARY["pumps"]])


def room(id: str) -> DeviceState:
    return DeviceState(id=id, site="yard", profile_id="pumps", profile=COMPILED["pumps"], params={"low": 0.3})


def placed(id: str, **more: Any) -> Placed:
    said: dict[str, Any] = {"site": "yard", "profile": "pumps", "family": "water_pump", "building": "", "parent": ""}
    return Placed(id, **{**said, **more})


class World:
    """Some pump rooms behind one gateway, and the clock of that."""

    def __init__(self, rooms: int, *rules: GroupRule) -> None:
        self.now = START
        self.devices = {f"pumps-{n}": room(f"pumps-{n}") for n in range(rooms)}
        self.groups = self.anew(*rules)
        self.rules = rules

    def anew(self, *rules: GroupRule) -> Groups:
        return Groups(rules, self.devices, [placed(id) for id in self.devices])

    def says(self, id: str, child: str = "", **values: Value) -> None:
        self.devices[id].gateway = "gw"
        reading = Reading(id, child, self.now, self.now, "t", values)
        engine.take(self.devices[id], reading, GatewayView(self.now, known=True))
        self.groups.touch([id])

    def hears(self, id: str, **values: Value) -> None:
        """The same between two ticks."""
        device, reading = self.devices[id], Reading(id, "", self.now, self.now, "t", values)
        self.groups.pass_to(device.gateway or "", GatewayTime(self.now))
        fired = engine.take(device, reading, GatewayView(self.now, known=True))
        self.groups.heard(device, reading, fired=bool(fired))

    def is_hidden(self, id: str) -> None:
        self.devices[id].liveness, self.devices[id].reason = "unknown", PresenceReason.UPLINK_CUT.value
        self.groups.touch([id])

    def judge(self, groups: Groups | None = None) -> list[engine.Firing]:
        clock = {"gw": GatewayTime(self.now)}
        return [firing for _, _, fired in (groups or self.groups).judge(clock) for firing in fired]

    def told(self, groups: Groups | None = None) -> list[dict[str, Value]]:
        self.judge(groups)
        return [
            {key: value for key, value in group.told().items() if key in (FAULTS, LOW) or (value and "at most" in key)}
            for group in groups or self.groups
        ]


steps = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from(["run1", "run2", "low", "fine", "hidden", "wait"]),
        st.sampled_from(["running", "fault"]),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_counts_kept_are_counts_anew(said: list[tuple[int, str, str]]) -> None:
    world = World(5, compiled())
    for n, what, run in said:
        id = f"pumps-{n}"
        if what == "hidden":
            world.is_hidden(id)
        elif what == "wait":
            world.now += 25_000  # a pressure is trusted for a minute
        elif what in ("low", "fine"):
            world.says(id, pressure=0.1 if what == "low" else 0.5)
        else:
            world.says(id, f"pump:{what[-1]}", run=run)
        world.now += 10
        assert world.told() == world.told(world.anew(*world.rules))


def test_unknown_members_count_neither_way() -> None:
    world = World(3, compiled(when=f"{FAULTS} >= 2"))
    for n in range(3):
        world.says(f"pumps-{n}", "pump:1", run="fault" if n else "running")
    assert [one.outcome for one in world.judge()] == [Outcome.RAISED]
    world.is_hidden("pumps-1")
    world.is_hidden("pumps-2")
    assert world.told() == [{FAULTS: 0.0, f"{FAULTS} at most": 2.0}]
    world.now += 3_600_000
    assert world.judge() == [], "nobody knows whether it is over"
    world.says("pumps-1", "pump:1", run="running")
    assert world.judge() == []
    world.now += 120_000
    assert [one.outcome for one in world.judge()] == [Outcome.CLEARED], "one that may be faulty is not two"


def test_a_share_is_unknown_when_fewer_than_half_are_known() -> None:
    world = World(4, compiled(when=f"{LOW} >= 50 %"))
    for n in range(4):
        world.says(f"pumps-{n}", pressure=0.1)
    assert world.told() == [{LOW: 1.0}]
    for n in (0, 1):
        world.is_hidden(f"pumps-{n}")
    assert world.told() == [{LOW: 1.0}]
    world.is_hidden("pumps-2")
    assert world.told() == [{LOW: None}]


def test_a_value_grows_old_without_a_word() -> None:
    world = World(2, compiled(when=f"{LOW} >= 50 %"))
    world.says("pumps-0", pressure=0.1)
    world.says("pumps-1", pressure=0.1)
    assert world.told() == [{LOW: 1.0}]
    world.now += 61_000  # three periods of 20 s
    assert world.told() == [{LOW: None}]


def test_nobody_listened_so_delays_stand_still() -> None:
    world = World(2, compiled(when=f"{FAULTS} >= 1", **{"for": "10m"}))
    world.says("pumps-0", "pump:1", run="fault")
    world.judge()
    world.now += 300_000
    world.judge()
    world.now += 3_600_000  # the gateway was off
    back = {"gw": GatewayTime(world.now, watching_since=world.now)}
    assert [fired for _, _, fired in world.groups.judge(back) if fired] == []
    world.now += 290_000
    assert world.judge() == []
    world.now += 20_000
    (raised,) = world.judge()
    assert raised.at == world.now - 10_000


def test_each_place_is_judged_for_itself() -> None:
    devices = {f"pumps-{n}": room(f"pumps-{n}") for n in range(3)}
    here = [
        placed("pumps-0", building="1", parent="dtu"),
        placed("pumps-1", building="2", parent="dtu"),
        placed("pumps-2"),
    ]
    places = {}
    for per in ("site", "building", "parent"):
        groups = Groups([compiled(per=per)], devices, here)
        places[per] = sorted(group.state.id for group in groups)
    assert places == {
        "site": ["site:yard"],
        "building": ["building:yard/1", "building:yard/2"],
        "parent": ["behind:dtu"],
    }


@pytest.mark.parametrize(
    ("said", "where", "found"),
    [
        ({"when": "number(port, run == fault) > 1"}, ("when",), "'port' at column 8"),
        ({"when": "number(device, alarm.lwo) > 1"}, ("when",), "the unknown name 'alarm.lwo'"),
        ({"when": "presence == offline"}, ("when",), "'presence'"),
        ({"when": "number(device, age(presure) > 5m) > 1"}, ("when",), "'presure'"),
        ({"when": "number(device, count(alarm.low, 1h) > 2) > 1"}, ("when",), "alarm.low within count(…)"),
        ({"clear": {"when": "share(pump, run == fualt) < 5 %"}}, ("clear", "when"), "'fualt'"),
        ({"grades": [{"severity": "minor", "when": "number(pump, run) > 1"}]}, ("grades", 0, "when"), "a state"),
    ],
)
def test_a_condition_that_cannot_be_read_is_said_where_it_stands(
    said: dict[str, Any], where: tuple[str | int, ...], found: str
) -> None:
    with pytest.raises(RuleMistake) as caught:
        compiled(**said)
    assert caught.value.where == where
    assert found in caught.value.found


def test_profiles_of_one_family_each_read_it_in_their_names() -> None:
    both = [LIBRARY["pumps"], LIBRARY["gate"]]
    read = compile_rule(
        "yard", rule(when="number(device, presence == offline) > 1 or number(pump, run == fault) > 1"), both
    )
    assert [len(read.asked[id][1].reads) for id in ("pumps", "gate")] == [1, 0], "a gate has no pumps"
    with pytest.raises(RuleMistake, match="read for pumps"):
        compile_rule("yard", rule(when="number(device, door == open) > 1"), both)


def test_a_large_group_is_counted_piece_by_piece_and_told_once_it_is_whole() -> None:
    """Two gateways; everybody is low, and some say so while others have not been asked yet."""
    whole, pieces = started(), started()
    fired = whole.judge()
    assert [one.outcome for one in fired] == [Outcome.RAISED]
    clock = {"gw": GatewayTime(pieces.now), "other": GatewayTime(pieces.now - 5)}
    took = 0
    while not pieces.groups.begin(clock, most=4):
        took += 1
        for n in (0, 9):
            pieces.hears(f"pumps-{n}", pressure=0.1)
        pieces.groups.pass_to("gw", GatewayTime(pieces.now))
        assert pieces.groups.news() == [], "of half of them nothing is known"
    assert took == 4, "ten rooms and two rules are twenty questions"
    assert [(one.outcome, one.rule.rule.id) for one in pieces.judge()] == [(Outcome.RAISED, "some")]
    assert pieces.told() == whole.told()


def started() -> World:
    """Ten rooms that were heard before a start, all low; five of them by another gateway."""
    world = World(10, compiled(when=f"{LOW} >= 100 %"), compiled(id="more", when=f"{FAULTS} >= 1"))
    for n in range(10):
        world.says(f"pumps-{n}", pressure=0.1)
        world.says(f"pumps-{n}", "pump:1", run="running")
        world.devices[f"pumps-{n}"].gateway = "gw" if n % 2 else "other"
    world.groups = world.anew(*world.rules)
    return world


def seconds_of_a_batch(rooms: int) -> float:
    """The quickest of some batches in which fifty devices speak, among so many."""
    world = World(rooms, compiled(when=f"{FAULTS} >= 100000 or {LOW} >= 90 %"))
    for n in range(rooms):
        world.says(f"pumps-{n}", pressure=0.5)
        world.says(f"pumps-{n}", "pump:1", run="fault")
    world.judge()
    best = 1.0
    for batch in range(12):
        world.now += 1000
        for n in range(50):
            world.says(f"pumps-{(batch * 53 + n) % rooms}", pressure=0.4)
        began = thread_time()  # what others do on the machine meanwhile is no cost of ours
        world.judge()
        best = min(best, thread_time() - began)
    return best


def test_a_batch_costs_the_same_among_five_thousand_devices() -> None:
    few, many = seconds_of_a_batch(100), seconds_of_a_batch(5000)
    assert many < 4 * few, f"{few * 1e6:.0f} us among 100, {many * 1e6:.0f} us among 5,000"
