"""Where a history is read from, in words that another process understands: it opens the store for itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gateway.reading import Millis, Reading
from gateway.telemetry import Looked, Only
from services.settings import Settings


class Readable(Protocol):
    """The part of gateway.telemetry.TelemetryStore that a backtest uses."""

    def scan(
        self,
        *,
        devices: Collection[str],
        start: Millis,
        end: Millis,
        only: Only | None = None,
        looked: Looked | None = None,
    ) -> Iterator[Reading]: ...


class History(Protocol):
    """An address; `open` connects and pushes its end onto the stack."""

    def open(self, stack: ExitStack) -> Readable: ...


@dataclass(frozen=True)
class SqliteHistory:
    """The embedded time series; read only, so that it may be written meanwhile."""

    path: Path

    def open(self, stack: ExitStack) -> Readable:  # noqa: ARG002 - it opens a connection for each scan
        """Raises ValueError where there is none."""
        from gateway.telemetry.sqlite import SqliteTelemetry

        if not self.path.exists():
            raise ValueError(f"there is no time series at {self.path}; name the data folder with --data")
        return SqliteTelemetry(self.path)


@dataclass(frozen=True)
class InfluxHistory:
    url: str
    token: str = field(repr=False)
    org: str

    def open(self, stack: ExitStack) -> Readable:
        from gateway.telemetry.influx_read import InfluxReader
        from gateway.telemetry.influxql import InfluxQl

        return InfluxReader(stack.enter_context(InfluxQl(self.url, self.token, self.org)))


def history_of(settings: Settings) -> History:
    """The time series that these settings name."""
    if settings.influx_url:
        return InfluxHistory(settings.influx_url, settings.influx_token.strip(), settings.influx_org)
    return SqliteHistory(settings.data_dir / "telemetry.db")
