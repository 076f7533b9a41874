"""Counters: growth told apart from wraps, resets and spikes; rates; totals that go on. Pure: state in, state out.

A counter's next value is one of these:

- **growth**: it is not smaller, and not further than `largest_step`, or where that is not said, than what it has shown
  of itself makes plausible (see below). A rate follows from two of them in a row.
- **wrap**: it fell because its bits ran over, and what it grew by is plausible (`largest_step`, otherwise less than a
  quarter of its range).
- **reset**: it fell near zero (at most `largest_step`, otherwise at most half of what it was), or it counts a day and a
  day has passed. What it counted since then goes into the total.
- **spike**: anything else. It is left out, and marked suspect, until a second value agrees with it (is growth from it).

A fall near zero that is followed by a value a little above the one before it was no reset but a dropout; the total is
put right then (not where sessions or days are counted: those may well be alike).

Without `largest_step`, a counter that has grown a few times is believed a step of up to nine times its level, and of a
hundred times its fastest growth so far. More than that is a spike, and a second value that agrees with it is another
meter in its place: what lies between the two was never counted, so the total goes on from there without it. Should the
counter come back to where it was before, that was no meter but a fault that lasted, and the total is put right.

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
_KNOWN_AFTER = 3
"""Growths after which a counter's own history bounds its next step."""
_TIMES_ITS_LEVEL, _TIMES_ITS_FASTEST = 9, 100
"""Garbage (all bits set, text read as a number) lies orders of magnitude away; a long silence does not."""
_LEAST_ELAPSED: Millis = 1000
"""Two points that stand closer together say nothing of how fast it grows."""


class CounterState(NamedTuple):
    """What is remembered of one counter between two points."""

    value: float
    at: Millis
    total: float
    spike: float | None = None
    """A value that was left out, and that the next one may agree with."""
    fell_from: float | None = None
    """The value before the last point, where that one was a reset; or before it leapt to a level far above."""
    total_before_fall: float = 0
    growths: int = 0
    """How often it has grown, up to `_KNOWN_AFTER`."""
    fastest: float = 0
    """The fastest it has grown, per millisecond."""


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
    if before.fell_from is not None and _came_back(counter, before, before.fell_from, value, at):
        total = before.total_before_fall + value - before.fell_from
        return _moved(CounterState(value, at, total, None, None, 0, before.growths, before.fastest))
    if _grows(counter, before, before.value, value, at):
        return _grown(counter, before, value - before.value, value, at)
    if (growth := _wrapped(counter, before.value, value)) is not None:
        return _grown(counter, before, growth, value, at)
    if _is_reset(counter, before, value, at, zone):
        total = before.total + max(value, 0)
        return _moved(CounterState(value, at, total, None, before.value, before.total, before.growths, before.fastest))
    if before.spike is not None and _grows(counter, before, before.spike, value, at):
        return _believed(counter, before, before.spike, value, at)
    return Counted(before._replace(spike=value), accepted=False)


def _grown(counter: Counter, before: CounterState, growth: float, value: float, at: Millis) -> Counted:
    rate = None
    if counter.rate is not None and before.spike is None:
        rate = growth * counter.rate.scale * counter.rate.per.total_seconds() * 1000 / (at - before.at)
    fastest = before.fastest
    if growth > 0:
        fastest = max(fastest, growth / max(at - before.at, _LEAST_ELAPSED))
    growths = before.growths + (growth > 0 and before.growths < _KNOWN_AFTER)
    left, total_then = (before.fell_from, before.total_before_fall) if _has_leapt(before) else (None, 0.0)
    state = CounterState(value, at, before.total + growth, None, left, total_then, growths, fastest)
    return _moved(state, rate)


def _believed(counter: Counter, before: CounterState, spike: float, value: float, at: Millis) -> Counted:
    """A second value at the level of what was left out."""
    leapt = counter.largest_step is None and spike > before.value
    growth = value - (before.value if spike > before.value and not leapt else spike)
    left, total_then = (before.value, before.total) if leapt else (None, 0.0)
    state = CounterState(value, at, before.total + growth, None, left, total_then, before.growths, before.fastest)
    return _moved(state)


def _moved(state: CounterState, rate: float | None = None) -> Counted:
    total = round(state.total, _DIGITS)
    return Counted(state._replace(total=total), True, rate, total)


def _grows(counter: Counter, before: CounterState, start: float, value: float, at: Millis) -> bool:
    step = value - start
    if step < 0:
        return False
    if counter.largest_step is not None:
        return step <= counter.largest_step
    if before.growths < _KNOWN_AFTER or step <= _TIMES_ITS_LEVEL * start:
        return True
    return step <= _TIMES_ITS_FASTEST * before.fastest * (at - before.at)


def _has_leapt(state: CounterState) -> bool:
    return state.fell_from is not None and state.fell_from < state.value


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


def _came_back(counter: Counter, before: CounterState, fell_from: float, value: float, at: Millis) -> bool:
    """Whether the last point was no reset but a dropout, or no meter but a fault: it goes on where it was before."""
    if _has_leapt(before):
        return value < before.value and _grows(counter, before, fell_from, value, at)
    if value < fell_from or {"session", "daily"} & set(counter.reset):
        return False
    if counter.largest_step is None:
        return value <= fell_from * _LIKE_BEFORE
    return value - fell_from <= 2 * counter.largest_step and not _grows(counter, before, before.value, value, at)


def _passed_midnight(start: Millis, end: Millis, zone: tzinfo) -> bool:
    first = datetime.fromtimestamp(start / 1000, zone) - _MIDNIGHT_SLACK
    last = datetime.fromtimestamp(end / 1000, zone) + _MIDNIGHT_SLACK
    return first.date() != last.date()
