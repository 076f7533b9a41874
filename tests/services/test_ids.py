"""Ids sort by time, and what one transaction writes keeps its order, whoever else writes at the same moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.ids import IdSource, lowest_id, time_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_later_ids_are_above_earlier_ones() -> None:
    source = IdSource()
    made = [source.next(NOW + timedelta(milliseconds=n // 3)) for n in range(300)]
    assert made == sorted(set(made))
    assert lowest_id(NOW) <= made[0]
    assert time_of(made[-1]) == NOW + timedelta(milliseconds=99)


def test_transactions_that_take_turns_each_keep_their_order() -> None:
    """Each has the time of its beginning; another one that began later writes in between."""
    source = IdSource()
    early: list[str] = []
    late: list[str] = []
    for _ in range(50):
        early.append(source.next(NOW))
        late.append(source.next(NOW + timedelta(milliseconds=1)))
    assert early == sorted(early)
    assert late == sorted(late)
