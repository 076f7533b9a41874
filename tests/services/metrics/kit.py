"""Reading what is exposed, as Prometheus would."""

from __future__ import annotations

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: str) -> Series:
    """(name, labels) -> value; fails on a series that stands there twice."""
    found: Series = {}
    for family in plain(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"{key} twice"
            found[key] = sample.value
    return found


def read_strictly(text: str) -> None:
    """OpenMetrics' parser refuses what is out of order, without a type, or counts down."""
    for family in openmetrics(text):
        assert family.documentation, family.name


def value(series: Series, name: str, **labels: str) -> float:
    return series[name, tuple(sorted(labels.items()))]


def total(series: Series, name: str) -> float:
    return sum(found for (one, _), found in series.items() if one == name)
