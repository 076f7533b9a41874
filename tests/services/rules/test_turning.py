"""Between two values, what looks back says the same until the moment at which it is said to turn."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.rules.automaton import FOREVER
from services.rules.turning import turns_at
from services.rules.windows import Stretch, watch

steps = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 3)), max_size=12)


@pytest.mark.parametrize("function", ["delta", "rate", "changed", "count"])
@settings(max_examples=60, deadline=None)
@given(steps, st.sampled_from([FOREVER, 25]), st.sampled_from([None, 40]))
def test_nothing_changes_before(function: str, said: list[tuple[int, int]], hold: int, listening: int | None) -> None:
    memory = watch(function, Stretch(100, hold))
    now = 0
    for wait, value in said:
        now += wait
        given: Any = value > 1 if function == "count" else value
        memory.take(now, given)
    for _ in range(50):
        turns = turns_at(memory, now, listening)
        assert turns > now
        stands = memory.result(now, listening)
        for at in range(now, min(turns, now + 400)):
            assert memory.result(at, listening) == stands, (at, turns)
        if turns >= FOREVER:
            return
        now = turns
    raise AssertionError("it must come to rest")
