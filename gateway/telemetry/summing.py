"""Readings of a stretch of time in one line: pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, cast

from device_profiles.telemetry import COUNT
from gateway.reading import Millis, Value
from gateway.telemetry.influx_fields import OURS

Row = Sequence[Value]
"""Time, then a value for each column; None where the reading has none."""


class Sum(NamedTuple):
    """Of the readings of one series in [at, at + width)."""

    at: Millis
    fields: dict[str, Value]


def sums(columns: Sequence[str], rows: Iterable[Row], width: Millis, counters: Container[str]) -> Iterator[Sum]:
    """`columns` name the values (without the time), `rows` are in order of time. See device_profiles.telemetry for what
    a stretch is given as."""
    for number, group in groupby(rows, key=lambda row: cast(Millis, row[0]) // width):
        within = list(group)
        fields: dict[str, Value] = {}
        for name, (_, *values) in zip(("time", *columns), zip(("", *columns), *within, strict=True), strict=True):
            if name != "time" and not name.startswith(OURS):
                _sum_up(fields, name, [value for value in values if value is not None], counters)
        if fields:
            yield Sum(number * width, {**fields, COUNT: float(len(within))})


def _sum_up(fields: dict[str, Value], name: str, values: list[Value], counters: Container[str]) -> None:
    if not values:
        return
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if name in counters or not numbers:
        fields[name] = values[-1]
    else:
        fields[name] = sum(numbers) / len(numbers)
        fields[f"{name}_min"], fields[f"{name}_max"] = min(numbers), max(numbers)
