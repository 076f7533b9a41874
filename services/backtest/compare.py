"""Two sides of a backtest, counted and compared. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from gateway.reading import Millis
from services.backtest.report import Difference, Episode, Tally

Key = tuple[str, str, str, str]


def tally(episodes: Iterable[Episode], start: Millis, end: Millis) -> Tally:
    """Counts of what lies in [start, end)."""
    total = Tally()
    for one in episodes:
        total += _count(one, start, end)
    return total


def _count(one: Episode, start: Millis, end: Millis) -> Tally:
    if one.shadow:
        return Tally(shadow=1)
    if one.suppressed_by:
        return Tally(suppressed=1)
    fresh = not one.carried
    return Tally(
        alarms=int(fresh),
        tickets=int(fresh and one.ticket),
        notices=one.notices,
        flaps=one.flaps,
        active_seconds=one.active_millis(start, end) / 1000,
        folded=int(fresh and one.folded),
        going_on=int(one.cleared_at is None),
    )


def by_rule(episodes: Iterable[Episode]) -> dict[tuple[str, str], dict[str, list[Episode]]]:
    """(profile, rule) -> device -> its episodes."""
    found: dict[tuple[str, str], dict[str, list[Episode]]] = defaultdict(lambda: defaultdict(list))
    for one in episodes:
        found[one.profile, one.rule][one.device].append(one)
    return found


def differences(
    old: Sequence[Episode], new: Sequence[Episode], end: Millis, *, within: Millis = 0
) -> tuple[Difference, ...]:
    """In order of time. Episodes of one rule on one device belong together where they overlap; one that overlaps
    several (a flutter that became one alarm) is paired with the first, and the others stand alone. Times that are off
    by no more than `within` are the same."""
    found: list[Difference] = []
    old_by_key, new_by_key = _by_key(old), _by_key(new)
    for key in {**old_by_key, **new_by_key}:
        found += _paired(old_by_key.get(key, []), new_by_key.get(key, []), end, within)
    return tuple(sorted(found, key=lambda one: (one.either.raised_at, one.either.key)))


def _by_key(episodes: Iterable[Episode]) -> Mapping[Key, list[Episode]]:
    found: dict[Key, list[Episode]] = defaultdict(list)
    for one in sorted(episodes, key=lambda one: one.raised_at):
        found[one.key].append(one)
    return found


def _paired(old: list[Episode], new: list[Episode], end: Millis, within: Millis) -> list[Difference]:
    found: list[Difference] = []
    left = list(new)
    for one in old:
        partner = next((other for other in left if _overlap(one, other, end, within)), None)
        if partner is None:
            found.append(Difference(kind="only_old", old=one, new=None))
            continue
        left.remove(partner)
        if _moved(one, partner, end, within):
            found.append(Difference(kind="moved", old=one, new=partner))
        elif one != replace(partner, raised_at=one.raised_at, cleared_at=one.cleared_at, carried=one.carried):
            found.append(Difference(kind="changed", old=one, new=partner))
    return found + [Difference(kind="only_new", old=None, new=one) for one in left]


def _moved(one: Episode, other: Episode, end: Millis, within: Millis) -> bool:
    if not within:
        return (one.raised_at, one.cleared_at) != (other.raised_at, other.cleared_at)
    over, other_over = (end if at is None else at for at in (one.cleared_at, other.cleared_at))
    return abs(one.raised_at - other.raised_at) > within or abs(over - other_over) > within


def _overlap(one: Episode, other: Episode, end: Millis, within: Millis) -> bool:
    first, second = (one, other) if one.raised_at <= other.raised_at else (other, one)
    return second.raised_at <= (end if first.cleared_at is None else first.cleared_at) + within
