"""The rules of all sites over their devices, judged by event time. No SQL, no clock.

Each device adds its part to the counts of the rules it belongs to, and is asked again only when it was touched, or when
a value of it grows too old: what a reading costs does not depend on how many devices there are. The counts are told to
the engine as values of a place, so delays, grades, schedules and flapping are those of every other rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from heapq import heappop, heappush
from typing import NamedTuple

from gateway.presence import Liveness
from gateway.reading import Millis, Value
from services.groups.counting import Counted, counted
from services.groups.places import Placed, members_of, place_of
from services.groups.rule import SITE_RULES, GroupRule
from services.rules import engine
from services.rules.automaton import FOREVER
from services.rules.members import Tally, met_and_most, values_of_tally
from services.rules.state import DeviceState

_CLOCK_WENT_BACK: Millis = 60_000


class GatewayTime(NamedTuple):
    """How far a gateway has seen time pass, and since when it has been listening."""

    progress: Millis | None
    watching_since: Millis | None = None


Clock = Mapping[str, GatewayTime]
Key = tuple[str, str]
"""(place, rule)"""


class Group:
    """One rule for one place: its counts, and the state in which the engine keeps its alarm."""

    def __init__(self, rule: GroupRule, place: str, zone: str) -> None:
        self.rule = rule
        self.state = DeviceState(
            id=place,
            site=rule.site,
            profile_id=SITE_RULES,
            profile=rule.profile,
            params={},
            zone=zone,
            liveness=Liveness.ONLINE.value,
            looked_at=True,
        )
        self.at: Millis | None = None
        """Event time up to which it was judged."""
        self._met: tuple[dict[str, None], ...] = tuple({} for _ in rule.functions)
        """Members that meet each function, in the order in which they came to."""
        self._known = [0] * len(rule.functions)
        self._members = [0] * len(rule.functions)
        self.gateways: Counter[str] = Counter()

    @property
    def key(self) -> Key:
        return self.state.id, self.rule.rule.id

    @property
    def restless(self) -> bool:
        """Time alone can move it."""
        state = self.state
        return bool(state.marks or state.past) or self.rule.compiled.timetable is not None

    def exchange(self, before: Counted | None, after: Counted) -> None:
        for i in range(len(self.rule.functions)):
            old, new = before.counts[i] if before is not None else None, after.counts[i]
            if old == new:
                continue
            if old is not None:
                self._known[i] -= old.known
                self._members[i] -= old.members
                for name in old.met:
                    if name not in new.met:
                        del self._met[i][name]
            self._known[i] += new.known
            self._members[i] += new.members
            self._met[i].update(dict.fromkeys(new.met))

    def told(self) -> dict[str, Value]:
        """What the rule reads; None where it is unknown."""
        found: dict[str, Value] = {}
        for i, (key, function) in enumerate(self.rule.functions):
            tally = Tally(len(self._met[i]), self._known[i], self._members[i])
            found |= dict.fromkeys((key, *met_and_most(key)))
            found |= values_of_tally(key, function, tally, self._met[i])
        return found

    def unknown(self) -> dict[str, Value]:
        return {name: None for key, _ in self.rule.functions for name in (key, *met_and_most(key))}


class _Part:
    """What one device adds to one group."""

    __slots__ = ("counted", "gateway", "group", "waits")

    def __init__(self, group: Group) -> None:
        self.group = group
        self.counted: Counted | None = None
        self.gateway = ""
        self.waits: Millis = FOREVER
        """Until when it stands in the queue of what grows old, on its gateway's time."""


