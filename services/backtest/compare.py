"""Two sides of a backtest, counted and compared. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

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


def differences(old: Sequence[Episode], new: Sequence[Episode], end: Millis) -> tuple[Difference, ...]:
    """In order of time. Episodes of one rule on one device belong together where they overlap; one that overlaps
    several (a flutter that became one alarm) is paired with the first, and the others stand alone."""
    found: list[Difference] = []
    old_by_key, new_by_key = _by_key(old), _by_key(new)
    for key in {**old_by_key, **new_by_key}:
        found += _paired(old_by_key.get(key, []), new_by_key.get(key, []), end)
    return tuple(sorted(found, key=lambda one: (one.either.raised_at, one.either.key)))


def _by_key(episodes: Iterable[Episode]) -> Mapping[Key, list[Episode]]:
    found: dict[Key, list[Episode]] = defaultdict(list)
    for one in sorted(episodes, key=lambda one: one.raised_at):
        found[one.key].append(one)
    return found


def _paired(old: list[Episode], new: list[Episode], end: Millis) -> list[Difference]:
    found: list[Difference] = []
    left = list(new)
    for one in old:
        partner = next((other for other in left if _overlap(one, other, end)), None)
        if partner is None:
            found.append(Difference(kind="only_old", old=one, new=None))
            continue
        left.remove(partner)
        if (one.raised_at, one.cleared_at) != (partner.raised_at, partner.cleared_at):
            found.append(Difference(kind="moved", old=one, new=partner))
        elif one != partner:
            found.append(Difference(kind="changed", old=one, new=partner))
    return found + [Difference(kind="only_new", old=None, new=one) for one in left]


def _overlap(one: Episode, other: Episode, end: Millis) -> bool:
    first, second = (one, other) if one.raised_at <= other.raised_at else (other, one)
    return second.raised_at <= (first.cleared_at or end)
