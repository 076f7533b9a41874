"""What to draw: which metrics together, the thresholds of simple rules, and the points."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from device_profiles.schema import DeviceProfile, Metric, Rule, Scalar
from gateway.reading import child_kind
from gateway.telemetry import TelemetryStore
from services.clock import to_millis
from services.web.i18n import Language
from services.web.pages import words

SPANS = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
_POINTS = 800
_COMPARISON = re.compile(r"^\s*\(?\s*([a-z][a-z0-9_]*)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?|[a-z][a-z0-9_]*)\s*[^\s\w()]*[A-Za-z/%°]*\s*\)?\s*$")


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
    """Lines for rules that only compare a metric with a number or a param; what is more involved is left out."""
    wanted = set(metrics)
    found = []
    for rule in profile.rules:
        for name, value in _limits(rule, profile, params):
            if name in wanted:
                found.append(Threshold(value, rule.name.in_(language), words.SEVERITY[rule.severity].tone))
    return found


def _limits(rule: Rule, profile: DeviceProfile, params: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    parts = rule.when.split(" or ")  # with `and` a line would tell only half of it
    matches = [_COMPARISON.match(part) for part in parts]
    for match in matches:
        if match is None or match[1] not in profile.metrics:
            continue
        value = _number(match[3], profile, params)
        if value is not None:
            yield match[1], value


def _number(text: str, profile: DeviceProfile, params: Mapping[str, Any]) -> float | None:
    if text in profile.params:
        raw: Scalar = params.get(text, profile.params[text].default)
        return float(raw) if isinstance(raw, (int, float)) and not isinstance(raw, bool) else None
    try:
        return float(text)
    except ValueError:
        return None


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
