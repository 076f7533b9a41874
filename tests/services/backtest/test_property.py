"""The live engine and the backtest give the same episodes for the same readings.

Random readings go through the real Intake, tick by tick, and into a time series; then that is replayed. Raises and
clears that follow from readings and delays are the same to the millisecond. What follows from silence alone is noticed
at a tick: it may be off by the grid of the one and the tick of the other, and an episode shorter than that may be seen
by one of them only.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from gateway.reading import Millis
from services.clock import to_millis
from services.tables import alarms
from tests.services.backtest.kit import Stored, close, episodes, stored
from tests.stories.site import MIDNIGHT, STEP

TOLERANCE: Millis = 30_000 + round(STEP.total_seconds() * 1000)
BY_SILENCE = frozenset({"gone", "pressure_missing"})


class Seen(NamedTuple):
    raised_at: Millis
    cleared_at: Millis | None


def said(device: str, child: str, name: str, *values: float | str) -> st.SearchStrategy[Any]:
    return st.sampled_from([(device, child, {name: value}) for value in values])


SAYS = st.one_of(
    said("pumps", "", "pressure", 0.05, 0.2, 0.32, 0.5),
    said("pumps", "", "room", "dry", "wet"),
    said("pumps", "pump:1", "run", "running", "fault"),
    said("gate-1", "", "door", "open", "closed", "forced"),
    st.sampled_from(["pumps", "gate-1"]),
)
"""What a device says from now on, or that it falls silent."""


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(1, 18), SAYS), min_size=3, max_size=12))
def test_live_and_backtest_give_the_same_episodes(story: list[tuple[int, Any]]) -> None:
    with TemporaryDirectory() as folder:
        site = stored(Path(folder))
        try:
            tell(site, story)
            assert_same(lived(site), replayed(site))
        finally:
            close(site)


def tell(site: Stored, story: list[tuple[int, Any]]) -> None:
    site.keeps_saying("pumps", pressure=0.5).keeps_saying("gate-1", door="closed")
    for ticks, what in story:
        pass_time(site, ticks)
        if isinstance(what, str):
            site.falls_silent(what)
        else:
            device, child, values = what
            site.keeps_saying(device, child, **{**site.said.get((device, child), {}), **values})
    pass_time(site, 12)


def pass_time(site: Stored, ticks: int) -> None:
    site.at(f"{site.clock.time + ticks * STEP:%H:%M:%S}")


def lived(site: Stored) -> dict[tuple[str, str, str], list[Seen]]:
    found = defaultdict(list)
    with site.database.read() as connection:
        for row in connection.execute(select(alarms).order_by(alarms.c.raised_at)):
            cleared = None if row.cleared_at is None else to_millis(row.cleared_at)
            found[row.device, row.child, row.rule].append(Seen(to_millis(row.raised_at), cleared))
    return found


def replayed(site: Stored) -> dict[tuple[str, str, str], list[Seen]]:
    found = defaultdict(list)
    for one in episodes(site, MIDNIGHT, site.clock.time):
        found[one.device, one.child, one.rule].append(Seen(one.raised_at, one.cleared_at))
    return found


def assert_same(live: dict[tuple[str, str, str], list[Seen]], again: dict[tuple[str, str, str], list[Seen]]) -> None:
    for key in {*live, *again}:
        before, after = live.get(key, []), again.get(key, [])
        if key[2] not in BY_SILENCE:
            assert before == after, key
            continue
        before, after = ([one for one in some if not is_short(one)] for some in (before, after))
        assert len(before) == len(after), key
        for one, other in zip(before, after, strict=True):
            assert abs(one.raised_at - other.raised_at) <= TOLERANCE, key
            assert (one.cleared_at is None) is (other.cleared_at is None), key
            assert abs((one.cleared_at or 0) - (other.cleared_at or 0)) <= TOLERANCE, key


def is_short(one: Seen) -> bool:
    return one.cleared_at is not None and one.cleared_at - one.raised_at <= 2 * TOLERANCE
