"""Figures of the product itself: collected from live objects whenever somebody asks, and never kept twice.

Each process has one `Metrics`; whoever starts a part says how to collect from it. There is no global registry, so two
products in one process (as in tests) do not count each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from threading import Lock

import structlog

from gateway.measure import Collector, Metric, Sample

__all__ = ["SCRAPE_FAILURES", "Metrics"]

log = structlog.get_logger("courtyard.metrics")

SCRAPE_FAILURES = Metric(
    "courtyard_scrape_failures_total",
    "counter",
    "How often a part's figures could not be read; the log says why.",
    ("part",),
)


class Metrics:
    """Any thread may watch and collect."""

    def __init__(self) -> None:
        self._parts: dict[str, Collector] = {}
        self._failures: Counter[str] = Counter()
        self._lock = Lock()

    def watch(self, part: str, collector: Collector) -> None:
        """Collect from this part from now on; a second one of that name takes the place of the first."""
        with self._lock:
            self._parts[part] = collector

    def forget(self, part: str) -> None:
        """The part is about to be closed."""
        with self._lock:
            self._parts.pop(part, None)

    def collect(self) -> Iterator[Sample]:
        """The figures of all parts, now. A part that fails is left out and counted: the others must be seen."""
        with self._lock:
            parts = list(self._parts.items())
        for part, collector in parts:
            yield from self._read(part, collector)
        for part, _ in parts:
            yield SCRAPE_FAILURES.at(self._failures[part], part)

    def _read(self, part: str, collector: Collector) -> list[Sample]:
        try:
            return list(collector())
        except Exception:  # the loop's edge: one part must not hide the others
            with self._lock:
                self._failures[part] += 1
            log.exception("figures_unreadable", part=part)
            return []
