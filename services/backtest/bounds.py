"""How much of a result is kept and sent: sums stay exact over everything, lists are cut and say by how much. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple, TypeVar

from services.backtest.report import Difference, Report, RuleResult, Unlike

One = TypeVar("One", Difference, Unlike)


class Bounds(NamedTuple):
    """Of the lists of one result."""

    episodes: int = 2000
    """That differ from side to side; and as many that are unlike what really happened."""
    episodes_of_one: int = 50
    """Of one rule on one device, so that one that chatters does not hide the others."""
    devices: int = 200
    """Of one rule, besides those of the episodes that are kept."""


USUAL = Bounds()


def bounded(report: Report, bounds: Bounds) -> Report:
    """The same result with no more than that in its lists."""
    differences = tuple(_kept(report.differences, bounds))
    agreement = report.agreement
    unlike = () if agreement is None else tuple(_kept(agreement.unlike, bounds))
    named = frozenset([*(one.either.device for one in differences), *(one.either.device for one in unlike)])
    return replace(
        report,
        differences=differences,
        more_differences=report.more_differences + len(report.differences) - len(differences),
        rules=tuple(_rule(one, named, bounds.devices) for one in report.rules),
        agreement=None
        if agreement is None
        else replace(agreement, unlike=unlike, more=agreement.more + len(agreement.unlike) - len(unlike)),
    )


def _kept(found: Iterable[One], bounds: Bounds) -> Iterator[One]:
    """The first of each rule and device, in order of time."""
    of_one: Counter[tuple[str, str, str, str]] = Counter()
    count = 0
    for one in found:
        if count == bounds.episodes:
            return
        if of_one[one.either.key] < bounds.episodes_of_one:
            of_one[one.either.key] += 1
            count += 1
            yield one


def _rule(rule: RuleResult, named: frozenset[str], most: int) -> RuleResult:
    """Those whose counts differ come first; they stay in their order."""
    first = sorted(rule.devices, key=lambda one: one.old == one.new)[:most]
    kept = named | {one.device for one in first}
    left_out = [one for one in rule.devices if one.device not in kept]
    return replace(
        rule,
        devices=tuple(one for one in rule.devices if one.device in kept),
        more_devices=rule.more_devices + len(left_out),
        more_differing=rule.more_differing + sum(1 for one in left_out if one.old != one.new),
    )
