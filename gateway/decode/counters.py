"""Counters: growth told apart from wraps, resets and spikes; rates; totals that go on. Pure: state in, state out.

A counter's next value is one of these:

- **growth**: it is not smaller, and not further than `largest_step`. A rate follows from two of them in a row.
- **wrap**: it fell because its bits ran over, and what it grew by is plausible (`largest_step`, otherwise less than a
  quarter of its range).
- **reset**: it fell near zero (at most `largest_step`, otherwise at most half of what it was), or it counts a day and a
  day has passed. What it counted since then goes into the total.
- **spike**: anything else. It is left out, and marked suspect, until a second value agrees with it (is growth from it).

A fall near zero that is followed by a value a little above the one before it was no reset but a dropout; the total is
put right then (not where sessions or days are counted: those may well be alike).

A point that is not newer than the last one moves nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from device_profiles.schema import Counter
from gateway.reading import Millis

_MIDNIGHT_SLACK = timedelta(minutes=15)
"""How far a device's midnight may be from the site's."""
_DIGITS = 9
_LIKE_BEFORE = 1.1


class CounterState(NamedTuple):
    """What is remembered of one counter between two points."""

    value: float
    at: Millis
    total: float
    spike: float | None = None
    """A value that was left out, and that the next one may agree with."""
    fell_from: float | None = None
    """The value before the last point, where that one was a reset."""
    total_before_fall: float = 0


class Counted(NamedTuple):
    """What one point means."""

    state: CounterState
    accepted: bool = True
    """False: a spike, to be left out."""
    rate: float | None = None
    total: float | None = None
    """None where the point is not newer than the last."""


def advance(counter: Counter, before: CounterState | None, value: float, at: Millis, zone: tzinfo = UTC) -> Counted:
    """The point after `before`; `zone` is where the counter's day begins."""
    if before is None:
        return _moved(CounterState(value, at, value))
    if at <= before.at:
        return Counted(before)
    if before.fell_from is not None and _came_back(counter, before, before.fell_from, value):
        return _moved(CounterState(value, at, before.total_before_fall + value - before.fell_from))
    if _grows(counter, before.value, value):
        return _grown(counter, before, value - before.value, value, at)
    if (growth := _wrapped(counter, before.value, value)) is not None:
        return _grown(counter, before, growth, value, at)
    if _is_reset(counter, before, value, at, zone):
        return _moved(CounterState(value, at, before.total + max(value, 0), None, before.value, before.total))
    if before.spike is not None and _grows(counter, before.spike, value):
        growth = value - (before.value if before.spike > before.value else before.spike)
        return _moved(CounterState(value, at, before.total + growth))
    return Counted(before._replace(spike=value), accepted=False)


def _grown(counter: Counter, before: CounterState, growth: float, value: float, at: Millis) -> Counted:
    rate = None
    if counter.rate is not None and before.spike is None:
        rate = growth * counter.rate.scale * counter.rate.per.total_seconds() * 1000 / (at - before.at)
    return _moved(CounterState(value, at, before.total + growth), rate)


def _moved(state: CounterState, rate: float | None = None) -> Counted:
    total = round(state.total, _DIGITS)
    return Counted(state._replace(total=total), True, rate, total)


def _grows(counter: Counter, start: float, value: float) -> bool:
    return value >= start and (counter.largest_step is None or value - start <= counter.largest_step)


def _wrapped(counter: Counter, start: float, value: float) -> float | None:
    """What it grew by if it ran over, where that is plausible."""
    if counter.wrap is None or value >= start or value < 0:
        return None
    range_ = 2.0**counter.wrap
    growth = value - start + range_
    most = range_ / 4 if counter.largest_step is None else counter.largest_step
    return growth if 0 <= growth <= most else None


def _is_reset(counter: Counter, before: CounterState, value: float, at: Millis, zone: tzinfo) -> bool:
    if not 0 <= value < before.value:
        return False
    if "daily" in counter.reset and _passed_midnight(before.at, at, zone):
        return True
    if not {"zero", "reboot", "session"} & set(counter.reset):
        return False
    return value <= (before.value / 2 if counter.largest_step is None else counter.largest_step)


def _came_back(counter: Counter, before: CounterState, fell_from: float, value: float) -> bool:
    """Whether the last point was no reset but a dropout: the counter goes on where it was before."""
    if value < fell_from or {"session", "daily"} & set(counter.reset):
        return False
    if counter.largest_step is None:
        return value <= fell_from * _LIKE_BEFORE
    return value - fell_from <= 2 * counter.largest_step and not _grows(counter, before.value, value)


def _passed_midnight(start: Millis, end: Millis, zone: tzinfo) -> bool:
    first = datetime.fromtimestamp(start / 1000, zone) - _MIDNIGHT_SLACK
    last = datetime.fromtimestamp(end / 1000, zone) + _MIDNIGHT_SLACK
    return first.date() != last.date()
