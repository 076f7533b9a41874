"""What measurements and fields InfluxDB has, and of which types."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from time import monotonic

from device_profiles.telemetry import DATABASE, RAW, FieldType, Level
from gateway.telemetry import TelemetryUnavailable
from gateway.telemetry.influxql import InfluxQl, NotSetUp, Series, name

OURS = "cy_"
"""What begins like this says something about readings, or about the time series itself, and is no metric."""
Fields = Mapping[str, Mapping[str, FieldType]]
"""Types of fields by measurement."""
_MINUTE_SECONDS = 60.0
_PRECEDENCE = {FieldType.FLOAT: 0, FieldType.STRING: 1, FieldType.BOOLEAN: 2}


class KnownFields:
    """Remembers them for a minute. Any number of threads."""

    def __init__(self, client: InfluxQl) -> None:
        self._client = client
        self._known: dict[Level, tuple[float, Fields]] = {}
        self._lock = Lock()
        self._failed: tuple[float, TelemetryUnavailable] | None = None
        """When a question was last in vain."""

    def of(self, level: Level, *, not_older_than_seconds: float = _MINUTE_SECONDS) -> Fields:
        """Raises TelemetryUnavailable."""
        began = monotonic()
        with self._lock:
            known = self._known.get(level)
            if known is None or monotonic() - known[0] > not_older_than_seconds:
                known = self._known[level] = (monotonic(), self._read(level, began))
            return known[1]

    def _read(self, level: Level, began: float) -> Fields:
        if self._failed is not None and self._failed[0] >= began:
            # Asked by somebody else while this one waited its turn: one after the other would wait as long again.
            raise TelemetryUnavailable(str(self._failed[1]))
        try:
            return read_fields(self._client, level)
        except TelemetryUnavailable as error:
            self._failed = (monotonic(), error)
            raise


def read_fields(client: InfluxQl, level: Level) -> dict[str, dict[str, FieldType]]:
    """Metrics, states and events. A level that is not set up has none."""
    found: dict[str, dict[str, FieldType]] = {}
    for series in _said(client, level):
        if series.name.startswith(OURS):
            continue
        rows = [(str(field), FieldType(str(type_))) for field, type_ in series.values if type_ in set(FieldType)]
        types = found.setdefault(series.name, {})
        # Where shards disagree on a type, a query gives the first of these.
        for field, type_ in sorted(rows, key=lambda row: _PRECEDENCE[row[1]]):
            if not field.startswith(OURS):
                types.setdefault(field, type_)
    return found


def _said(client: InfluxQl, level: Level) -> list[Series]:
    try:
        return client.ask(f"SHOW FIELD KEYS ON {name(DATABASE)} FROM {name(DATABASE)}.{name(level.name)}./.*/")
    except NotSetUp:
        if level is RAW:
            raise
        return []
