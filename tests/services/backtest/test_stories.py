"""A day of a pump room under other rules: the numbers are those that one counts by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.backtest import Tally
from services.clock import to_millis
from tests.services.backtest.kit import Stored, clock, close, replayed, stored

LOW = "pumps/low"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Stored]:
    site = stored(tmp_path)
    yield site
    close(site)


def dips(site: Stored, *dips: tuple[str, str]) -> None:
    """The pressure is good, and low from each first time to each second one."""
    site.keeps_saying("pumps", pressure=0.5)
    for begin, end in dips:
        site.at(begin).says("pumps", pressure=0.1)
        site.at(end).says("pumps", pressure=0.5)


def test_a_longer_delay_leaves_out_the_short_dips(site: Stored) -> None:
    dips(site, ("00:40", "00:43"), ("01:00", "01:02"), ("01:20", "01:32"))
    site.at("02:00")
    found = replayed(site, "00:30", "02:00", {"rules": {"pumps": {"low": {"for": "5m"}}}})
    low = next(one for one in found.rules if (one.profile, one.rule) == ("pumps", "low"))
    assert low.changed
    # Raised after 60 s of low pressure, cleared after 30 s of good: 2.5 + 1.5 + 11.5 minutes.
    assert low.old == Tally(alarms=3, tickets=3, notices=low.old.notices, active_seconds=930)
    assert low.new == Tally(alarms=1, tickets=1, notices=low.new.notices, active_seconds=450)
    kinds = [(one.kind, one.either.raised_at) for one in found.differences]
    assert kinds == [
        ("only_old", to_millis(clock("00:41"))),
        ("only_old", to_millis(clock("01:01"))),
        ("moved", to_millis(clock("01:25"))),
    ]
