"""Every reading of many devices out of InfluxDB, in order of time, while the database is still reading."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from heapq import merge
from itertools import groupby
from operator import attrgetter
from typing import cast

from device_profiles.telemetry import DELAY, QUALITY, TAGS
from gateway.reading import Millis, Quality, Reading, Value
from gateway.telemetry.influx_fields import OURS
from gateway.telemetry.influx_range import typed
from gateway.telemetry.influxql import InfluxQl, between, name, source, word

MOST_NAMED = 400
"""Devices in one query: the database looks at the names one after the other. More are several queries side by side."""
MOST_QUERIES = 24
"""Side by side. Where that is not enough no device is named, and those that were asked for are picked here."""
_ROWS_AT_ONCE = 8000
_QUALITIES = {quality.value: quality for quality in Quality}


def scan(
    client: InfluxQl, measurements: Sequence[str], devices: Collection[str], start: Millis, end: Millis
) -> Iterator[Reading]:
    """See TelemetryStore.scan. Raises TelemetryUnavailable."""
    wanted = frozenset(device for device in devices if "\0" not in device)
    conditions = _conditions(sorted(wanted), len(measurements))
    if not wanted or not measurements:
        return
    rows = max(100, _ROWS_AT_ONCE // (len(measurements) * len(conditions)))
    with ExitStack() as stack:
        streams = [
            stack.enter_context(closing(_readings(client, measurement, condition, start, end, rows)))
            for measurement in measurements
            for condition in conditions
        ]
        for _, at_once in groupby(merge(*streams, key=_at), key=_at):
            for reading in sorted(at_once, key=_who):
                if reading.device in wanted:
                    yield reading


def _conditions(devices: Sequence[str], measurements: int) -> list[str]:
    groups = [devices[at : at + MOST_NAMED] for at in range(0, len(devices), MOST_NAMED)]
    if len(groups) > 1 and len(groups) * measurements > MOST_QUERIES:
        return [""]
    return [" AND (" + " OR ".join(f"{name('device')} = {word(one)}" for one in group) + ")" for group in groups]


def _readings(
    client: InfluxQl, measurement: str, condition: str, start: Millis, end: Millis, rows: int
) -> Generator[Reading, None, None]:
    """Of one measurement, in order of time."""
    statement = f"SELECT * FROM {source(measurement)} WHERE {between(start, end)}{condition}"  # noqa: S608 - quoted
    for series in client.stream(statement, rows_per_chunk=rows):
        columns = {column: index for index, column in enumerate(series.columns)}
        metrics = [
            (column, index)
            for column, index in columns.items()
            if column != "time" and column not in TAGS and not column.startswith(OURS)
        ]
        for row in series.values:
            values = {metric: typed(row[index]) for metric, index in metrics if row[index] is not None}
            if values:
                yield _reading(row, columns, values)


def _reading(row: list[Value], columns: dict[str, int], values: dict[str, Value]) -> Reading:
    def text(column: str) -> str:
        return str(row[columns[column]] or "") if column in columns else ""

    at = cast(Millis, row[columns["time"]])
    delay = row[columns[DELAY]] if DELAY in columns else None
    quality = text(QUALITY)
    return Reading(
        device=text("device"),
        child=text("child"),
        measured_at=at,
        received_at=at + round(delay * 1000) if isinstance(delay, int | float) else at,
        binding="",
        values=values,
        quality=_QUALITIES.get(quality, Quality.SUSPECT) if quality else Quality.GOOD,
    )


_at = attrgetter("measured_at")
_who = attrgetter("device", "child")
