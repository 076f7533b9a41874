"""What rules remember, against a plain reference that keeps every value for ever."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.reading import Millis
from services.rules.automaton import FOREVER
from services.rules.windows import SLICES, Change, Count, Series, Stretch, Watch, watch

MINUTE = 60_000
Points = Sequence[tuple[Millis, float]]


def thinned(points: Points, stretch: Stretch) -> list[tuple[Millis, float]]:
    """The last value of each slice, and the very first one."""
    kept: dict[int, tuple[Millis, float]] = {}
    for at, value in points:
        kept[at // stretch.slice] = (at, value)
    return list(kept.values())


def reference_stood(points: Points, stretch: Stretch, begin: Millis) -> tuple[list[tuple[Millis, float]], bool]:
    """The points from the beginning of the stretch on; whether the first of them stood when it began."""
    kept = thinned(points, stretch)
    before = [point for point in kept if point[0] <= begin]
    after = [point for point in kept if point[0] > begin]
    if before and begin <= before[-1][0] + stretch.hold:
        return [before[-1], *after], True
    return after, False


def reference_delta(points: Points, stretch: Stretch, now: Millis) -> float | None:
    begin = now - stretch.length
    there, _ = reference_stood(points, stretch, begin)
    if not there or there[0][0] > begin + stretch.length // 10:
        return None
    return there[-1][1] - there[0][1]


def reference_rate(points: Points, stretch: Stretch, now: Millis) -> float | None:
    there, stood = reference_stood(points, stretch, now - stretch.length)
    if len(there) < 2:
        return 0.0 if there and stood else None
    span = there[-1][0] - there[0][0]
    return (there[-1][1] - there[0][1]) / span * 1000 if span * 2 >= stretch.length else None


def reference_mean(points: Points, stretch: Stretch, now: Millis) -> float | None:
    """Millisecond by millisecond would be exact: segment by segment is as well, where no two values share a slice."""
    begin, area, covered = now - stretch.length, 0.0, 0
    for i, (at, value) in enumerate(points):
        end = min(points[i + 1][0] if i + 1 < len(points) else now, at + stretch.hold)
        stood = max(0, min(end, now) - max(at, begin))
        area, covered = area + value * stood, covered + stood
    return area / covered if covered and covered * 2 >= stretch.length else None


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[tuple[Millis, float]], Stretch, Millis]:
    length = draw(st.sampled_from([2_000, MINUTE, 10 * MINUTE]))
    hold = draw(st.sampled_from([length // 10, length // 2, FOREVER]))
    steps = draw(st.lists(st.integers(1, length), min_size=1, max_size=40))
    at, points = draw(st.integers(0, 10**9)), []
    for step in steps:
        at += step
        points.append((at, float(draw(st.integers(-50, 50)))))
    return points, Stretch(length, hold), at + draw(st.integers(0, 2 * length))


def fed(function: str, points: Points, stretch: Stretch) -> Watch:
    one = watch(function, stretch)
    for at, value in points:
        one.take(at, value)
    return one


@settings(max_examples=300, deadline=None)
@given(histories())
def test_delta_and_rate_say_what_the_reference_says(drawn: tuple[list[tuple[Millis, float]], Stretch, Millis]) -> None:
    points, stretch, now = drawn
    for function, reference in (("delta", reference_delta), ("rate", reference_rate)):
        expected = reference(points, stretch, now)
        found = fed(function, points, stretch).result(now, None)
        assert found == (None if expected is None else pytest.approx(expected, abs=1e-6)), function


@settings(max_examples=300, deadline=None)
@given(histories())
def test_the_mean_weighs_each_value_by_how_long_it_stood(
    drawn: tuple[list[tuple[Millis, float]], Stretch, Millis],
) -> None:
    points, stretch, now = drawn
    if len(thinned(points, stretch)) != len(points):
        return  # thinned, it is near and not exact: see below
    found = fed("mean", points, stretch).result(now, None)
    expected = reference_mean(points, stretch, now)
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-6))


@given(st.lists(st.floats(-100, 100), min_size=400, max_size=600))
@settings(max_examples=20, deadline=None)
def test_a_thinned_mean_is_off_by_no_more_than_a_slice(values: list[float]) -> None:
    stretch = Stretch(10 * MINUTE)
    points = [(i * 2_000, value) for i, value in enumerate(values)]
    now = points[-1][0] + 1_000
    found = fed("mean", points, stretch).result(now, None)
    assert found == pytest.approx(reference_mean(points, stretch, now), abs=200 / SLICES * 1.01)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 90_000), st.sampled_from([True, False, None])), max_size=60), st.integers(0, 9)
)
def test_count_counts_how_often_it_became_true(steps: list[tuple[int, bool | None]], late: int) -> None:
    stretch, at, was, rises, known = Stretch(10 * MINUTE), 1_000_000, None, [], False
    one = watch("count", stretch)
    for step, verdict in steps:
        at += step
        one.take(at, verdict)
        if verdict is not None:
            known = True
            if verdict and was is False:
                rises.append(at)
            was = verdict
    now = at + late * MINUTE
    found = one.result(now, None)
    if not known:
        assert found is None
        return
    exact = sum(1 for rise in rises if rise > now - stretch.length)
    near = sum(1 for rise in rises if rise > now - stretch.length - stretch.slice)
    assert isinstance(found, float)
    assert exact <= found <= near


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5 * MINUTE), st.integers(0, 1)), min_size=1, max_size=30),
    st.integers(0, 20 * MINUTE),
    st.sampled_from([3 * MINUTE, FOREVER]),
)
def test_changed_is_known_where_all_of_it_was_watched(steps: list[tuple[int, int]], wait: Millis, hold: Millis) -> None:
    stretch, at, points = Stretch(10 * MINUTE, hold), 0, []
    for step, value in steps:
        at += step
        points.append((at, value))
    now = at + wait
    changes = [b for (_, x), (b, y) in pairwise(points) if x != y]
    gaps = [b for (a, _), (b, _) in pairwise(points) if b - a > hold]
    watched_from = max([points[0][0], *gaps])
    expected: bool | None = None
    if any(now - change < stretch.length for change in changes):
        expected = True
    elif now - watched_from >= stretch.length and now - points[-1][0] <= hold:
        expected = False
    assert fed("changed", points, stretch).result(now, None) is expected


@settings(max_examples=100, deadline=None)
@given(histories(), st.integers(0, 39), st.sampled_from(["delta", "rate", "mean", "changed"]))
def test_a_memory_that_was_stored_goes_on_as_if_nothing_had_happened(
    drawn: tuple[list[tuple[Millis, float]], Stretch, Millis], cut: int, function: str
) -> None:
    points, stretch, now = drawn
    before = fed(function, points[:cut], stretch)
    again = watch(function, stretch, kept=json.loads(json.dumps(before.dump())))
    for at, value in points[cut:]:
        again.take(at, value)
    whole = fed(function, points, stretch)
    assert again.result(now, None) == whole.result(now, None)
    assert again.dump() == whole.dump()


def test_a_series_is_stored_now_and_then_and_loses_little() -> None:
    """A mean of an hour at a reading every 10 s, and a crash at the worst moment."""
    stretch = Stretch(60 * MINUTE)
    series = Series("mean", stretch)
    kept, stored = None, 0
    for at in range(0, 120 * MINUTE, 10_000):
        if series.take(at, float(at % 70_000)):
            stored, kept = stored + 1, series.dump()
    assert stored <= 61, "every other minute"
    again = watch("mean", stretch, kept=json.loads(json.dumps(kept)))
    assert again.newest() is not None and series.newest() - again.newest() <= 2 * MINUTE  # type: ignore[operator]
    found, whole = again.result(120 * MINUTE, None), series.result(120 * MINUTE, None)
    assert isinstance(found, float) and found == pytest.approx(whole, rel=0.05)


def test_what_an_earlier_version_stored_is_read() -> None:
    kept = [[0, 1.0, 0.0, 0.0, 0], [60_000, 4.0, 3.0, 60_000.0, 60_000], [120_000, 5.0, 4.0, 300_000.0, 120_000]]
    assert watch("delta", Stretch(2 * MINUTE), kept=kept).result(2 * MINUTE, None) == 4.0


@pytest.mark.parametrize("function", ["delta", "rate", "mean"])
def test_sums_that_outgrow_all_numbers_begin_anew(function: str) -> None:
    """No database takes them as JSON, and nothing could be reckoned with them."""
    series = Series(function, Stretch(10 * MINUTE))
    for minute in range(10):
        series.take(minute * MINUTE, 1e308 * (-1) ** minute)
    stored = json.dumps(series.dump())
    assert "Infinity" not in stored and "NaN" not in stored
    again = watch(function, Stretch(10 * MINUTE), kept=json.loads(stored))
    again.take(10 * MINUTE, 2.0)
    assert again.newest() == 10 * MINUTE


@pytest.mark.parametrize("function", ["delta", "rate", "mean"])
def test_memory_is_bounded_however_often_a_device_speaks(function: str) -> None:
    series = Series(function, Stretch(24 * 60 * MINUTE))
    for at in range(0, 3 * 24 * 60 * MINUTE, 10_000):
        series.take(at, float(at % 7))
    assert len(series.points) <= SLICES + 2


def test_counts_are_bounded_too_and_lose_none() -> None:
    count = Count(Stretch(60 * MINUTE), of_events=True)
    for at in range(0, 60 * MINUTE, 100):
        count.happened(at)
    assert len(count.times) <= SLICES + 1
    assert count.result(60 * MINUTE - 1, None) == 36_000


def test_what_has_not_changed_for_a_day_is_stored_once_per_slice() -> None:
    change = Change(Stretch(24 * 60 * MINUTE))
    stored = sum(change.take(at, "on") for at in range(0, 24 * 60 * MINUTE, 30_000))
    assert stored == SLICES


def test_a_counter_grows_through_resets_and_wraps() -> None:
    reset = fed("delta", [(0, 990.0), (MINUTE, 1000.0), (2 * MINUTE, 3.0)], Stretch(2 * MINUTE, counter=True))
    assert reset.result(2 * MINUTE, None) == 13
    wrapped = fed("delta", [(0, 65_530.0), (MINUTE, 4.0)], Stretch(MINUTE, counter=True, wrap=16))
    assert wrapped.result(MINUTE, None) == 10
    gauge = fed("delta", [(0, 1000.0), (MINUTE, 3.0)], Stretch(MINUTE))
    assert gauge.result(MINUTE, None) == -997


def test_what_the_gateway_could_not_hear_is_not_called_unchanged() -> None:
    change = fed("changed", [(0, 1.0)], Stretch(10 * MINUTE))
    assert change.result(30 * MINUTE, None) is False
    assert change.result(30 * MINUTE, 25 * MINUTE) is None
    assert change.result(35 * MINUTE, 25 * MINUTE) is False


def test_a_device_that_was_silent_is_not_called_unchanged_when_it_is_back() -> None:
    change = fed("changed", [(at * MINUTE, 1.0) for at in range(12)], Stretch(10 * MINUTE, 3 * MINUTE))
    assert change.result(11 * MINUTE, None) is False
    assert change.result(40 * MINUTE, None) is None, "before its first new value is told"
    change.take(40 * MINUTE, 1.0)
    assert change.result(40 * MINUTE, None) is None


def test_what_is_no_number_and_what_is_older_enters_no_series() -> None:
    series = Series("delta", Stretch(MINUTE))
    assert not series.take(0, "word")
    assert not series.take(0, True)
    assert series.take(MINUTE, 1)
    assert not series.take(0, 5)
    assert series.result(MINUTE) is None
