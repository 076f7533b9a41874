"""Chores are done when due, each on its own, whatever the clock does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.ticker import Chore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_a_chore_runs_once_per_period() -> None:
    done: list[datetime] = []
    chore = Chore("tick", SECOND, done.append)
    for half in range(6):
        chore.run_if_due(NOON + half * SECOND / 2)
    assert done == [NOON, NOON + SECOND, NOON + 2 * SECOND]


def test_a_clock_that_goes_back_stops_no_chore() -> None:
    done: list[datetime] = []
    chore = Chore("tick", SECOND, done.append)
    chore.run_if_due(NOON)
    earlier = NOON - timedelta(hours=8)
    for half in range(4):
        chore.run_if_due(earlier + half * SECOND / 2)
    assert done == [NOON, earlier, earlier + SECOND]


def test_a_failure_is_counted_and_tried_again() -> None:
    def fail(_: datetime) -> None:
        raise RuntimeError("no")

    chore = Chore("tick", SECOND, fail)
    chore.run_if_due(NOON)
    chore.run_if_due(NOON + SECOND)
    assert chore.failures == 2
