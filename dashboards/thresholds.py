"""Limits drawn into charts, read from the rules that are one plain comparison. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from device_profiles import units
from device_profiles.schema import Metric, Rule, Severity

_PLAIN = re.compile(r"^\s*([a-z][a-z0-9_]*)\s*(>=|>|<=|<)\s*(-?\d+(?:\.\d+)?)\s*(\S+)?\s*$")
FINE = "transparent"
COLOURS = {
    Severity.CRITICAL: "dark-red",
    Severity.MAJOR: "red",
    Severity.MINOR: "orange",
    Severity.WARNING: "yellow",
}
_RANK = {severity: rank for rank, severity in enumerate(Severity)}  # critical first


class Limit(NamedTuple):
    metric: str
    above: bool
    value: float
    """In the metric's own unit."""
    severity: Severity


class Step(NamedTuple):
    """From this value up (None: from the bottom) the chart is this colour."""

    value: float | None
    colour: str


def limit_of(rule: Rule, metrics: dict[str, Metric]) -> Limit | None:
    """The rule as a line in a chart; None where it is more than one comparison with a number."""
    found = _PLAIN.match(rule.when)
    if found is None or found[1] not in metrics:
        return None
    uom = metrics[found[1]].uom
    factor = units.factor(found[4], uom) if found[4] else 1.0
    if factor is None:
        return None
    return Limit(found[1], found[2].startswith(">"), float(found[3]) * factor, rule.severity)


def steps(limits: Iterable[Limit]) -> list[Step]:
    """Colours from the bottom up: below a lower limit bad, between them fine, above an upper limit bad."""
    lower = sorted((limit for limit in limits if not limit.above), key=lambda limit: limit.value)
    upper = sorted((limit for limit in limits if limit.above), key=lambda limit: limit.value)
    borders = sorted({limit.value for limit in (*lower, *upper)})
    found = [Step(None, _colour(limit for limit in lower))]
    for border in borders:
        below = [limit for limit in lower if limit.value > border]
        above = [limit for limit in upper if limit.value <= border]
        colour = _colour((*below, *above))
        if colour != found[-1].colour:
            found.append(Step(border, colour))
    return found


def _colour(limits: Iterable[Limit]) -> str:
    worst = min((limit.severity for limit in limits), key=_RANK.__getitem__, default=None)
    return COLOURS[worst] if worst is not None else FINE
