"""Counters: growth, wraps, resets, spikes, rates and totals; and what decoding makes of them."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from device_profiles.schema import Counter
from gateway.decode.counters import CounterState, advance
from gateway.reading import Quality
from tests.gateway.decode.mini import NOW, decoder, flat, named

MINUTE = 60_000
PLAIN = Counter.model_validate({"rate": {"metric": "power", "per": "1h"}, "total": "whole"})


def counter(**more: Any) -> Counter:
    return PLAIN.model_validate({"rate": {"metric": "power", "per": "1h"}, "total": "whole", **more})


def run(spec: Counter, *values: float, step: int = MINUTE) -> list[tuple[bool, float | None, float | None]]:
    """(accepted, rate, total) of each, a minute apart."""
    state: CounterState | None = None
    out = []
    for n, value in enumerate(values):
        found = advance(spec, state, value, NOW + n * step)
        state = found.state
        out.append((found.accepted, found.rate, found.total))
    return out


def test_a_rate_follows_from_two_points_in_a_row() -> None:
    assert run(PLAIN, 10, 11, 11, 14) == [(True, None, 10), (True, 60, 11), (True, 0, 11), (True, 180, 14)]


def test_bits_that_run_over_are_growth() -> None:
    assert run(counter(wrap=16), 65_530, 4)[1] == (True, 600, 65_540)


def test_a_fall_that_would_be_an_implausible_growth_is_no_wrap() -> None:
    assert run(counter(wrap=32), 1000, 400)[1] == (True, None, 1400), "a reset"
    assert run(counter(wrap=16, largest_step=5), 65_530, 400)[1] == (False, None, None), "neither"


def test_after_a_reset_the_total_goes_on_and_there_is_no_rate() -> None:
    assert run(PLAIN, 100, 110, 2, 5) == [(True, None, 100), (True, 600, 110), (True, None, 112), (True, 180, 115)]


def test_a_spike_is_left_out_until_a_second_value_agrees() -> None:
    spec = counter(largest_step=10)
    assert run(spec, 100, 5000, 104) == [(True, None, 100), (False, None, None), (True, None, 104)]
    assert run(spec, 100, 5000, 5003, 5006)[1:] == [(False, None, None), (True, None, 5003), (True, 180, 5006)]


def test_one_absurd_value_does_not_ruin_a_total_though_the_profile_bounds_nothing() -> None:
    """All bits set, in the middle of a meter's life."""
    for absurd in (4_294_967_295, 65_535_000, 1e30):
        assert [total for *_, total in run(PLAIN, 1000, 1001, 1002, 1003, absurd, 1004)] == [
            *(1000, 1001, 1002, 1003), None, 1004,
        ]  # fmt: skip


def test_a_second_value_up_there_is_another_meter_and_the_total_goes_on_without_the_leap() -> None:
    found = run(PLAIN, 10, 11, 12, 13, 90_000, 90_002, 90_003)
    assert found[4:] == [(False, None, None), (True, None, 15), (True, 60, 16)]
    # Down there it is one that starts again, as ever.
    assert run(PLAIN, 1000, 1001, 1002, 1003, 2)[4:] == [(True, None, 1005)]


def test_a_fault_that_lasted_is_taken_back_when_the_counter_is_where_it_was() -> None:
    stuck = 4_294_967_295
    found = [total for *_, total in run(PLAIN, 1000, 1001, 1002, 1003, stuck, stuck, stuck, stuck, 1007, 1008)]
    assert found == [1000, 1001, 1002, 1003, None, 1003, 1003, 1003, 1007, 1008]


def test_what_a_counter_may_well_have_done_is_growth() -> None:
    assert run(PLAIN, 0, 1, 5000)[2] == (True, 60 * 4999, 5000), "nothing is known of it yet"
    assert run(PLAIN, 0.1, 0.2, 0.3, 0.4, 3.9)[4][0], "a young one, ten times as high"
    # A day away, at a hundred times its usual pace.
    state = None
    for n, value in enumerate((1, 2, 3, 4)):
        state = advance(PLAIN, state, value, NOW + n * MINUTE).state
    assert advance(PLAIN, state, 4 + 100 * 24 * 60, NOW + 3 * MINUTE + 86_400_000).accepted
    assert not advance(PLAIN, state, 4 + 200 * 24 * 60, NOW + 3 * MINUTE + 86_400_000).accepted


def test_a_small_fall_is_a_spike_and_no_reset() -> None:
    assert run(PLAIN, 1000, 990, 1001)[1:] == [(False, None, None), (True, None, 1001)]
    assert run(PLAIN, 1000, 990, 991)[1:] == [(False, None, None), (True, None, 1001)], "it was set back by ten"


def test_a_dropout_to_zero_is_no_reset() -> None:
    spec = counter(largest_step=10)
    assert [total for _, _, total in run(spec, 1000, 0, 1004, 1008)] == [1000, 1000, 1004, 1008]
    assert [total for _, _, total in run(PLAIN, 1000, 0, 1004, 1008)] == [1000, 1000, 1004, 1008]
    assert [total for _, _, total in run(counter(reset=["session"]), 5, 0, 5)] == [5, 5, 10], "another session"


