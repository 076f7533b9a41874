"""Every metric of the product in one place, for docs/metrics.md and for what is built on their names."""

from __future__ import annotations

from gateway import metrics as gateway
from gateway.measure import Metric
from services.metrics import SCRAPE_FAILURES, calm, parts, process, rules, state, web

ALL: tuple[Metric, ...] = (
    *gateway.METRICS, *parts.METRICS, *state.METRICS, *rules.METRICS, *calm.METRICS, *web.METRICS,
    *process.METRICS, SCRAPE_FAILURES,
)  # fmt: skip


def series_of(metric: Metric) -> tuple[str, ...]:
    """The names under which Prometheus keeps it."""
    if metric.kind == "histogram":
        return tuple(f"{metric.name}_{part}" for part in ("bucket", "sum", "count"))
    return (metric.name,)
