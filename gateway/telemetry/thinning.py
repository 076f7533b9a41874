"""Fewer points than were measured, with nothing hidden that a person looks for. Pure, and in one pass.

Numbers: the lowest and the highest of every stretch of time stay. Words, truth values and gaps: the changes stay.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.reading import Millis, Value
from gateway.telemetry import Point


class Thinner:
    """Takes points of one metric, oldest first; `points()` gives those that stay. Holds a few more than `limit`."""

    def __init__(self, *, first: Millis, last: Millis, limit: int) -> None:
        self._first = first
        self._limit = limit
        stretches = max(1, limit // 2 - 1)
        self._stretch: Millis = max(1, (last - first) // stretches + 1)
        self._now = 0
        self._low: tuple[float, Millis] | None = None
        self._high: tuple[float, Millis] | None = None
        self._kept: list[Point] = []
        self._changes: list[Point] = []

    def add(self, at: Millis, value: Value) -> None:
        if value is None or isinstance(value, str | bool):
            self._add_change(Point(at, value))
            return
        stretch = (at - self._first) // self._stretch
        if stretch != self._now:
            self._end_stretch()
            self._now = stretch
        if self._low is None or value < self._low[0]:
            self._low = (value, at)
        if self._high is None or value > self._high[0]:
            self._high = (value, at)

    def _add_change(self, point: Point) -> None:
        changes = self._changes
        if changes and changes[-1].value == point.value:
            return
        changes.append(point)
        if len(changes) > 2 * self._limit:
            # Something that flutters thousands of times cannot be drawn change by change.
            del changes[1:-1:2]

    def _end_stretch(self) -> None:
        pair = {extreme[1]: extreme[0] for extreme in (self._low, self._high) if extreme is not None}
        self._kept.extend(Point(at, pair[at]) for at in sorted(pair))
        self._low = self._high = None

    def points(self) -> list[Point]:
        """What stays, oldest first."""
        self._end_stretch()
        found = sorted([*self._kept, *self._changes], key=lambda point: point.at) if self._changes else self._kept
        while len(found) > self._limit:
            found = [found[0], *found[1:-1:2], found[-1]]
        return found


def thin(points: list[Point], limit: int) -> list[Point]:
    """At most `limit` (4 or more) of the points, which are in order."""
    if len(points) <= limit:
        return points
    return thinned(((point.at, point.value) for point in points), points[0].at, points[-1].at, limit)


def thinned(values: Iterable[tuple[Millis, Value]], first: Millis, last: Millis, limit: int) -> list[Point]:
    thinner = Thinner(first=first, last=last, limit=limit)
    for at, value in values:
        thinner.add(at, value)
    return thinner.points()
