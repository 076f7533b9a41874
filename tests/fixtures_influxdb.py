"""A real InfluxDB 1.x for tests: Debian's `influxd`, in a folder of its own, on ports of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from services.bench.influxd import Influx

__all__ = ["Influx", "influxdb", "installed"]


def installed() -> bool:
    return shutil.which("influxd") is not None


@contextmanager
def influxdb(folder: Path) -> Iterator[httpx.Client]:
    """A client of a fresh server with one database, `telemetry`; no shim."""
    with ExitStack() as stack:
        yield stack.enter_context(Influx(folder)).client
