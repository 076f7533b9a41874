"""What rules remember to look back: `rate`, `delta`, `mean`, `changed` and `count` over a stretch of time.

Pure and bounded. All times are event time in milliseconds. Of several values within one `SLICES`th of the stretch the
last one is kept, with what has grown and passed until then, so a window never holds more than a hundred-odd points
however long it is and however often a device speaks.

- A value stands until the next one, but for no longer than `hold`: behind that lies a gap.
- `delta`: the value now less the one that stood when the stretch began; unknown where that is not known (a device that
  has been heard for less than 9/10 of the stretch, or a gap there). Of a counter: what it has grown by, whatever its
  resets.
- `rate`: the same from the first to the last value within the stretch, per second; they must be half of it apart.
- `mean`: each value weighted by how long it stood; values must stand for half of the stretch.
- `changed`: whether the value became another one within the stretch; no, only where all of it was watched.
- `count`: how often the condition became true, or the event happened. Known as soon as the condition is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NamedTuple, Protocol

import msgspec

from gateway.reading import Millis, Value
from services.rules.automaton import FOREVER

SLICES = 120
_KEPT_EVERY = 4
"""Slices after which a series is stored again. It is stored whole: each time would cost more than all else it does."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[list[float | int | None]]).decode


class Stretch(NamedTuple):
    """How far back, how long a value stands, and how a counter counts."""

    length: Millis
    hold: Millis = FOREVER
    counter: bool = False
    wrap: int | None = None
    """Bits after which the counter starts again at 0."""

    @property
    def slice(self) -> Millis:
        return max(1, self.length // SLICES)

    def growth(self, before: float, now: float) -> float:
        if not self.counter or now >= before:
            return now - before
        whole = 0.0 if self.wrap is None else 2.0**self.wrap
        return now - before + whole if before - now > whole / 2 > 0 else now


class Watch(Protocol):
    """The memory of one function that looks back."""

    def take(self, at: Millis, value: Value) -> bool:
        """A value measured at that time; whether the memory must be stored now, or may wait for a later value."""
        ...

    def result(self, now: Millis, listening_from: Millis | None, /) -> Value:
        """What the function gives now; None where it is unknown. What was said before `listening_from` may have been
        missed."""
        ...

    def newest(self) -> Millis | None:
        """The newest time it remembers."""
        ...

    def dump(self) -> Any:
        """As JSON."""
        ...


# --- rate, delta, mean -----------------------------------------------------------------------------------------------


class Point(NamedTuple):
    """A value, and totals since the series began: a stretch is the difference of two points."""

    at: Millis
    value: float
    grown: float = 0.0
    area: float = 0.0
    """Value times milliseconds for which it stood."""
    covered: Millis = 0
    """Milliseconds without gaps."""


@dataclass(slots=True)
class Series:
    """The points within a stretch, and one before it."""

    function: str
    stretch: Stretch
    points: deque[Point] = field(default_factory=deque)

    def take(self, at: Millis, value: Value) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        last = self.points[-1] if self.points else None
        if last is None:
            self.points.append(Point(at, float(value)))
            return True
        if at < last.at:
            return False
        stood = min(at - last.at, self.stretch.hold)
        growth = self.stretch.growth(last.value, float(value))
        point = Point(at, float(value), last.grown + growth, last.area + last.value * stood, last.covered + stood)
        if at // self.stretch.slice == last.at // self.stretch.slice:
            self.points[-1] = point
            return False
        self.points.append(point)
        self._forget(at)
        kept_every = self.stretch.slice * _KEPT_EVERY
        return at // kept_every != last.at // kept_every

    def _forget(self, now: Millis) -> None:
        begin = now - self.stretch.length
        while len(self.points) > 1 and self.points[1].at <= begin:
            self.points.popleft()

    def newest(self) -> Millis | None:
        return self.points[-1].at if self.points else None

    def result(self, now: Millis, _listening_from: Millis | None = None) -> float | None:
        if not self.points:
            return None
        now = max(now, self.points[-1].at)
        self._forget(now)
        begin = now - self.stretch.length
        return _RESULTS[self.function](self, begin, now)

    def _stands_at(self, begin: Millis) -> bool:
        """The first point is the value that stood then, and not one from before a gap."""
        first = self.points[0]
        return first.at <= begin <= first.at + self.stretch.hold

    def _inside(self, begin: Millis) -> int:
        """Index of the first point that counts: the one that stood at the beginning, else the first after it."""
        return 0 if self.points[0].at > begin or self._stands_at(begin) else 1

    def dump(self) -> Any:
        # A text within the JSON: a hundred points as JSON of their own take seven times as long.
        return _encode(tuple(self.points)).decode()


def _delta(series: Series, begin: Millis, _now: Millis) -> float | None:
    points, first = series.points, series._inside(begin)
    if first == len(points) or points[first].at > begin + series.stretch.length // 10:
        return None
    return points[-1].grown - points[first].grown


def _rate(series: Series, begin: Millis, _now: Millis) -> float | None:
    points, first = series.points, series._inside(begin)
    if first == len(points):
        return None
    if first == len(points) - 1:
        return 0.0 if points[first].at <= begin else None  # one value that has stood all the while
    span = points[-1].at - points[first].at
    if span * 2 < series.stretch.length:
        return None
    return (points[-1].grown - points[first].grown) * 1000 / span


def _mean(series: Series, begin: Millis, now: Millis) -> float | None:
    area, covered = sum_and_time(series, begin, now)
    return area / covered if covered and covered * 2 >= series.stretch.length else None


def sum_and_time(series: Series, begin: Millis, now: Millis) -> tuple[float, Millis]:
    """What a mean is made of, value times milliseconds and milliseconds without gaps: the first value for what of it
    lies within the stretch, the totals behind it, and the last value up to now. Of a series with points, of which only
    the first may lie before the stretch."""
    points, last = series.points, series.points[-1]
    second = points[1] if len(points) > 1 else last
    area, covered = last.area - second.area, last.covered - second.covered
    whole = second.covered - points[0].covered
    within = min(whole, max(0, points[0].at + whole - begin))
    if within:
        area += (second.area - points[0].area) * within / whole
        covered += within
    stood = min(now, last.at + series.stretch.hold) - max(last.at, begin)
    if stood > 0:
        area += last.value * stood
        covered += stood
    return area, covered


_RESULTS = {"delta": _delta, "rate": _rate, "mean": _mean}


# --- changed ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Change:
    """When a value became another one, and since when it has been watched without a gap."""

    stretch: Stretch
    value: Value = None
    seen: Millis | None = None
    since: Millis = 0
    changed_at: Millis | None = None

    def take(self, at: Millis, value: Value) -> bool:
        if value is None or (self.seen is not None and at < self.seen):
            return False
        first = self.seen is None
        gap = first or at - (self.seen or 0) > self.stretch.hold
        changed = not first and value != self.value
        next_slice = first or at // self.stretch.slice != (self.seen or 0) // self.stretch.slice
        if gap:
            self.since = at
        if changed:
            self.changed_at = at
        self.seen, self.value = at, value
        return gap or changed or next_slice

    def newest(self) -> Millis | None:
        return self.seen

    def result(self, now: Millis, listening_from: Millis | None = None) -> bool | None:
        if self.seen is None:
            return None
        now = max(now, self.seen)
        if self.changed_at is not None and now - self.changed_at < self.stretch.length:
            return True
        if now - self.seen > self.stretch.hold:
            return None  # a gap up to now: a device that was silent is back, and its new value comes next
        watched = max(self.since, listening_from or 0)
        return False if now - watched >= self.stretch.length else None

    def dump(self) -> Any:
        return [self.value, self.seen, self.since, self.changed_at]


# --- count -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Count:
    """When a condition became true (a value of True after one of False), or an event happened: [time, how often]."""

    stretch: Stretch
    of_events: bool = False
    was: bool | None = None
    at: Millis = 0
    times: deque[tuple[Millis, int]] = field(default_factory=deque)

    def take(self, at: Millis, value: Value) -> bool:
        """The condition's verdict. The first one known is no beginning; what was unknown in between changes nothing."""
        if not isinstance(value, bool) or at < self.at:
            return False
        before, self.was, self.at = self.was, value, at
        if value and before is False:
            self.happened(at)
        return value is not before

    def happened(self, at: Millis) -> None:
        """Once more."""
        last, times = self.times[-1] if self.times else (None, 0)
        if last is not None and at // self.stretch.slice <= last // self.stretch.slice:
            self.times[-1] = (max(at, last), times + 1)
        else:
            self.times.append((at, 1))
        self._forget(at)

    def _forget(self, now: Millis) -> None:
        while self.times and self.times[0][0] <= now - self.stretch.length:
            self.times.popleft()

    def newest(self) -> Millis | None:
        latest = self.times[-1][0] if self.times else 0
        return max(self.at, latest) or None

    def result(self, now: Millis, _listening_from: Millis | None = None) -> float | None:
        if self.was is None and not self.of_events:
            return None
        return float(sum(times for at, times in self.times if at > now - self.stretch.length))

    def dump(self) -> Any:
        return [self.was, self.at, [list(entry) for entry in self.times]]


# --- making and restoring --------------------------------------------------------------------------------------------


def watch(function: str, stretch: Stretch, *, of_events: bool = False, kept: Any = None) -> Watch:
    """A new memory for a function, or what it was when it was dumped."""
    if function == "changed":
        value, seen, since, changed_at = kept or (None, None, 0, None)
        return Change(stretch, value, seen, since, changed_at)
    if function == "count":
        was, at, times = kept or (None, 0, [])
        return Count(stretch, of_events, was, at, deque((entry[0], entry[1]) for entry in times))
    return Series(function, stretch, _restored(kept or []))


def _restored(kept: str | list[list[Any]]) -> deque[Point]:
    """The points of a series, also as earlier versions stored them; none, where a total has outgrown all numbers."""
    entries = _decode(kept) if isinstance(kept, str) else kept
    points = [Point(*entry) for entry in entries]
    return deque() if any(part is None or not isfinite(part) for point in points for part in point) else deque(points)


def dump(watches: Mapping[str, Watch]) -> dict[str, Any]:
    """By the keys of what looks back, as JSON."""
    return {key: one.dump() for key, one in watches.items()}
