"""Reads the time series back out of InfluxDB, from whichever level tells enough.

Measurements are asked one by one: where one query names several, InfluxDB gives a field of one name and two types in
one of the types only, and leaves the other out without a word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from operator import attrgetter

from device_profiles.telemetry import LEVELS, RAW, Level
from gateway.reading import Millis, Reading
from gateway.telemetry import Looked, Only, Point, influx_scan
from gateway.telemetry.influx_fields import Fields, KnownFields
from gateway.telemetry.influx_range import Asked
from gateway.telemetry.influxql import InfluxQl
from gateway.telemetry.thinning import thin


class InfluxReader:
    """The reading half of gateway.telemetry.TelemetryStore."""

    def __init__(self, client: InfluxQl) -> None:
        self._client = client
        self._fields = KnownFields(client)

    def range(
        self, *, device: str, child: str, metrics: Sequence[str], start: Millis, end: Millis, limit: int = 2000
    ) -> dict[str, list[Point]]:
        """See TelemetryStore.range. What is drawn from a summed-up level has exact extremes; their times are those of
        the stretch. Values that a device has erased are left out."""
        found: dict[str, list[Point]] = {metric: [] for metric in metrics}
        if start >= end or "\0" in device + child:
            return found
        fields = self._levels(metrics)
        for measurement, wanted in _measurements(fields, found).items():
            asked = Asked(self._client, fields, measurement, device, child, wanted, start, end, limit)
            for metric, points in asked.points().items():
                found[metric] += points
        return {metric: thin(sorted(points, key=attrgetter("at")), limit) for metric, points in found.items()}

    def scan(
        self,
        *,
        devices: Collection[str],
        start: Millis,
        end: Millis,
        only: Only | None = None,
        looked: Looked | None = None,
    ) -> Iterator[Reading]:
        """See TelemetryStore.scan. What is older than the raw level's retention is not there any more."""
        if start < end:
            known = self._fields.of(RAW, not_older_than_seconds=1.0)
            fields = {measurement: frozenset(known[measurement]) for measurement in sorted(known)}
            yield from influx_scan.scan(self._client, fields, devices, start, end, only, looked)

    def _levels(self, metrics: Sequence[str]) -> dict[Level, Fields]:
        """A metric that nobody has heard of may be new: then the database is asked again, once a second at most."""
        known = self._fields.of(RAW)
        new = not all(any(metric in fields for fields in known.values()) for metric in metrics)
        return {level: self._fields.of(level, not_older_than_seconds=1.0 if new else 60.0) for level in LEVELS}


def _measurements(levels: dict[Level, Fields], metrics: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Which of the metrics each measurement has, on any level."""
    found: dict[str, dict[str, None]] = {}
    for level in levels.values():
        for measurement, fields in level.items():
            known = [metric for metric in metrics if metric in fields]
            if known:
                found.setdefault(measurement, {}).update(dict.fromkeys(known))
    return {measurement: tuple(known) for measurement, known in found.items()}
