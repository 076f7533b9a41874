"""The rules of all sites over their devices, judged by event time. No SQL, no clock.

Each device adds its part to the counts of the rules it belongs to, and is asked again only when something it is asked
for was heard, or when an answer of it changes by time alone: what a reading costs does not depend on how many devices
there are. The counts are told to the engine as values of a place, so delays, grades, schedules and flapping are those
of every other rule.

The clocks of devices differ, so what happens to several is told by the clock of their gateway: a reading counts from
when it was heard, an age from the moment at which it turns. However readings are cut into batches, the same is told at
the same times: a moment is told when the next one begins, or at the next tick.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from gateway.reading import Millis, Presence, Reading
from services.groups.counting import counted, set_aside
from services.groups.group import Group, Key
from services.groups.part import GatewayWatch, Part
from services.groups.places import Placed, members_of, places_of
from services.groups.remembering import Remembering
from services.groups.rule import GroupRule
from services.rules import engine
from services.rules.automaton import FOREVER
from services.rules.compiled import CompiledProfile
from services.rules.state import DeviceState

_CLOCK_WENT_BACK: Millis = 60_000
_CLOCK_JUMPED: Millis = 1000
"""Of a device: as often as anything is looked at while time passes."""


class GatewayTime(NamedTuple):
    """How far a gateway has seen time pass, and since when it has been listening."""

    progress: Millis | None
    watching_since: Millis | None = None


Clock = Mapping[str, GatewayTime]
OpenWindows = Mapping[tuple[str, str], tuple[str, ...]]
"""(site, gateway) -> the maintenance windows that are open there by that gateway's clock."""


class Told(NamedTuple):
    """What has become of a rule for one place."""

    key: Key
    state: DeviceState
    fired: list[engine.Firing]


def _places(rule: GroupRule, device: Placed) -> tuple[str, ...]:
    """For what a rule counts a device."""
    if rule.feeds is not None:
        device = device._replace(feeds=tuple(one for one in device.feeds if one in rule.feeds))
    return places_of(device, rule.rule.per)


