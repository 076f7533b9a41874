"""From one time series into another: in order of time, so that it can go on where it was stopped."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway.reading import Millis, Reading, provisional_address
from gateway.telemetry import TelemetryStore
from gateway.telemetry.sqlite import SqliteTelemetry
from gateway.telemetry.sqlite_scan import contents

_AT_ONCE = 5000


class Copied(NamedTuple):
    """How far it is."""

    readings: int
    """Since this start."""
    until: Millis
    """All readings before are there; to go on, begin here."""


def copy(source: Path, target: TelemetryStore, start: Millis, end: Millis) -> Iterator[Copied]:
    """Copy what the file has of [start, end), and say how far it is after each few thousand readings. Whoever stops it
    begins again at the last `until`: a reading written twice is one. Raises TelemetryUnavailable."""
    devices, _ = contents(source)
    readings = SqliteTelemetry(source).scan(devices=devices, start=start, end=end)
    count = 0
    while some := list(islice(readings, _AT_ONCE)):
        target.write([_with_profile(reading) for reading in some])
        count += len(some)
        yield Copied(count, some[-1].measured_at)  # others of this millisecond may be missing yet
    yield Copied(count, end)


def _with_profile(reading: Reading) -> Reading:
    """A device without a place carries its profile in its name; that of others is known to the registry."""
    named = provisional_address(reading.device)
    return reading if named is None else msgspec.structs.replace(reading, profile=named[0])
