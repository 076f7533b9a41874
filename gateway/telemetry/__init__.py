"""Time series behind one port: SQLite beside the product, InfluxDB where it outgrows one file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from gateway.reading import Millis, Reading, Value


class TelemetryUnavailable(Exception):
    """The store cannot take points now; the journal keeps them and the forwarder tries again."""


class Point(msgspec.Struct, frozen=True, array_like=True):
    """One value of one metric at one time."""

    at: Millis
    value: Value


class Only(NamedTuple):
    """Which values a scan is after. What else a reading has is left out, as nobody looks at it."""

    metrics: frozenset[str]
    """Metrics, states and lasting events, by name."""
    bare: Literal["kept", "left_out"] = "kept"
    """Readings that have none of them: `kept` without values, as signs of life, or `left_out`."""


Looked = Callable[[], None]
"""Called while somebody waits: it goes on."""


class TelemetryStore(Protocol):
    """Write readings and read ranges. Writing a reading twice changes nothing."""

    @property
    def refused(self) -> int:
        """Values or readings that it will never take and has left out, as far as it counts them."""
        ...

    def write(self, readings: Sequence[Reading]) -> None:
        """Store readings durably; raises TelemetryUnavailable."""
        ...

    def range(
        self, *, device: str, child: str, metrics: Sequence[str], start: Millis, end: Millis, limit: int = 2000
    ) -> dict[str, list[Point]]:
        """Points per metric with start <= at < end, oldest first. More than `limit` points are thinned so that the
        lowest and the highest of every stretch stay visible."""
        ...

    def scan(
        self,
        *,
        devices: Collection[str],
        start: Millis,
        end: Millis,
        only: Only | None = None,
        looked: Looked | None = None,
    ) -> Iterator[Reading]:
        """Every reading of these devices with start <= measured_at < end, as measured, in order of measured_at (then
        device, child), a few thousand in memory at a time: for backtests and reports. What the store does not keep
        (events, replies, the binding in InfluxDB) is empty; `only` spares what is not looked at. `looked` is called
        with each step, also where nothing was found that is wanted: it may raise to end it. Raises
        TelemetryUnavailable."""
        ...

    def rename(self, old: str, new: str) -> None:
        """File the history of the device `old` under `new`; where both have a reading of one time, that of `new` stays.
        What is written under `old` afterwards is not touched: call it again. Raises TelemetryUnavailable."""
        ...

    def close(self) -> None: ...
