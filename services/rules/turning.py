"""Until when what looks back says the same, if nothing is heard. Pure.

Between two values only the beginning of the stretch moves: `delta`, `rate`, `changed` and `count` turn where it passes
something that is remembered. A `mean` moves all the while.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, takewhile

from gateway.reading import Millis
from services.rules.automaton import FOREVER
from services.rules.windows import Change, Count, Series, Watch


def turns_at(watch: Watch, now: Millis, listening_from: Millis | None) -> Millis:
    """The first moment after `now` at which the result may be another one; FOREVER: none. Not for a `mean`."""
    return min((one for one in _moments(watch, now, listening_from) if one > now), default=FOREVER)


def _moments(watch: Watch, now: Millis, listening_from: Millis | None) -> Iterator[Millis]:
    if isinstance(watch, Count):
        yield from (at + watch.stretch.length for at, _ in watch.times)
    elif isinstance(watch, Change):
        yield from _of_change(watch, listening_from)
    elif isinstance(watch, Series):
        yield from _of_series(watch, now)


def _of_change(change: Change, listening_from: Millis | None) -> Iterator[Millis]:
    if change.seen is None:
        return
    yield change.seen + change.stretch.hold + 1
    yield max(change.since, listening_from or 0) + change.stretch.length
    if change.changed_at is not None:
        yield change.changed_at + change.stretch.length


def _of_series(series: Series, now: Millis) -> Iterator[Millis]:
    """The points that stand around the beginning of the stretch decide: where it reaches them, comes near enough to
    them, or leaves the time for which they stand."""
    length, hold, points = series.stretch.length, series.stretch.hold, series.points
    passed = sum(1 for _ in takewhile(lambda point: point.at <= now - length, points))
    for point in islice(points, max(0, passed - 1), passed + 2):
        yield point.at + length
        yield point.at + length - length // 10
        if hold < FOREVER:
            yield point.at + hold + length + 1
