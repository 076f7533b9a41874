"""A mean that is said to stay where it is for a while does so at every moment of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reading import Millis
from services.rules.automaton import FOREVER
from services.rules.drifting import mean_stands_until
from services.rules.windows import Series, Stretch

MINUTE: Millis = 60_000
START: Millis = 1_800_000_000_000
values = st.one_of(st.sampled_from([0.0, 0.1, 0.3, 1.0, -1.0]), st.floats(-1e6, 1e6))
heard = st.lists(st.tuples(st.sampled_from([1, 400, 500, 7_000, 20_000, 61_000, 200_000]), values), max_size=12)


def series(*said: tuple[Millis, float], hold: Millis = MINUTE) -> Series:
    """Values said so long after each other, of which means over a minute are taken."""
    found, at = Series("mean", Stretch(MINUTE, hold)), START
    for later, value in said:
        at += later
        found.take(at, value)
    return found


def sides(of: Series, at: Millis, limits: list[float]) -> list[int] | None:
    """On which side of each limit the mean is; None where it is unknown."""
    again = Series(of.function, of.stretch, of.points.copy())  # a result forgets what lies behind it
    mean = again.result(at)
    return None if mean is None else [(mean > one) - (mean < one) for one in limits]


@given(heard, st.lists(values, max_size=2), st.integers(0, 300_000), st.sampled_from([25_000, MINUTE, FOREVER]))
def test_until_then_it_is_above_or_below_as_it_is_now(
    said: list[tuple[Millis, float]], limits: list[float], later: Millis, hold: Millis
) -> None:
    mean = series(*said, hold=hold)
    now = (mean.newest() or START) + later
    mean.result(now)
    until = mean_stands_until(mean, now, limits)
    assert until >= now
    last = min(until, now + 2 * MINUTE)
    moments = {*range(now, last, max(1, (last - now) // 50)), last - 1, last}
    found = {tuple(sides(mean, at, limits) or ["unknown"]) for at in moments if at >= now}
    assert len(found) == 1, f"until {until - now} ms from now: {found}"


def test_it_says_nearly_to_the_millisecond_when_a_limit_is_passed() -> None:
    """0.5 for a minute, then 0.2: below 0.35 after half a minute, while nothing else is heard."""
    mean = series((0, 0.5), (MINUTE, 0.5), (1, 0.2))
    begin = START + MINUTE + 1
    mean.result(begin)
    until = mean_stands_until(mean, begin, [0.35])
    assert until == pytest.approx(begin + 30_000, abs=3)
    assert sides(mean, until, [0.35]) != sides(mean, until + 5, [0.35])


@pytest.mark.parametrize("limit", [0.5, 0.5 + 1e-12])
def test_of_a_mean_that_lies_on_its_limit_nothing_is_said(limit: float) -> None:
    mean = series(*[(20_000, 0.5)] * 6)
    now = mean.newest() or 0
    assert mean_stands_until(mean, now, [limit]) == now


def test_a_mean_of_nothing_stays_unknown() -> None:
    assert mean_stands_until(series(), START, [1.0]) == FOREVER


def test_it_says_when_too_little_is_known() -> None:
    """Heard every ten seconds for a minute, and not since: known until half of the minute lies behind its silence."""
    mean = series(*[(10_000, 1.0)] * 7, hold=10_000)
    now = mean.newest() or 0
    silent_from, asked = now + 10_000, 0
    while sides(mean, now, [2.0]) is not None:
        mean.result(now)
        now, asked = max(now + 1, mean_stands_until(mean, now, [2.0])), asked + 1
    assert now == silent_from + 30_000 + 1
    assert asked < 12, "once for each value that leaves the minute, and twice at its edge"


def test_of_values_whose_sums_outgrow_all_numbers_nothing_is_said() -> None:
    mean = series((0, 3e299), (MINUTE, -4e298), (MINUTE // 2, 0.3))
    now = mean.newest() or 0
    mean.result(now)
    assert mean_stands_until(mean, now, [0.0]) == now