def test_a_daily_counter_starts_again_at_midnight_and_at_no_other_time() -> None:
    spec = counter(reset=["daily"])
    state = advance(spec, None, 1000, NOW).state
    assert not advance(spec, state, 900, NOW + MINUTE).accepted
    midnight = (NOW // 86_400_000 + 1) * 86_400_000
    found = advance(spec, advance(spec, None, 1000, midnight - 9000).state, 900, midnight + MINUTE)
    assert (found.accepted, found.total) == (True, 1900)


def test_a_point_that_is_not_newer_moves_nothing() -> None:
    first = advance(PLAIN, None, 10, NOW).state
    second = advance(PLAIN, first, 20, NOW + MINUTE).state
    for at in (NOW - MINUTE, NOW, NOW + MINUTE):
        found = advance(PLAIN, second, 5, at)
        assert (found.state, found.accepted, found.rate, found.total) == (second, True, None, None)


STEPS = st.lists(st.integers(0, 100), min_size=1, max_size=40)


@given(start=st.integers(0, 2**16 - 1), steps=STEPS)
def test_a_total_is_what_was_counted_whatever_wraps(start: int, steps: list[int]) -> None:
    spec, value, state = counter(wrap=16, largest_step=100), start, None
    state = advance(spec, None, float(value), NOW).state
    for n, step in enumerate(steps):
        value = (value + step) % 2**16
        found = advance(spec, state, float(value), NOW + (n + 1) * MINUTE)
        state = found.state
        assert found.accepted
        assert found.rate == step * 60
    assert state.total == start + sum(steps)


@given(steps=STEPS, spikes=st.sets(st.integers(0, 39)), height=st.integers(10_000, 10**9))
def test_single_spikes_change_no_total(steps: list[int], spikes: set[int], height: int) -> None:
    spec, value, at = counter(largest_step=100), 1000.0, NOW
    state = advance(spec, None, value, at).state
    for n, step in enumerate(steps):
        if n in spikes:
            at += 1
            spike = advance(spec, state, value + height * (1 + n), at)
            assert not spike.accepted
            state = spike.state
        value += step
        at += MINUTE
        state = advance(spec, state, value, at).state
    assert state.total == value


@given(
    values=st.lists(st.floats(-1e12, 1e12), max_size=30),
    times=st.lists(st.integers(-5, 20), min_size=30, max_size=30),
    wrap=st.sampled_from([None, 8, 32]),
    largest=st.sampled_from([None, 10.0]),
    reset=st.sampled_from(["zero", "daily", "session"]),
)
def test_whatever_comes_totals_never_fall_and_rates_are_finite(
    values: list[float], times: list[int], wrap: int | None, largest: float | None, reset: str
) -> None:
    spec, state, at = counter(wrap=wrap, largest_step=largest, reset=[reset]), None, NOW
    accepted: list[CounterState] = []
    for value, step in zip(values, times, strict=False):
        at += step * 1000
        found = advance(spec, state, value, at)
        if found.rate is not None:
            assert found.rate >= 0
        if found.total is not None:
            accepted.append(found.state)
        state = found.state
    fell = [(a, b) for a, b in pairwise(accepted) if b.total < a.total]
    # Only a reset that turns out to have been a dropout takes back what it had counted since.
    assert all(a.fell_from is not None for a, _ in fell)


METRICS = {
    "energy": {
        "name": named("energy"),
        "kind": "counter",
        "counter": {"largest_step": 100, "rate": {"metric": "power", "per": "1h"}, "total": "whole"},
    },
    "power": {"name": named("power"), "range": [0, 10_000]},
    "whole": {"name": named("whole")},
}


def test_decoding_puts_rate_and_total_beside_the_counter_and_leaves_spikes_out() -> None:
    made = _counting()
    said = [1.0, 2.0, 90_000.0, 3.0, 3.5]
    readings = [
        made.decode("t/d", json.dumps({"e": value}).encode(), NOW + n * MINUTE)[0] for n, value in enumerate(said)
    ]
    assert [r.values for r in readings] == [
        {"energy": 1, "whole": 1},
        {"energy": 2, "whole": 2, "power": 60},
        {},
        {"energy": 3, "whole": 3},
        {"energy": 3.5, "whole": 3.5, "power": 30},
    ]
    assert readings[2].flags == {"energy": Quality.SUSPECT}


def _counting() -> Any:
    return decoder(flat(energy="e"), metrics=METRICS, children={}, states={}, params={})


def test_a_counter_survives_a_restart_and_a_retained_copy_counts_nothing() -> None:
    first = _counting()
    first.decode("t/d", b'{"e": 1}', NOW)
    second = _counting()
    for key, value in first.memory.changes().items():
        second.memory.put(key, json.loads(json.dumps(value)))
    assert second.decode("t/d", b'{"e": 1}', NOW + 5, retained=True)[0].values == {"energy": 1}
    assert second.decode("t/d", b'{"e": 2}', NOW + MINUTE)[0].values == {"energy": 2, "whole": 2, "power": 60}


def test_a_rate_beyond_its_own_range_is_impossible() -> None:
    made = _counting()
    made.decode("t/d", b'{"e": 1}', NOW)
    (reading,) = made.decode("t/d", b'{"e": 99}', NOW + 1000)
    assert reading.values == {"energy": 99, "whole": 99}
    assert reading.flags == {"power": Quality.IMPOSSIBLE}


def test_points_of_one_batch_are_counted_in_the_order_of_time() -> None:
    split = {
        "id": "b",
        "topic": "t/{address}",
        "split": [{"over": "points", "older_is_history": True}],
        "time": {"path": "ts"},
        "fields": {"energy": "e"},
    }
    made = decoder(split, metrics=METRICS, children={}, states={}, params={})
    points = [{"ts": NOW - n * MINUTE, "e": 10 - n} for n in range(3)]
    readings = made.decode("t/d", json.dumps({"points": points}).encode(), NOW)
    assert [(r.values.get("power"), r.values["whole"]) for r in readings] == [(None, 8), (60, 9), (60, 10)]
