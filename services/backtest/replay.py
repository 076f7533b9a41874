"""History through the live engine, in event time. No SQL, no clock.

Readings come in the order in which they were heard; between them time passes on a grid, and the engine ticks as it does
in the product. Where a gap of its gateway is on record no time passes for a device, as none did live.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec

from gateway.presence import Liveness
from gateway.reading import Millis, Quality, Reading
from services.backtest.lanes import Judged, Lanes
from services.backtest.listening import SILENT_AFTER, ears_of
from services.backtest.place import SIDES, Lane
from services.clock import from_millis
from services.groups.aside import set_aside_at_work
from services.groups.groups import GatewayTime, Groups
from services.maintenance.windows import Windows
from services.presence.branches import Branches
from services.presence.breaks import BREAKS, PARENT_DOWN, Breaks, Limits, Verdict, judge_gateway, judge_parent
from services.presence.gaps import Gap
from services.presence.gateways import gateway_device
from services.rules import engine
from services.rules.automaton import Phase
from services.rules.engine import Firing
from services.rules.state import DeviceState, Evidence

TICK: Millis = 1000
BREAK_AFTER = timedelta(seconds=180)
_LIMITS = Limits(SILENT_AFTER, BREAK_AFTER)
_PAGES_NOBODY = frozenset({Quality.LATE, Quality.HISTORIC})


class Shot(NamedTuple):
    """A firing in plain words, so that it can come from another process."""

    lane: Lane
    device: str
    child: str
    profile: str
    """That of the device, or the built-in one of broken links."""
    rule: str
    outcome: str
    at: Millis
    since: Millis
    evidence: Evidence | None
    severity: str
    flaps: int


class Clearing(NamedTuple):
    """An alarm whose clear condition holds, its delay not being over."""

    lane: Lane
    device: str
    child: str
    rule: str
    mark: tuple[Any, ...]
    """A services.rules.automaton.Mark."""


class Slot(NamedTuple):
    """What fired up to a moment of the grid, in order of time."""

    now: Millis
    shots: tuple[Shot, ...]
    clearing: tuple[Clearing, ...]
    readings: int
    """Since the slot before."""


@dataclass(kw_only=True)
class Replay:
    """One run over devices that do not look at others outside."""

    lanes: Lanes
    start: Millis
    end: Millis
    grid: Millis
    gaps: Sequence[Gap] = ()
    gateways: Sequence[str] = ()
    """Those that are judged themselves."""
    site: str = ""
    windows: Windows = field(default_factory=Windows)

    def __post_init__(self) -> None:
        self._judged = self.lanes.judged
        self._all = [one for some in self._judged.values() for one in some]
        self._branches = Branches({one.state.id: one.state for one in self._all if one.lane is Lane.BOTH})
        heard_by = {*self.gateways, *(one.state.gateway or "" for one in self._all)}
        self._ears = ears_of(sorted(heard_by), self.gaps, self.start)
        self._has_parents = any(True for _ in self._branches.parents())
        self._breaks = Breaks(_LIMITS)
        self._broken: dict[tuple[str, str], str] = {}
        self._tally = list(self._groups())
        self._shots: list[Shot] = []
        self._count = 0
        self._progress = self._ticked = self.start

    def run(self, parts: Iterable[Sequence[Reading]]) -> Iterator[Slot]:
        """Slots from the start to the end; the last one is at `end`."""
        due, end, judged = self.start + self.grid, self.end, self._judged
        for part in parts:
            for reading in part:
                heard = reading.received_at
                if heard >= end:
                    continue  # measured before, heard later: nobody knew it then
                while heard >= due:
                    yield self._tick(due)
                    due += self.grid
                if heard > self._progress:
                    self._progress = heard
                self._count += 1
                if self._tally:
                    self._pass_for_groups(reading)
                for one in judged[reading.device]:
                    if _moves(one, reading):
                        if one.by_silence:
                            self._pass_time(one, reading)
                        self._take(one, reading)
                    else:
                        one.waiting = reading
        while due < end:
            yield self._tick(due)
            due += self.grid
        yield self._tick(end)

    def _groups(self) -> Iterator[tuple[Lane, Groups]]:
        """What counts over several devices: once where no member is judged apart, else once for each side."""
        several = self.lanes.over_several
        if not several:
            return
        by_lane = {lane: {one.state.id: one.state for one in self._all if one.lane is lane} for lane in Lane}
        apart = several.members & {*by_lane[Lane.OLD], *by_lane[Lane.NEW]}
        same = not apart and not several.changed
        for lane in (Lane.BOTH,) if same else SIDES:
            states = by_lane[Lane.BOTH] if same else {**by_lane[Lane.BOTH], **by_lane[lane]}
            yield lane, several.groups(Lane.NEW if same else lane, states)

    def _take(self, one: Judged, reading: Reading) -> None:
        device, one.waiting = one.state, None
        view = self._ears[device.gateway or ""].heard(self._progress)
        if device.parent and device.liveness != Liveness.ONLINE:
            view = self._branches.view_of(device, view)
        fired = engine.take(device, reading, view)
        for _, groups in self._tally:
            if groups.counts(device):
                groups.heard(device, reading, fired=bool(fired))
        if fired:
            self._shots += [_shot(one.lane, firing) for firing in fired]

    def _pass_time(self, one: Judged, reading: Reading) -> None:
        """A silence that ends between two ticks of the grid was seen by the product, which ticks each second."""
        device, before = one.state, reading.received_at - TICK
        if device.heard_at is None or before <= self._ticked:
            return
        state = device.children.get(reading.child)
        long_ago = reading.measured_at - self.grid
        gap = device.heard_at < reading.received_at - self.grid
        if gap or (state is not None and any(state.times.get(name, long_ago) < long_ago for name in reading.values)):
            view = self._ears[device.gateway or ""].passed(before)
            fired = engine.tick(device, self._branches.view_of(device, view) if device.parent else view)
            self._shots += [_shot(one.lane, firing) for firing in fired]

    def _tick(self, now: Millis) -> Slot:
        views, self._ticked = {id: ears.passed(now) for id, ears in self._ears.items()}, now
        clock = {id: ears.time(now) for id, ears in self._ears.items()} if self._tally else {}
        for _, groups in self._tally:
            groups.pass_all(clock)
        for one in self._all:
            if one.waiting is not None:
                self._take(one, msgspec.structs.replace(one.waiting, values={}))
        view_of = self._branches.views()
        for one in self._all:
            device = one.state
            view = views[device.gateway or ""]
            fired = engine.tick(device, view_of(device, view) if device.parent else view)
            if fired:
                self._shots += [_shot(one.lane, firing) for firing in fired]
        if self._tally:
            self._count_members(now)
        if self._has_parents or self.gateways:
            self._watch_links(now)
        slot = Slot(now, tuple(sorted(self._shots, key=_at)), tuple(self._clearing()), self._count)
        self._shots, self._count = [], 0
        return slot

    def _count_members(self, now: Millis) -> None:
        """Rules over several devices, as the product judges them at its ticks."""
        clock = {id: ears.time(now) for id, ears in self._ears.items()}
        for lane, groups in self._tally:
            groups.touch(self._judged)
            set_aside_at_work(groups, self.windows, clock, [self.site])
            for _, _, fired in groups.judge(clock):
                self._shots += [_shot(lane, firing) for firing in fired]

    def _pass_for_groups(self, reading: Reading) -> None:
        """What changes by itself before a reading comes, it changes by what was known until then."""
        gateway = self._judged[reading.device][0].state.gateway or ""
        for _, groups in self._tally:
            if reading.device in groups:
                view = self._ears[gateway].heard(reading.received_at)
                groups.pass_to(gateway, GatewayTime(view.progress, view.watching_since))

    def _clearing(self) -> Iterator[Clearing]:
        for one in self._all:
            for key in one.state.waiting:
                mark = one.state.marks[key]
                if mark.phase is Phase.CLEARING:
                    yield Clearing(one.lane, one.state.id, *key, tuple(mark))
        for lane, groups in self._tally:
            for group in groups:
                for key in group.state.waiting:
                    mark = group.state.marks[key]
                    if mark.phase is Phase.CLEARING:
                        yield Clearing(lane, group.state.id, *key, tuple(mark))

    def _watch_links(self, now: Millis) -> None:
        """The built-in rules on gateways and on what others hang on; see services.presence.breaks."""
        verdicts = [*self._parents(now), *self._gateways(now)]
        for firing in self._breaks.firings(verdicts, dict(self._broken), lambda _: None, now):
            key = (firing.device.id, firing.rule.rule.id)
            if self._broken.pop(key, None) is None:
                self._broken[key] = firing.device.site or ""
            self._shots.append(_shot(Lane.BOTH, firing))

    def _parents(self, now: Millis) -> Iterator[tuple[DeviceState, str, Verdict]]:
        for parent, below in self._branches.parents():
            if parent.profile is None or PARENT_DOWN not in parent.profile.rules:
                progress = self._ears[parent.gateway or ""].time(now).progress
                yield parent, PARENT_DOWN, judge_parent(parent, below, progress, _LIMITS)

    def _gateways(self, now: Millis) -> Iterator[tuple[DeviceState, str, Verdict]]:
        for id in self.gateways:
            name = gateway_device(id)
            device = DeviceState(id=name, site=self.site, profile_id=BREAKS, profile=None, params={})
            for rule, verdict in judge_gateway(self._ears[id].seen(now), from_millis(now), _LIMITS).items():
                if verdict.broken or (name, rule) in self._broken:
                    yield device, rule, verdict


def _moves(one: Judged, reading: Reading) -> bool:
    """Whether more follows from a reading than that its device was heard. What does not is kept until the next look at
    the device, the newest in the place of those before: all that it changes is when the device was last heard."""
    device: DeviceState = one.state
    return (
        device.liveness != Liveness.ONLINE
        or bool(device.waiting)
        or device.due_at <= reading.measured_at
        or not one.names.isdisjoint(reading.values)
        or bool(reading.events)
        or one.each_word
        or reading.child not in device.children
        or reading.quality in _PAGES_NOBODY
    )


def _shot(lane: Lane, firing: Firing) -> Shot:
    device, rule = firing.device, firing.rule.rule
    told = (firing.outcome.value, firing.at, firing.since, firing.evidence, firing.severity, firing.flaps)
    return Shot(lane, device.id, firing.child, device.profile_id, rule.id, *told)


def _at(shot: Shot) -> Millis:
    return shot.at
