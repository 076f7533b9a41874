"""History through the live engine, in event time. No SQL, no clock.

Readings come in the order in which they were heard; between them time passes on a grid, and the engine ticks as it does
in the product. A history cannot tell whether the gateway itself was cut off, so it counts as listening throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from gateway.presence import Liveness
from gateway.reading import Millis, Reading
from services.backtest.lanes import Lane, Lanes
from services.presence.branches import Branches
from services.presence.breaks import PARENT_DOWN, Breaks, Limits, judge_parent
from services.rules import engine
from services.rules.engine import Firing, GatewayView
from services.rules.state import DeviceState

_LIMITS = Limits(timedelta(seconds=60), timedelta(seconds=180))


class Fired(NamedTuple):
    lane: Lane
    firing: Firing


class Slot(NamedTuple):
    """What fired up to a moment of the grid, in order of time."""

    now: Millis
    fired: list[Fired]
    readings: int
    """Since the slot before."""


@dataclass(kw_only=True)
class Replay:
    """One run over some devices that do not look at others outside."""

    lanes: Lanes
    start: Millis
    end: Millis
    grid: Millis

    def __post_init__(self) -> None:
        judged = [(lane, state) for states in self.lanes.states.values() for lane, state in states]
        self._all: Sequence[tuple[Lane, DeviceState]] = judged
        self._states: Mapping[str, tuple[tuple[Lane, DeviceState], ...]] = self.lanes.states
        self._base = {state.id: state for lane, state in judged if lane is Lane.BOTH}
        self._branches = Branches(self._base)
        self._has_parents = any(True for _ in self._branches.parents())
        self._breaks = Breaks(_LIMITS)
        self._broken: dict[tuple[str, str], str] = {}
        self._fired: list[Fired] = []
        self._count = 0

    def run(self, parts: Iterable[Sequence[Reading]]) -> Iterator[Slot]:
        """Slots from the start to the end; the last one is at `end`."""
        due, progress = self.start + self.grid, self.start
        view = self._view(progress)
        for part in parts:
            for reading in part:
                heard = reading.received_at
                if heard >= self.end:
                    continue  # measured before, heard later: nobody knew it then
                while heard >= due:
                    yield self._tick(due)
                    due += self.grid
                if heard > progress:
                    progress = heard
                self._count += 1
                for lane, device in self._states[reading.device]:
                    if device.liveness != Liveness.ONLINE:
                        view = self._view(progress)
                        if device.parent:
                            view = self._branches.view_of(device, view)
                    fired = engine.take(device, reading, view)
                    if fired:
                        self._fired += [Fired(lane, one) for one in fired]
        while due < self.end:
            yield self._tick(due)
            due += self.grid
        yield self._tick(self.end)

    def _view(self, progress: Millis) -> GatewayView:
        return GatewayView(progress, True, self.start)

    def _tick(self, now: Millis) -> Slot:
        plain = self._view(now)
        view_of = self._branches.views()
        for lane, device in self._all:
            fired = engine.tick(device, view_of(device, plain) if device.parent else plain)
            if fired:
                self._fired += [Fired(lane, one) for one in fired]
        if self._has_parents:
            self._watch_parents(now)
        fired_by_now, count = sorted(self._fired, key=_at), self._count
        self._fired, self._count = [], 0
        return Slot(now, fired_by_now, count)

    def _watch_parents(self, now: Millis) -> None:
        """The built-in rule on what others hang on; see services.presence.breaks."""
        verdicts = [
            (parent, PARENT_DOWN, judge_parent(parent, below, now, self._breaks.limits))
            for parent, below in self._branches.parents()
            if parent.profile is None or PARENT_DOWN not in parent.profile.rules
        ]
        for firing in self._breaks.firings(verdicts, dict(self._broken), lambda _: None, now):
            key = (firing.device.id, PARENT_DOWN)
            if self._broken.pop(key, None) is None:
                self._broken[key] = firing.device.site or ""
            self._fired.append(Fired(Lane.BOTH, firing))


def _at(fired: Fired) -> Millis:
    return fired.firing.at
