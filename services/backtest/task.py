"""What one process replays: some devices of a site, from the time series to what fired."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple

from gateway.reading import Millis, Reading
from gateway.telemetry import Looked, Only
from services.backtest.happened import with_events
from services.backtest.history import Readable
from services.backtest.lanes import Focus, Lanes, Variant, build
from services.backtest.order import as_heard
from services.backtest.past import NOTHING, Past
from services.backtest.place import Yard
from services.backtest.replay import Replay, Slot
from services.maintenance.windows import Windows


class Stretch(NamedTuple):
    """`start` lies before the time that is counted by as much as the rules need to warm up."""

    start: Millis
    end: Millis
    grid: Millis

    def share(self, now: Millis) -> float:
        """How far `now` is in it: 0 to 1."""
        return max(0.0, min(1.0, (now - self.start) / (self.end - self.start)))


@dataclass(frozen=True, kw_only=True)
class Task:
    """Plain enough to be sent to another process, which builds the rest anew."""

    yard: Yard
    old: Variant
    new: Variant
    focus: Focus
    stretch: Stretch
    devices: tuple[str, ...]
    past: Past = NOTHING
    gateways: tuple[str, ...] = ()
    """Judged themselves in this process."""
    windows: Windows = field(default_factory=Windows)
    """In which people were at work."""

    def lanes(self) -> Lanes:
        return build(self.yard, self.old, self.new, self.focus).only(self.devices)


def _nothing_seen() -> dict[str, set[str]]:
    return defaultdict(set)


@dataclass(kw_only=True)
class Worked:
    """What a replay has cost and seen so far."""

    scan_seconds: float = 0
    total_seconds: float = 0
    heard: set[str] = field(default_factory=set)
    """Devices with a reading."""
    seen: dict[str, set[str]] = field(default_factory=_nothing_seen)
    """Device -> the values that it has any of."""

    def add(self, other: Worked) -> None:
        self.scan_seconds += other.scan_seconds
        self.total_seconds = max(self.total_seconds, other.total_seconds)
        self.heard |= other.heard
        for device, names in other.seen.items():
            self.seen[device] |= names


def replay(
    task: Task, lanes: Lanes, store: Readable, worked: Worked, looked: Looked | None = None
) -> Generator[Slot, None, None]:
    """Read and judge; `worked` is kept up to date. `lanes`: those of the task. `looked`: called while it reads, for a
    rare value may be sought for long before anything is judged."""
    stretch, past = task.stretch, task.past
    began = perf_counter()
    only = Only(lanes.names, "kept" if lanes.silence_matters else "left_out")
    readings = store.scan(devices=sorted(lanes.judged), start=stretch.start, end=stretch.end, only=only, looked=looked)
    parts = with_events(_timed(as_heard(readings), worked), past.events)
    again = Replay(
        lanes=lanes,
        start=stretch.start,
        end=stretch.end,
        grid=stretch.grid,
        gaps=past.gaps,
        gateways=task.gateways,
        site=task.yard.site,
        windows=task.windows,
    )
    for slot in again.run(parts):
        worked.total_seconds = perf_counter() - began
        yield slot


def _timed(parts: Iterable[Sequence[Reading]], worked: Worked) -> Iterator[Sequence[Reading]]:
    source = iter(parts)
    while True:
        before = perf_counter()
        part = next(source, None)
        worked.scan_seconds += perf_counter() - before
        if part is None:
            return
        worked.heard.update([reading.device for reading in part])
        for reading in part:
            worked.seen[reading.device].update(reading.values)
        yield part
