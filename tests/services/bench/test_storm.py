"""Thousands of devices fail at once: what the bench counts must be right, however long it takes."""

from __future__ import annotations

from services.bench.storm import run


def test_a_storm_is_ten_tickets_and_one_and_nothing_is_left_of_it() -> None:
    figures = run(300)
    assert (figures["alarms"], figures["folded"], figures["storms"]) == (300, 290, 1)
    assert figures["tickets"] == 11
    assert figures["notices"] == 11 * 2 * 2, "an alarm and a ticket, to an engineer and the crew"
    assert figures["left"] == 0
    assert figures["decided_p99_ms"] > 0
