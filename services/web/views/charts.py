"""What to draw: which metrics together, the thresholds of simple rules, and the points."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from device_profiles.schema import DeviceProfile, Metric
from gateway.reading import child_kind
from gateway.telemetry import TelemetryStore
from services.clock import to_millis
from services.rules.thresholds import thresholds_of as lines_of_rule
from services.web.i18n import Language
from services.web.pages import words

SPANS = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
_POINTS = 800
_FEW = 10
_AND = re.compile(r"\band\b")
_SIDES = frozenset({"<", "<=", ">", ">="})


@dataclass(frozen=True)
class Chart:
    """Metrics of one device or child that are drawn together."""

    child: str
    metrics: tuple[str, ...]
    title: str


@dataclass(frozen=True)
class Threshold:
    value: float
    text: str
    tone: str


def first_span(
    telemetry: TelemetryStore, device: str, child: str, metrics: Sequence[str], now: datetime
) -> Literal["1h", "24h"]:
    """The last hour where there is nothing older in the last day, else the day."""
    start, end = to_millis(now - SPANS["24h"]), to_millis(now - SPANS["1h"])
    found = telemetry.range(device=device, child=child, metrics=metrics, start=start, end=end, limit=_FEW)
    return "24h" if any(found.values()) else "1h"


def charts_of(profile: DeviceProfile, child: str, language: Language) -> list[Chart]:
    """The groups the profile's dashboard hints give; metrics it does not name come one by one after them."""
    scope = child_kind(child) or None
    own = [name for name, metric in profile.metrics.items() if metric.scope == scope]
    groups = [tuple(name for name in group if name in own) for group in profile.dashboard.charts]
    named = {name for group in groups for name in group}
    groups = [group for group in groups if group] + [(name,) for name in own if name not in named]
    return [Chart(child, group, _title(profile, group, language)) for group in groups]


def _title(profile: DeviceProfile, group: Sequence[str], language: Language) -> str:
    return " · ".join(profile.metrics[name].name.in_(language) for name in group)


def thresholds_of(
    profile: DeviceProfile, metrics: Iterable[str], params: Mapping[str, Any], language: Language
) -> list[Threshold]:
    """Lines for rules that compare a metric with numbers and params. A rule with `and` would be told only by half in a
    line, so it is left out; `or` is several lines."""
    wanted = set(metrics)
    return [
        Threshold(line.value, rule.name.in_(language), words.SEVERITY[rule.severity].tone)
        for rule in profile.rules
        if _AND.search(rule.when) is None
        for line in lines_of_rule(profile, rule, {**_defaults(profile), **params})
        if line.metric in wanted and not line.look and line.sign in _SIDES
    ]


def _defaults(profile: DeviceProfile) -> dict[str, Any]:
    return {name: param.default for name, param in profile.params.items()}


def history(
    telemetry: TelemetryStore,
    profile: DeviceProfile,
    *,
    device: str,
    child: str,
    metrics: Sequence[str],
    params: Mapping[str, Any],
    start: datetime,
    end: datetime,
    language: Language,
) -> dict[str, Any]:
    """What the chart script draws; raises TelemetryUnavailable."""
    found = telemetry.range(
        device=device, child=child, metrics=metrics, start=to_millis(start), end=to_millis(end), limit=_POINTS
    )
    return {
        "start": to_millis(start),
        "end": to_millis(end),
        "series": [_series(profile, name, found.get(name, []), language) for name in metrics],
        "thresholds": [vars(line) for line in thresholds_of(profile, metrics, params, language)],
    }


def _series(profile: DeviceProfile, name: str, points: Sequence[Any], language: Language) -> dict[str, Any]:
    metric: Metric = profile.metrics[name]
    period = metric.period or profile.availability.period
    return {
        "name": metric.name.in_(language),
        "uom": metric.uom,
        "decimals": metric.decimals,
        "gap": int(period.total_seconds() * 1000 * (profile.availability.missed + 1)),
        "points": [[point.at, point.value if _is_number(point.value) else None] for point in points],
    }


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