class Groups:
    """Made anew whenever the memory is read; `touch` and `judge` from then on."""

    def __init__(
        self,
        rules: Iterable[GroupRule] = (),
        devices: Mapping[str, DeviceState] | None = None,
        placed: Iterable[Placed] = (),
        zones: Mapping[str, str] | None = None,
    ) -> None:
        self._devices = devices or {}
        self._by_key: dict[Key, Group] = {}
        self._parts: dict[str, list[_Part]] = {}
        self._touched: set[str] = set()
        self._old: dict[str, list[tuple[Millis, str]]] = {}
        """Gateway -> (its time, device): whose values grow too old then."""
        self._restless: set[Key] = set()
        here = list(placed)
        for rule in rules:
            zone = (zones or {}).get(rule.site, "UTC")
            for device in members_of(rule.rule.of, (one for one in here if one.site == rule.site)):
                self._join(rule, device, zone)
        self._touched.update(self._parts)
        self._restless.update(self._by_key)

    def _join(self, rule: GroupRule, device: Placed, zone: str) -> None:
        place = place_of(device, rule.rule.per)
        if place is None or device.id not in self._devices or device.profile not in rule.asked:
            return
        key = (place, rule.rule.id)
        if key not in self._by_key:
            self._by_key[key] = Group(rule, place, zone)
        self._parts.setdefault(device.id, []).append(_Part(self._by_key[key]))

    def __iter__(self) -> Iterator[Group]:
        return iter(self._by_key.values())

    def get(self, place: str, rule: str) -> Group | None:
        return self._by_key.get((place, rule))

    def touch(self, devices: Iterable[str]) -> None:
        """Something about these has changed."""
        self._touched.update(one for one in devices if one in self._parts)

    def judge(self, clock: Clock) -> Iterator[tuple[Key, DeviceState, list[engine.Firing]]]:
        """What has changed for each place since, and what it raises or clears."""
        if not self._by_key:
            return
        for key in sorted(self._count(clock) | self._restless):
            group = self._by_key[key]
            yield key, group.state, self._judge(group, clock)
            (self._restless.add if group.restless else self._restless.discard)(key)

    # --- counting ------------------------------------------------------------------------------------------------

    def _count(self, clock: Clock) -> set[Key]:
        """Ask those again that were touched, and those whose values have grown old."""
        moved: set[Key] = set()
        self._touched.update(self._grown_old(clock))
        for id in self._touched:
            device = self._devices[id]
            time = clock.get(device.gateway or "")
            at = device.event_now(time.progress if time is not None and time.progress is not None else 0)
            for part in self._parts[id]:
                self._ask(part, device, at, moved)
        self._touched.clear()
        return moved

    def _ask(self, part: _Part, device: DeviceState, at: Millis, moved: set[Key]) -> None:
        after, gateway = counted(part.group.rule, device, at), device.gateway or ""
        if part.counted is None or after.counts != part.counted.counts:
            part.group.exchange(part.counted, after)
            moved.add(part.group.key)
        if gateway != part.gateway:
            part.group.gateways.subtract([part.gateway])
            part.group.gateways.update([gateway])
            part.gateway = gateway
        part.counted = after
        self._await_age(part, device, gateway)

    def _await_age(self, part: _Part, device: DeviceState, gateway: str) -> None:
        if part.counted is None or part.counted.until >= FOREVER or not gateway:
            return
        # Event time of the device -> time of its gateway.
        ahead = 0 if device.last_measured is None else device.last_measured - device.last_received
        until = part.counted.until - ahead + 1
        if part.waits > until or part.waits >= FOREVER:
            part.waits = until
            heappush(self._old.setdefault(gateway, []), (until, device.id))

    def _grown_old(self, clock: Clock) -> Iterator[str]:
        for gateway, queue in self._old.items():
            time = clock.get(gateway)
            while queue and time is not None and time.progress is not None and queue[0][0] <= time.progress:
                until, id = heappop(queue)
                for part in self._parts[id]:
                    if part.waits <= until:
                        part.waits = FOREVER
                yield id

    # --- judging -------------------------------------------------------------------------------------------------

    def _judge(self, group: Group, clock: Clock) -> list[engine.Firing]:
        times = [clock[id] for id, members in group.gateways.items() if members > 0 and id in clock]
        known = [one.progress for one in times if one.progress is not None]
        if not known:
            return []
        at, state = max(known), group.state
        if group.at is None:
            group.at = max((mark.at for mark in state.marks.values()), default=at)
        if at < group.at - _CLOCK_WENT_BACK:
            engine.rewind(state, at)
        fired: list[engine.Firing] = []
        if any((one.watching_since or 0) > group.at for one in times) and state.waiting:
            # Nobody listened for a while: what was known then says nothing about that time, and delays stand still.
            fired += engine.tell(state, "", group.unknown(), group.at)
        group.at = at
        return fired + engine.tell(state, "", group.told(), at)