class Groups:
    """Made anew whenever the memory is read. From then on `pass_to` before each reading, `heard` after it, and at each
    tick `judge`; `news` is what has become of it."""

    def __init__(
        self,
        rules: Iterable[GroupRule] = (),
        devices: Mapping[str, DeviceState] | None = None,
        placed: Iterable[Placed] = (),
        zones: Mapping[str, str] | None = None,
    ) -> None:
        self._devices = devices or {}
        self._by_key: dict[Key, Group] = {}
        self._parts: dict[str, list[Part]] = {}
        self._placed: dict[str, Placed] = {}
        self._remembering = Remembering()
        self._touched: set[str] = set()
        self._aside: frozenset[str] = frozenset()
        """Devices on which people are at work."""
        self._windows: OpenWindows = {}
        self._watches: dict[str, GatewayWatch] = {}
        self._fed: dict[str, tuple[str, ...]] = {}
        """Device -> the feeds for which it is counted."""
        self._ahead: dict[str, Millis] = {}
        """Device -> how far its event time was ahead of its gateway's clock."""
        self._restless: set[Key] = set()
        self._news: list[Told] = []
        here = list(placed)
        for rule in rules:
            zone = (zones or {}).get(rule.site, "UTC")
            self._remembering.add(rule)
            for device in members_of(rule.rule.of, (one for one in here if one.site == rule.site)):
                for place in _places(rule, device):
                    self._join(rule, device, place, zone)
        for id in self._parts:
            self._devices[id].profile = self.remembering(self._devices[id], self._devices[id].profile)
        self._touched.update(self._parts)
        self._restless.update(self._by_key)
        self._unasked = sorted(self._parts, reverse=True)
        """Devices that have not been asked since the memory was read: while there are any, nothing is told."""

    def _join(self, rule: GroupRule, device: Placed, place: str, zone: str) -> None:
        if device.id not in self._devices or device.profile not in rule.asked:
            return
        if rule.rule.per == "feed" and place not in self._fed.setdefault(device.id, ()):
            self._fed[device.id] = (*self._fed[device.id], place)
        key = (place, rule.rule.id)
        if key not in self._by_key:
            self._by_key[key] = Group(rule, place, zone)
        self._by_key[key].add(self._devices[device.id])
        self._placed[device.id] = device
        self._parts.setdefault(device.id, []).append(Part(self._by_key[key], device.profile))

    def __iter__(self) -> Iterator[Group]:
        return iter(self._by_key.values())

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def __contains__(self, device: str) -> bool:
        return device in self._parts

    def counts(self, device: DeviceState) -> bool:
        """Whether it is this state of the device that is counted."""
        return device.id in self._parts and self._devices[device.id] is device

    def get(self, place: str, rule: str) -> Group | None:
        return self._by_key.get((place, rule))

    def feeds_of(self, device: str) -> tuple[str, ...]:
        """The feeds, as places, for which a device is counted."""
        return self._fed.get(device, ())

    def fed_by(self, place: str) -> list[str]:
        """The devices behind a feed."""
        return [device for device, feeds in self._fed.items() if place in feeds]

    def remembering(self, device: DeviceState, profile: CompiledProfile | None) -> CompiledProfile | None:
        """A device's profile, with what it must remember for these rules."""
        return self._remembering.of(device, profile) if device.id in self._parts else profile

    def new_book(self, site: str) -> None:
        """A site has another rule book: its profiles are compiled anew, and nobody asks for those before any more."""
        self._remembering.forget(site)

    def touch(self, devices: Iterable[str]) -> None:
        """Something about these has changed, and it was no reading."""
        self._touched.update(one for one in devices if one in self._parts)

    def at_work(self, windows: OpenWindows, covered: Callable[[Placed, str], bool]) -> None:
        """People are at work on these devices now, and on no others. `windows`: those that are open; only when these
        are others than before anybody is asked. `covered`: a device and its gateway ("": none has heard it)."""
        if windows == self._windows:
            return
        self._windows = windows
        sites = {site for site, _ in windows}
        aside = frozenset(
            id
            for id, one in self._placed.items()
            if one.site in sites and covered(one, self._devices[id].gateway or "")
        )
        self.touch(aside ^ self._aside)
        self._aside = aside

    def news(self) -> list[Told]:
        """What has become of which rule where, each once."""
        found, self._news = self._news, []
        return found

    # --- time and readings -------------------------------------------------------------------------------------------

    def pass_to(self, gateway: str, time: GatewayTime) -> None:
        """A gateway has seen time pass: what it moved before is told, and what changes by itself until then."""
        at = time.progress
        if at is None or not self._by_key:
            return
        watch = self._watches.get(gateway)
        if watch is None:
            watch = self._watches[gateway] = GatewayWatch()
        watch.since = time.watching_since or 0
        if at < watch.moment - _CLOCK_WENT_BACK:
            self._begin_anew(gateway, watch, at)
        if 0 < watch.moment < watch.since <= at:
            self._skip_gap(gateway, watch)
        while watch.queue and watch.queue[0][0] <= at:
            due, id = heappop(watch.queue)
            self._advance(watch, due)
            self._turn(id, due, watch)
        self._advance(watch, at)

    def pass_all(self, clock: Clock) -> None:
        """The same for all gateways: at a tick, before the devices themselves are judged."""
        if self._by_key:
            for gateway, time in clock.items():
                self.pass_to(gateway, time)

    def heard(self, device: DeviceState, reading: Reading, *, fired: bool) -> None:
        """The engine has taken a reading; `fired`: something came of it."""
        parts = self._parts.get(device.id)
        if not parts:
            return
        watch = self._watches.get(device.gateway or "")
        if watch is None or device.id in self._touched:
            self._touched.add(device.id)  # all of it is asked at the next tick
            return
        at = max(reading.received_at, watch.moment)
        names: Collection[str] = reading.values
        if reading.flags or reading.events:
            names = {*reading.values, *reading.flags, *(one.id for one in reading.events)}
        said = reading.presence is not Presence.UNSAID
        all_of_it = self._has_jumped(device) or said
        alarms = fired or bool(device.waiting)
        for part in parts:
            if all_of_it or part.may_move(device, names, alarms=alarms):
                self._ask(part, device, at, watch)
            else:
                self._await(part, device, watch)  # by a clock that goes faster it comes earlier

    def begin(self, clock: Clock, *, most: int) -> bool:
        """Ask those who have not been asked yet, one by one until about so many questions are answered: at a start
        everybody is asked everything, and others wait meanwhile. Whether all have been."""
        if self._unasked:
            self.pass_all(clock)
        while self._unasked and most > 0:
            id = self._unasked[-1]
            most -= self._ask_all(id)
            self._touched.discard(id)
            self._unasked.pop()
        return not self._unasked

    def judge(self, clock: Clock) -> list[Told]:
        """Everything that has changed up to now, whatever moment it was, and the news of it."""
        if not self._by_key:
            return []
        self.pass_all(clock)
        for id in sorted(self._touched):
            self._ask_all(id)
        self._touched.clear()
        self._unasked.clear()
        for watch in self._watches.values():
            self._settle(watch)
        for key in sorted(self._restless):
            self._look(self._by_key[key])
        return self.news()

    # --- counting ----------------------------------------------------------------------------------------------------

    def _has_jumped(self, device: DeviceState) -> bool:
        """By its clock time has passed at once that nobody has looked at: its own was behind and was put right."""
        before, self._ahead[device.id] = self._ahead.get(device.id, device.ahead), device.ahead
        return device.ahead - before >= _CLOCK_JUMPED

    def _ask_all(self, id: str) -> int:
        """Everything one device is asked; how much that is."""
        device, parts = self._devices[id], self._parts[id]
        self._ahead[id] = device.ahead
        watch = self._watches.get(device.gateway or "")
        at = watch.moment if watch is not None else 0
        for part in parts:
            self._ask(part, device, at, watch)
        return len(parts)

    def _ask(self, part: Part, device: DeviceState, at: Millis, watch: GatewayWatch | None) -> None:
        """`at` on the gateway's clock."""
        rule, group = part.group.rule, part.group
        after = set_aside(rule, device) if device.id in self._aside else counted(rule, device, device.event_now(at))
        if part.gateway != (device.gateway or ""):
            part.follow_gateway(device.gateway or "")
        part.liveness, part.children = device.liveness, len(device.children)
        if part.counted is None or after.counts != part.counted.counts:
            if group.moved_at is not None and group.moved_at < at:
                self._tell(group, group.moved_at)
            group.exchange(part.counted, after)
            group.moved_at = at if group.moved_at is None else max(at, group.moved_at)
            if watch is not None:
                watch.moved.add(group.key)
            else:
                self._restless.add(group.key)
        part.counted = after
        if watch is not None:
            self._await(part, device, watch)

    @staticmethod
    def _await(part: Part, device: DeviceState, watch: GatewayWatch) -> None:
        turns = max(part.turns_at(device), watch.moment)
        if part.waits > turns:
            part.waits = turns
            heappush(watch.queue, (turns, device.id))

    def _turn(self, id: str, due: Millis, watch: GatewayWatch) -> None:
        device = self._devices[id]
        if self._watches.get(device.gateway or "") is not watch:
            return  # another gateway hears it now
        for part in self._parts[id]:
            if part.waits > due:
                continue
            part.waits = FOREVER
            if part.turns_at(device) <= due:
                self._ask(part, device, due, watch)
            else:  # it has spoken since, and stands for longer now
                self._await(part, device, watch)

    def _skip_gap(self, gateway: str, watch: GatewayWatch) -> None:
        """Nobody listened between its last moment and `since`: nobody was silent meanwhile, and what would have changed
        by itself, perhaps every second, is asked once at the end."""
        self._advance(watch, watch.since)
        watch.queue = [(max(due, watch.since), id) for due, id in watch.queue]
        heapify(watch.queue)
        for id, parts in self._parts.items():
            if self._devices[id].gateway == gateway:
                self._devices[id].listen_from(watch.since)
                for part in parts:
                    if part.waits <= watch.since:
                        part.expire()

    def _begin_anew(self, gateway: str, watch: GatewayWatch, at: Millis) -> None:
        """The gateway's clock had been ahead and was put right."""
        watch.moment = at
        watch.queue.clear()
        for id, parts in self._parts.items():
            if self._devices[id].gateway == gateway:
                self._touched.add(id)
                for part in parts:
                    part.waits = FOREVER
                    part.group.moved_at = None if part.group.moved_at is None else min(part.group.moved_at, at)

    # --- judging -----------------------------------------------------------------------------------------------------

    def _advance(self, watch: GatewayWatch, at: Millis) -> None:
        if at > watch.moment:
            self._settle(watch)
            watch.moment = at

    def _settle(self, watch: GatewayWatch) -> None:
        """What has changed at its moment is told."""
        if watch.moved:
            for key in sorted(watch.moved):
                group = self._by_key[key]
                if group.moved_at is not None:
                    self._tell(group, group.moved_at)
            watch.moved.clear()

    def _look(self, group: Group) -> None:
        """Time has passed."""
        times = [watch.moment for id, watch in self._watches.items() if group.gateways[id] > 0]
        if times:
            self._tell(group, max(times))

    def _tell(self, group: Group, at: Millis) -> None:
        if self._unasked:
            return  # the counts are not whole; it is restless still
        state = group.state
        group.moved_at = None
        if group.at is None:
            group.at = max((mark.at for mark in state.marks.values()), default=at)
        if at < group.at - _CLOCK_WENT_BACK:
            engine.rewind(state, at)
            group.at = at
        fired: list[engine.Firing] = []
        if state.waiting and any(self._watches[id].since > group.at for id in group.gateways if id in self._watches):
            # Nobody listened for a while: what was known then says nothing about that time, and delays stand still.
            fired += engine.tell(state, "", group.unknown(), group.at)
        group.at = max(at, group.at)
        fired += engine.tell(state, "", group.told(), group.at)
        self._news.append(Told(group.key, state, fired))
        (self._restless.add if group.restless else self._restless.discard)(group.key)
