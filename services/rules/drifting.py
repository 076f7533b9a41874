"""Until when a `mean` surely stays on one side of what it is compared with, if nothing is heard. Pure.

Between two values a mean moves with every moment: what stood first leaves the stretch, what stands now fills it. But
the sum behind it and the time that it covers grow evenly until the next bend, where the beginning or the end of the
stretch passes something that is remembered. So the two ends of that piece speak for all moments between them.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.reading import Millis
from services.rules.automaton import FOREVER
from services.rules.windows import Series, sum_and_time

_AS_GOOD_AS_EQUAL = 1e-9
"""Of the largest part of a sum: nearer than that to a limit, rounding might decide."""
_MAY_OVERFLOW = 1e280
"""Values so large that a sum between two bends may outgrow all numbers, although it does not at either: never told."""


def mean_stands_until(series: Series, now: Millis, limits: Iterable[float]) -> Millis:
    """The last moment up to which the mean surely stays where it is: above or below each of these limits, known or
    unknown. `now`: nothing can be said. Asked right after the result of that moment."""
    if not series.points:
        return FOREVER
    now = max(now, series.points[-1].at)
    length = series.stretch.length
    end = _next_bend(series, now)
    sum_now, time_now = sum_and_time(series, now - length, now)
    sum_then, time_then = sum_and_time(series, end - length, end)
    known = time_now * 2 >= length
    if known is not (time_then * 2 >= length):
        end = _on_the_way(now, end, abs(time_now * 2 - length) / abs(time_then - time_now) / 2)
        sum_then, time_then = sum_and_time(series, end - length, end)
    until = end
    for limit in limits if known else ():
        margin = _margin(series, limit)
        share = _clear_share(sum_now - limit * time_now, sum_then - limit * time_then, margin)
        if share < 1:
            until = min(until, _on_the_way(now, end, share))
    return until


def _next_bend(series: Series, now: Millis) -> Millis:
    """At the latest after a whole stretch."""
    points, length, hold = series.points, series.stretch.length, series.stretch.hold
    first, last = points[0], points[-1]
    second = points[1] if len(points) > 1 else last
    known_until = first.at + second.covered - first.covered
    end = now + length
    for leaves in (first.at, known_until, second.at, last.at, last.at + hold, last.at + hold - length):
        if now < leaves + length < end:
            end = leaves + length
    return end


def _on_the_way(now: Millis, end: Millis, share: float) -> Millis:
    """The last whole millisecond before a moment that lies at this share of the way; not before `now`."""
    return max(now, now + int((end - now) * share) - 1)


def _clear_share(now: float, then: float, margin: float) -> float:
    """How much of the way from one number to the other surely lies on the side of zero where it begins."""
    if now < 0:
        now, then = -now, -then
    if not margin < now or margin > _MAY_OVERFLOW:  # said like this, nothing beyond all numbers passes
        return 0
    return 1 if then > margin else (now - margin) / (now - then)


def _margin(series: Series, limit: float) -> float:
    points, length = series.points, series.stretch.length
    middle = points[1] if len(points) > 1 else points[-1]
    before, after = middle.area - points[0].area, points[-1].area - middle.area
    return _AS_GOOD_AS_EQUAL * (abs(before) + abs(after) + (abs(points[-1].value) + abs(limit)) * length)
