"""What metrics are made of: declared metrics, their samples, and a histogram that costs a microsecond.

Free of any library, so that who measures needs none; services.metrics turns samples into what Prometheus reads.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets of a Timing, in seconds."""


@dataclass(frozen=True)
class Distribution:
    """What a Timing has seen: `counts` per bound, the last one of all beyond; not cumulative. `sum` in seconds."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        return sum(self.counts)


class Timing:
    """How long something takes, since the start. One thread at a time notes; any thread may read."""

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def note(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def read(self) -> Distribution:
        return Distribution(self._bounds, tuple(self._counts), self._sum)


@dataclass(frozen=True)
class Metric:
    """One metric of the product: its name after Prometheus' conventions, and what it says in a sentence."""

    name: str
    kind: Kind
    about: str
    labels: tuple[str, ...] = ()

    def at(self, value: float | Distribution, *labels: str) -> Sample:
        """Its value now, with the values of its labels in their order."""
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, found {labels}")
        return Sample(self, labels, value)


class Sample(NamedTuple):
    metric: Metric
    labels: tuple[str, ...]
    value: float | Distribution


Collector = Callable[[], Iterable[Sample]]
"""Reads the figures of some live objects whenever it is asked."""
