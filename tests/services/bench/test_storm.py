"""Thousands of devices fail at once: what the bench counts must be right, however long it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.bench.storm import run


@pytest.mark.parametrize("server", ["sqlite", "postgresql"])
def test_a_storm_is_ten_tickets_and_one_and_nothing_is_left_of_it(server: str, request: pytest.FixtureRequest) -> None:
    figures = run(300, "" if server == "sqlite" else request.getfixturevalue("postgresql_url"))
    assert (figures["alarms"], figures["folded"], figures["storms"]) == (300, 290, 1)
    assert figures["tickets"] == 11
    assert figures["notices"] == 11 * 2 * 2, "an alarm and a ticket, to an engineer and the crew"
    assert figures["left"] == 0
    assert figures["decided_p99_ms"] > 0


def test_a_database_that_is_somebodys_is_left_alone(tmp_path: Path) -> None:
    run(50, f"sqlite:///{tmp_path / 'mine.db'}")
    with pytest.raises(ValueError, match="with 1 sites, expected an empty one"):
        run(50, f"sqlite:///{tmp_path / 'mine.db'}")
