"""The time series in InfluxDB 1 or 2. Writing, and what happens with what the database does not take.

Batches come from a journal, which keeps them until `write` returns. So there is no queue here and no retry: what cannot
be written now raises TelemetryUnavailable and comes again, and writing a point twice changes nothing. What the database
will never take is set aside with its reason, and everything else of the batch is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock
from typing import NamedTuple
from urllib.parse import urlsplit

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService

from device_profiles.schema import DeviceProfile
from device_profiles.telemetry import RAW
from gateway.reading import Millis, Reading, Registry
from gateway.telemetry import Looked, Only, Point, TelemetryUnavailable
from gateway.telemetry.influx_read import InfluxReader
from gateway.telemetry.influx_rename import Renaming
from gateway.telemetry.influxql import InfluxQl, refusal
from gateway.telemetry.lines import LineBuilder, Lines, Refused
from gateway.telemetry.refused import RefusedPoints
from gateway.telemetry.rollup import late_lines
from gateway.telemetry.verdict import Kind, Verdict, verdict, words_of

LINES_PER_REQUEST = 5000
_CONNECT_SECONDS = 5.0
_LONGEST_QUESTION_SECONDS = 15.0
_PAUSE_SECONDS = 5.0
_AT_ONCE = 12
"""Questions of pages under way; a database that hangs holds no more of their threads than this."""
_QUEUE_SECONDS = 2.0
_STORED = 204
"""What every InfluxDB answers to lines that it has stored. A page of a proxy comes with 200."""
_MILLIS: WritePrecision = WritePrecision.MS  # type: ignore[assignment]  # the library's enum is of plain texts


@dataclass(frozen=True, kw_only=True)
class InfluxAddress:
    """Where, and as whom. `token` is InfluxDB 2's, or USER:PASSWORD of InfluxDB 1."""

    url: str
    token: str = ""
    org: str = ""
    gzip: bool = False
    timeout_seconds: float = 30.0
    """For one request; a database that hangs holds up its own thread so long, and nothing else."""

    @property
    def patience_seconds(self) -> float:
        """For one question; somebody looks at a page meanwhile."""
        return min(self.timeout_seconds, _LONGEST_QUESTION_SECONDS)

    @property
    def shown(self) -> str:
        """Without what may be secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class _Line(NamedTuple):
    text: str
    reading: Reading
    without: frozenset[tuple[str, str]] = frozenset()
    """Fields, (measurement, name), that have been left out since the database does not take them."""


class InfluxTelemetry:
    """See gateway.telemetry.TelemetryStore. One `write` works at a time; reads come from any thread."""

    def __init__(
        self,
        address: InfluxAddress,
        *,
        library: Mapping[str, DeviceProfile],
        registry: Callable[[], Registry],
        set_aside: RefusedPoints,
        now_millis: Callable[[], Millis],
    ) -> None:
        """`registry` says where devices stand; it must answer from memory."""
        self.address = address
        self.set_aside = set_aside
        self.points_written = 0
        """Lines since start, those written again included."""
        self._now = now_millis
        self._builder = LineBuilder(library, registry)
        self._lock = Lock()
        self._places = BoundedSemaphore(_AT_ONCE)
        self._asking = Lock()
        self._ask_again_at = 0.0
        """0: it answers as far as we know."""
        self._client: InfluxDBClient
        self._api: WriteService
        self._ql: InfluxQl
        self._reader: InfluxReader

    def start(self) -> None:
        """Connects to nothing yet: the database may come later. Raises ValueError for an address that is none."""
        at = self.address
        millis = (int(_CONNECT_SECONDS * 1000), int(at.timeout_seconds * 1000))
        self._ql = InfluxQl(at.url, at.token, at.org, timeout_seconds=at.patience_seconds)
        self._reader = InfluxReader(self._ql)
        self._client = InfluxDBClient(
            url=at.url, token=at.token or "none", org=at.org, timeout=millis, enable_gzip=at.gzip, retries=False
        )
        self._api = WriteService(self._client.api_client)  # type: ignore[no-untyped-call]
        self.set_aside.start()

    def close(self) -> None:
        self._client.close()  # type: ignore[no-untyped-call]
        self._ql.close()

    # --- the port ----------------------------------------

    @property
    def refused(self) -> int:
        """Ever, as long as its file is kept."""
        return self.set_aside.count

    def write(self, readings: Sequence[Reading]) -> None:
        """Returns when the database has everything but what it will never take. Raises TelemetryUnavailable."""
        with self._lock:
            built = self._builder.build(readings)
            refused = built.refused + self._store(_lines(built))
            self._announce(built)
            self.set_aside.add(refused, self._now())

    def range(
        self, *, device: str, child: str, metrics: Sequence[str], start: Millis, end: Millis, limit: int = 2000
    ) -> dict[str, list[Point]]:
        """While the database hangs, only one question in a while waits for it: pages share few threads."""
        with self._question():
            return self._reader.range(device=device, child=child, metrics=metrics, start=start, end=end, limit=limit)

    @contextmanager
    def _question(self) -> Iterator[None]:
        """Raises TelemetryUnavailable where too many ask already, or one has just waited in vain."""
        if not self._places.acquire(timeout=_QUEUE_SECONDS):
            raise TelemetryUnavailable(f"InfluxDB at {self.address.shown} is slow; too many questions wait for it")
        try:
            self._check_patience()
            began = time.monotonic()
            try:
                yield
            except TelemetryUnavailable:
                slow = time.monotonic() - began >= self.address.patience_seconds
                pause = min(_PAUSE_SECONDS, self.address.patience_seconds)
                self._ask_again_at = time.monotonic() + pause if slow else 0.0
                raise
            self._ask_again_at = 0.0
        finally:
            self._places.release()

    def _check_patience(self) -> None:
        with self._asking:
            now = time.monotonic()
            if now < self._ask_again_at:
                raise TelemetryUnavailable(f"InfluxDB at {self.address.shown} did not answer a moment ago")
            if self._ask_again_at:  # this one tries, and the others wait for how it fares
                self._ask_again_at = now + self.address.patience_seconds

    def scan(
        self,
        *,
        devices: Collection[str],
        start: Millis,
        end: Millis,
        only: Only | None = None,
        looked: Looked | None = None,
    ) -> Iterator[Reading]:
        return self._reader.scan(devices=devices, start=start, end=end, only=only, looked=looked)

    def rename(self, old: str, new: str) -> None:
        """Raises TelemetryUnavailable; what was done by then is right, and the next call does the rest."""
        with self._lock:
            tags = self._builder.tags_of(new)
        Renaming(self._ql, self._client, self.post).run(old, new, tags)

    # --- writing ----------------------------------------

    def _store(self, lines: list[_Line]) -> list[Refused]:
        """Write lines, in order; returns what the database will not take."""
        refused: list[Refused] = []
        waiting = [lines[at : at + LINES_PER_REQUEST] for at in range(0, len(lines), LINES_PER_REQUEST)][::-1]
        while waiting:
            some = waiting.pop()
            said = self.post("\n".join([line.text for line in some]).encode())
            if said is None:
                self.points_written += len(some)
            else:
                waiting += reversed(self._sort_out(some, said, refused))
        return refused

    def _announce(self, built: Lines) -> None:
        """Five minutes that may be summed up already are to be summed up again. Said once the readings are stored, so
        that whoever reads this finds them."""
        stored = zip(built.texts, built.readings, strict=True)
        late = late_lines([(text.partition(",")[0], reading.measured_at) for text, reading in stored], self._now())
        if late:
            self.post("\n".join(late).encode())

    def post(self, body: bytes, bucket: str = RAW.bucket) -> Verdict | None:
        """One request; None when all is stored. Raises TelemetryUnavailable where it is not the lines' fault."""
        try:
            _, status, _ = self._api.post_write_with_http_info(  # type: ignore[no-untyped-call]
                self.address.org,
                bucket,
                body,
                precision=_MILLIS,
                content_type="text/plain; charset=utf-8",
                urlopen_kw={"redirect": False},  # the token goes to nobody else
            )
        except ApiException as error:
            status, text = error.status or 0, error.body or ""
            said = verdict(status, words_of(text))
            if said is None:
                raise TelemetryUnavailable(f"{refusal(status, text)}{_advice(text)} ({self.address.shown})") from error
            return said
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TelemetryUnavailable(f"InfluxDB at {self.address.shown} does not answer: {_short(error)}") from error
        if status != _STORED:
            raise TelemetryUnavailable(
                f"what answers at {self.address.shown} is no InfluxDB, or something stands in front of it: expected "
                f"HTTP {_STORED} to what is written, found {status}; see COURTYARD_INFLUX_URL"
            )
        return None

    def _sort_out(self, lines: list[_Line], said: Verdict, refused: list[Refused]) -> list[list[_Line]]:
        """Refuse what is certain; returns what to write (again), in groups that will tell more."""
        if said.kind is Kind.TOO_OLD and said.dropped <= len(lines):
            return _without_oldest(lines, said, refused)
        if said.kind is Kind.CONFLICT:
            field = (said.measurement, said.field)
            having = [line for line in lines if _has(line, field)]
            if having and len(having) < len(lines):
                return [having, [line for line in lines if not _has(line, field)]]
            if having and (said.dropped >= len(lines) or len(lines) == 1):
                return [self._stripped(lines, field, said, refused)]
            # The type is that of a stretch of time: in order of time the halves are soon of one kind.
            lines = sorted(lines, key=lambda line: line.reading.measured_at)
        if said.kind is Kind.BAD and (named := {line.text for line in lines if f"parse '{line.text}'" in said.message}):
            refused += [_refused(line, said) for line in lines if line.text in named]
            rest = [line for line in lines if line.text not in named]
            return [rest] if rest else []
        if len(lines) == 1:
            refused.append(_refused(lines[0], said))
            return []
        return [lines[: len(lines) // 2], lines[len(lines) // 2 :]]

    def _stripped(
        self, lines: list[_Line], field: tuple[str, str], said: Verdict, refused: list[Refused]
    ) -> list[_Line]:
        """The lines without this field; what else they say is fine, or the database will say."""
        kept = []
        for line in lines:
            refused.append(_refused(line, said, field[1]))
            without = line.without | {field}
            kept += _lines(self._builder.build([line.reading], without), without)
        return kept


def _lines(built: Lines, without: frozenset[tuple[str, str]] = frozenset()) -> list[_Line]:
    return [_Line(text, reading, without) for text, reading in zip(built.texts, built.readings, strict=True)]


def _has(line: _Line, field: tuple[str, str]) -> bool:
    measurement, name = field
    return (
        field not in line.without
        and line.text.startswith((measurement + ",", measurement + " "))
        and (name in line.reading.values)
    )


def _without_oldest(lines: list[_Line], said: Verdict, refused: list[Refused]) -> list[list[_Line]]:
    """The database counts what it left out for its age: these are the oldest."""
    in_time = sorted(lines, key=lambda line: line.reading.measured_at)
    refused += [_refused(line, said) for line in in_time[: said.dropped]]
    rest = in_time[said.dropped :]
    return [rest] if rest else []


def _refused(line: _Line, said: Verdict, field: str = "") -> Refused:
    reading = line.reading
    value = ascii(reading.values.get(field)) if field else line.text
    return Refused(
        reading.device,
        reading.child,
        reading.measured_at,
        line.text.partition(",")[0],
        field,
        value[:500],
        f"{said.kind.value}: {said.message[:300]}" if said.kind is not Kind.TOO_OLD else said.kind.value,
    )


def _advice(said: str) -> str:
    """InfluxDB 1 goes on refusing after there is room again, until it is restarted or has filled its memory."""
    return "; make room on its disk, and restart it if this stays" if "no space left" in said else ""


def _short(error: Exception) -> str:
    """Without the pool's name and its address in memory."""
    return f"{type(error).__name__}: {str(error).rpartition('>: ')[2] or error}"[:200]
