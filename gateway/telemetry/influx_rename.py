"""Filing a device's history under another name. InfluxDB cannot rename: points are read, written and deleted.

Deleted is only what was read, up to its newest point, and only once everything of the measurement is written. Where
more has come under the old name meanwhile, nothing is deleted yet: whoever calls this again, then or after it was
stopped anywhere, gets the same result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException

from device_profiles.telemetry import DATABASE, LEVELS, TAGS, Level
from gateway.reading import Millis, Value
from gateway.telemetry import TelemetryUnavailable
from gateway.telemetry.influxql import InfluxQl, name, refusal, source, word
from gateway.telemetry.lines import field_text, head_text
from gateway.telemetry.verdict import Kind, Verdict

_LINES_AT_ONCE = 5000
Post = Callable[[bytes, str], Verdict | None]
Row = dict[str, Value]


class _Copied(NamedTuple):
    newest: Millis | None
    """Time of the newest point of the old name; None where there is none."""
    values: Counter[str]
    """How many of each field."""


class Renaming:
    """`run` moves what stands under `old`. Raises TelemetryUnavailable."""

    def __init__(self, ql: InfluxQl, client: InfluxDBClient, post: Post) -> None:
        self._ql = ql
        self._client = client
        self._post = post

    def run(self, old: str, new: str, tags: Mapping[str, str]) -> None:
        """`tags` are where the device stands under its new name."""
        measurements = self._measurements_of(old)
        levels = self._levels() if measurements else []
        for measurement in measurements:
            copied = {level: self._copy(level, measurement, old, new, tags) for level in levels}
            if all(self._count(level, measurement, old, one) == one.values for level, one in copied.items()):
                self._delete(measurement, old, {level: one.newest for level, one in copied.items()})

    def _measurements_of(self, device: str) -> list[str]:
        """Nearly always none: renamings are carried out again and again for a day."""
        of = "" if self._is_one_store() else f"ON {name(DATABASE)}.* "  # else the bucket of what was measured, only
        found = self._ql.ask(f"SHOW MEASUREMENTS {of}WHERE {_is(device)}")
        return sorted({str(row[0]) for series in found for row in series.values})

    def _is_one_store(self) -> bool:
        """InfluxDB 1 lists and deletes in all levels at once; in InfluxDB 2 each is a store of its own."""
        return self._ql.version().startswith("1.")

    def _levels(self) -> list[Level]:
        """Those that are set up."""
        found = self._ql.ask(f"SHOW RETENTION POLICIES ON {name(DATABASE)}")
        there = {row[0] for series in found for row in series.values}
        return [level for level in LEVELS if level.name in there]

    def _copy(self, level: Level, measurement: str, old: str, new: str, tags: Mapping[str, str]) -> _Copied:
        newest: Millis | None = None
        values: Counter[str] = Counter()
        taken = self._taken(level, measurement, old, new)
        lines = self._lines(level, measurement, old, new, tags, taken, values)
        while some := list(islice(lines, _LINES_AT_ONCE)):
            newest = max(newest or some[0][0], *(at for at, _ in some))
            body = "\n".join(text for _, text in some if text).encode()
            if body and (said := self._post(body, level.bucket)) is not None and said.kind is not Kind.TOO_OLD:
                raise TelemetryUnavailable(f"the history of {old!r} cannot be filed under {new!r}: {said.message}")
        return _Copied(newest, values)

    def _count(self, level: Level, measurement: str, device: str, copied: _Copied) -> Counter[str]:
        """What stands there now, up to the newest point that was read."""
        if copied.newest is None:
            return Counter()
        counted = f"SELECT COUNT(*) {_from(level, measurement, device)} AND time <= {copied.newest}ms"
        return Counter(
            {
                column.removeprefix("count_"): int(count or 0)
                for series in self._ql.ask(counted)
                for row in series.values
                for column, count in zip(series.columns[1:], row[1:], strict=True)
            }
        )

    def _lines(
        self,
        level: Level,
        measurement: str,
        old: str,
        new: str,
        tags: Mapping[str, str],
        taken: set[tuple[Millis, str]],
        values: Counter[str],
    ) -> Iterator[tuple[Millis, str]]:
        """(time, line); the line is empty where `new` has a reading of that time. `values` counts what is read."""
        for at, row in self._rows(level, measurement, old):
            values.update(field for field, value in row.items() if field not in TAGS and value is not None)
            child = str(row.get("child") or "")
            head = head_text(measurement, {**tags, "device": new, "child": child})
            said = ((field, field_text(value)) for field, value in row.items() if field not in TAGS)
            fields = ",".join(f"{field}={text}" for field, text in said if text is not None)
            yield at, "" if (at, child) in taken or not fields else f"{head}{fields} {at}"

    def _taken(self, level: Level, measurement: str, old: str, new: str) -> set[tuple[Millis, str]]:
        """Times and children of what `new` has in the time of `old`."""
        bounds = [
            row[0]
            for which in ("ASC", "DESC")
            for series in self._ql.ask(f"SELECT * {_from(level, measurement, old)} ORDER BY time {which} LIMIT 1")
            for row in series.values
        ]
        if not bounds:
            return set()
        first, last = (int(at or 0) for at in (bounds[0], bounds[-1]))
        found = self._rows(level, measurement, new, f" AND time >= {first}ms AND time <= {last}ms")
        return {(at, str(row.get("child") or "")) for at, row in found}

    def _rows(self, level: Level, measurement: str, device: str, more: str = "") -> Iterator[tuple[Millis, Row]]:
        statement = f"SELECT * {_from(level, measurement, device)}{more}"
        for series in self._ql.stream(statement):
            for values in series.values:
                at, *rest = values
                yield int(at or 0), dict(zip(series.columns[1:], rest, strict=True))

    def _delete(self, measurement: str, old: str, newest: Mapping[Level, Millis | None]) -> None:
        if self._is_one_store():
            # It takes the points of all levels at once; those of the summed-up ones are older than their readings.
            last = max((at for at in newest.values() if at is not None), default=None)
            if last is not None:
                self._ql.ask(f"DELETE {_where(name(measurement), old)} AND time <= {last}ms")
            return
        for level, last in newest.items():
            if last is not None:
                self._delete_in_bucket(level, measurement, old, last)

    def _delete_in_bucket(self, level: Level, measurement: str, old: str, last: Millis) -> None:
        # What is measured at `stop` goes as well: a whole millisecond later would be one reading more.
        start = datetime.fromtimestamp(0, UTC)
        stop = start + timedelta(milliseconds=last, microseconds=1)
        predicate = f"_measurement={_quoted(measurement)} AND device={_quoted(old)}"
        try:
            self._client.delete_api().delete(start, stop, predicate, bucket=level.bucket)
        except ApiException as error:
            raise TelemetryUnavailable(refusal(error.status or 0, error.body or "")) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TelemetryUnavailable(f"InfluxDB does not answer: {error}") from error


def _from(level: Level, measurement: str, device: str) -> str:
    return _where(source(measurement, level), device)


def _where(source_: str, device: str) -> str:
    return f"FROM {source_} WHERE {_is(device)}"


def _is(device: str) -> str:
    return f'"device" = {word(device)}'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
