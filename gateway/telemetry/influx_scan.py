"""Every reading of many devices out of InfluxDB, in order of time, while the database is still reading."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from heapq import merge
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple, cast

from device_profiles.telemetry import DELAY, QUALITY, TAGS
from gateway.reading import Millis, Quality, Reading, Value
from gateway.telemetry import Looked, Only
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
    client: InfluxQl,
    measurements: Mapping[str, frozenset[str]],
    devices: Collection[str],
    start: Millis,
    end: Millis,
    only: Only | None = None,
    looked: Looked | None = None,
) -> Iterator[Reading]:
    """See TelemetryStore.scan; `measurements` with their fields. Raises TelemetryUnavailable."""
    wanted = frozenset(device for device in devices if "\0" not in device)
    asked = list(_asked(measurements, only))
    conditions = _conditions(sorted(wanted), len(asked))
    if not wanted or not asked:
        return
    rows = max(100, _ROWS_AT_ONCE // (len(asked) * len(conditions)))
    with ExitStack() as stack:
        streams = [
            stack.enter_context(closing(_readings(client, one, condition, start, end, rows, looked)))
            for one in asked
            for condition in conditions
        ]
        for _, at_once in groupby(merge(*streams, key=_at), key=_at):
            for reading in sorted(at_once, key=_who):
                if reading.device in wanted:
                    yield reading


class _Asked(NamedTuple):
    """What one query asks of a measurement."""

    measurement: str
    select: str
    only: frozenset[str] | None
    """Of the columns that come, these are looked at; None: all."""
    bare: bool
    """Rows without any of them are readings as well."""


def _asked(measurements: Mapping[str, frozenset[str]], only: Only | None) -> Iterator[_Asked]:
    for measurement, fields in measurements.items():
        if only is None or only.bare == "kept":
            # Only a whole row tells that something was said: one of chosen fields comes where it has one of them.
            yield _Asked(measurement, "*", None if only is None else only.metrics, only is not None)
        elif chosen := sorted(fields & only.metrics):
            ours = ("device", "child", DELAY, QUALITY)
            yield _Asked(measurement, ", ".join(name(one) for one in (*chosen, *ours)), None, False)


def _conditions(devices: Sequence[str], measurements: int) -> list[str]:
    groups = [devices[at : at + MOST_NAMED] for at in range(0, len(devices), MOST_NAMED)]
    if len(groups) > 1 and len(groups) * measurements > MOST_QUERIES:
        return [""]
    return [" AND (" + " OR ".join(f"{name('device')} = {word(one)}" for one in group) + ")" for group in groups]


def _readings(
    client: InfluxQl,
    asked: _Asked,
    condition: str,
    start: Millis,
    end: Millis,
    rows: int,
    looked: Looked | None,
) -> Generator[Reading, None, None]:
    """Of one measurement, in order of time."""
    where = f"{between(start, end)}{condition}"
    statement = f"SELECT {asked.select} FROM {source(asked.measurement)} WHERE {where}"  # noqa: S608 - quoted
    for series in client.stream(statement, rows_per_chunk=rows):
        if looked is not None:
            looked()
        columns = {column: index for index, column in enumerate(series.columns)}
        metrics = [
            (column, index)
            for column, index in columns.items()
            if column != "time"
            and column not in TAGS
            and not column.startswith(OURS)
            and (asked.only is None or column in asked.only)
        ]
        for row in series.values:
            values = {metric: typed(row[index]) for metric, index in metrics if row[index] is not None}
            if values or asked.bare:
                yield _reading(row, columns, values)


def _reading(row: list[Value], columns: dict[str, int], values: dict[str, Value]) -> Reading:
    at = cast(Millis, row[columns["time"]])
    delay = row[columns[DELAY]] if DELAY in columns else None
    quality = _text(row, columns, QUALITY)
    return Reading(
        device=_text(row, columns, "device"),
        child=_text(row, columns, "child"),
        measured_at=at,
        received_at=at + round(delay * 1000) if isinstance(delay, int | float) else at,
        binding="",
        values=values,
        quality=_QUALITIES.get(quality, Quality.SUSPECT) if quality else Quality.GOOD,
    )


def _text(row: list[Value], columns: dict[str, int], column: str) -> str:
    return str(row[columns[column]] or "") if column in columns else ""


_at = attrgetter("measured_at")
_who = attrgetter("device", "child")
