"""How the time series stands: what `courtyard telemetry status` says."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

from device_profiles.telemetry import DATABASE, LEVELS, RAW, Level
from gateway.journal.inspect import look as look_at_journal
from gateway.reading import Millis
from gateway.telemetry import TelemetryUnavailable
from gateway.telemetry.influx_fields import read_fields
from gateway.telemetry.influxql import InfluxQl, NotSetUp, name, source
from gateway.telemetry.rollup import summed_until
from gateway.telemetry.spool import FILE as SPOOL_FILE
from gateway.telemetry.sqlite_scan import contents
from services.sizes import in_words

JOURNALS = ("journal.db", SPOOL_FILE)


class LevelStatus(NamedTuple):
    name: str
    oldest: Millis | None
    newest: Millis | None
    until: Millis | None = None
    """Summed up until here."""


class TelemetryStatus(NamedTuple):
    store: str
    """Such as "InfluxDB 1.6.7"."""
    series: int | None
    """None where the server does not say."""
    levels: list[LevelStatus]

    def plain(self) -> dict[str, object]:
        return {"store": self.store, "series": self.series, "levels": [level._asdict() for level in self.levels]}


def of_influx(ql: InfluxQl) -> TelemetryStatus:
    """Raises TelemetryUnavailable; asks every measurement, which takes seconds where there are many devices."""
    version = ql.version()
    levels = [_level(ql, level) for level in LEVELS]
    return TelemetryStatus(f"InfluxDB {version}", _series(ql), levels)


def _level(ql: InfluxQl, level: Level) -> LevelStatus:
    measurements = list(read_fields(ql, level))
    firsts, lasts = ([at for one in measurements for at in _edge(ql, level, one, order)] for order in ("ASC", "DESC"))
    return LevelStatus(
        level.name, min(firsts, default=None), max(lasts, default=None), None if level is RAW else _until(ql, level)
    )


def _edge(ql: InfluxQl, level: Level, measurement: str, order: str) -> list[Millis]:
    """Time of the first or the last point, if there is one."""
    found = ql.ask(f"SELECT * FROM {source(measurement, level)} ORDER BY time {order} LIMIT 1")  # noqa: S608 - quoted
    return [int(row[0] or 0) for series in found for row in series.values]


def _until(ql: InfluxQl, level: Level) -> Millis | None:
    try:
        return summed_until(ql, level)
    except NotSetUp:
        return None


def _series(ql: InfluxQl) -> int | None:
    """An estimate; InfluxDB 2 does not count them in InfluxQL."""
    try:
        found = ql.ask(f"SHOW SERIES CARDINALITY ON {name(DATABASE)}")
    except TelemetryUnavailable:
        return None
    return next((int(row[-1] or 0) for series in found for row in series.values), None)


def of_embedded(path: Path) -> TelemetryStatus:
    """Raises ValueError where there is no file, sqlite3.DatabaseError where it is damaged."""
    if not path.exists():
        raise ValueError(f"there is no time series at {path}; name the data folder with --data")
    devices, span = contents(path)
    size = in_words(path.stat().st_size)
    first, last = span or (None, None)
    return TelemetryStatus(f"{path}, {size}, {len(devices)} devices", None, [LevelStatus("raw", first, last)])


def waiting(data_dir: Path) -> int:
    """Journal entries of this folder that the time series has not taken yet."""
    count = 0
    for journal in (data_dir / one for one in JOURNALS):
        try:
            count += look_at_journal(journal).waiting.get("telemetry", 0) if journal.exists() else 0
        except (sqlite3.DatabaseError, OSError):
            continue  # `courtyard doctor` tells of it
    return count
