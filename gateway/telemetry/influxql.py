"""InfluxQL over HTTP: the one query language that InfluxDB 1, 2 and 3 all answer.

Answers are asked for in chunks and read as they come, so that neither side holds a month of points in memory.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from time import monotonic
from typing import Final

import httpx
import msgspec

from device_profiles.telemetry import DATABASE, RAW, Level
from gateway.reading import Millis, Value
from gateway.telemetry import TelemetryUnavailable

_ROWS_PER_CHUNK = 5000
_CONNECT_SECONDS = 5.0
_LARGEST_CHUNK = 64 * 1024**2
"""Bytes; some thousand rows of a hundred columns have a few millions."""
_LONGEST_REFUSAL = 65_536
_ESCAPES: Final = {"\\": "\\\\", "\n": "\\n"}


class NotSetUp(TelemetryUnavailable):
    """The database, a level of it, or a bucket is not there."""


class Series(msgspec.Struct):
    """Part of an answer: rows of one measurement, and of one set of tags where the query groups by tags. The rows of
    one series may come in several parts."""

    columns: list[str]
    name: str = ""
    tags: dict[str, str] = {}
    values: list[list[Value]] = []
    partial: bool = False


class _Result(msgspec.Struct):
    statement_id: int = 0
    series: list[Series] = []
    error: str = ""
    partial: bool = False
    """More of this statement follows."""


class _Chunk(msgspec.Struct):
    results: list[_Result] = []
    error: str = ""


_decode = msgspec.json.Decoder(_Chunk).decode


class InfluxQl:
    """Asks one server. Any number of threads may ask at once."""

    def __init__(self, url: str, token: str, org: str = "", *, timeout_seconds: float = 60.0) -> None:
        """`token` is InfluxDB 2's, or USER:PASSWORD for InfluxDB 1, or empty. Raises ValueError for no URL."""
        self._timeout_seconds = timeout_seconds
        user, colon, password = token.partition(":")
        headers = {"Authorization": f"Token {token}"} if token and not colon else {}
        try:
            self._client = httpx.Client(
                base_url=url,
                auth=httpx.BasicAuth(user, password) if colon else None,
                headers=headers,
                params={"org": org} if org else None,
                timeout=httpx.Timeout(timeout_seconds, connect=_CONNECT_SECONDS),
                follow_redirects=False,
                trust_env=False,
            )
        except httpx.InvalidURL as error:
            raise ValueError(f"COURTYARD_INFLUX_URL: expected http://HOST:8086, found {url!r}: {error}") from error

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> InfluxQl:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, statement: str) -> list[Series]:
        """The whole answer of one statement; times in milliseconds. Raises TelemetryUnavailable."""
        return list(self.stream(statement))

    def stream(self, statement: str, *, rows_per_chunk: int = _ROWS_PER_CHUNK) -> Generator[Series, None, None]:
        """The answer of one statement as it comes, in parts of some rows. What has come is right even where it then
        ends in TelemetryUnavailable, which says that it is not all."""
        form = {"db": DATABASE, "q": statement, "epoch": "ms", "chunked": "true", "chunk_size": str(rows_per_chunk)}
        try:
            with self._client.stream("POST", "/query", data=form) as answer:
                if answer.status_code != 200:
                    words = next(answer.iter_bytes(_LONGEST_REFUSAL), b"").decode(errors="replace")
                    said = refusal(answer.status_code, words)
                    raise (NotSetUp if _is_missing(said) else TelemetryUnavailable)(said)
                yield from _series(_lines(answer.iter_bytes(), self._timeout_seconds))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise TelemetryUnavailable(f"InfluxDB does not answer: {error!r}") from error

    def version(self) -> str:
        """Such as "1.6.7" or "2.9.1"; "" where the server does not say. Raises TelemetryUnavailable."""
        try:
            answer = self._client.get("/ping")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TelemetryUnavailable(f"InfluxDB does not answer: {error!r}") from error
        if answer.status_code >= 400:
            raise TelemetryUnavailable(refusal(answer.status_code, answer.text))
        return str(answer.headers.get("X-Influxdb-Version", "")).lstrip("v")


def _lines(pieces: Iterator[bytes], patience_seconds: float) -> Iterator[bytes]:
    """Raises TelemetryUnavailable where a line does not end: in time, or at all."""
    held: list[bytes] = []
    size, began = 0, monotonic()
    for piece in pieces:
        *ended, rest = piece.split(b"\n")
        if ended:
            yield b"".join([*held, ended[0]])
            yield from ended[1:]
            held, size, began = [], 0, monotonic()
        held.append(rest)
        size += len(rest)
        if size > _LARGEST_CHUNK:
            raise TelemetryUnavailable(f"InfluxDB: a part of its answer has more than {_LARGEST_CHUNK // 1024**2} MB")
        if monotonic() - began > patience_seconds:
            raise TelemetryUnavailable("InfluxDB does not answer: what comes drips in, and does not end")
    yield b"".join(held)


def _series(lines: Iterator[bytes]) -> Iterator[Series]:
    """Raises TelemetryUnavailable where the answer is an error, or is cut off."""
    more = True
    for line in lines:
        if not line.strip():
            continue
        try:
            chunk = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            found = line[:200].decode(errors="replace")
            raise TelemetryUnavailable(f"InfluxDB: expected an answer in JSON, found {found!r}") from error
        if chunk.error:
            raise _error(chunk.error)
        for result in chunk.results:
            if result.error:
                raise _error(result.error)
            yield from result.series
            more = result.partial
    if more:
        # Ends in the middle: a limit of the server (max-select-…), or somebody has killed the query.
        raise TelemetryUnavailable("InfluxDB has given a part of the answer only; look for its reason in its log")


def refusal(status: int, body: str) -> str:
    """What an answer of InfluxDB that is no success says, and what to do about it."""
    try:
        said = msgspec.json.decode(body, type=dict[str, Value])
        words = str(said.get("message") or said.get("error") or body)
    except msgspec.DecodeError:
        words = body
    words = " ".join(words.split())[:300]
    if status in (401, 403):
        return f"InfluxDB refuses us (HTTP {status}: {words}): see COURTYARD_INFLUX_TOKEN"
    return _explained(f"HTTP {status}: {words}")


def _explained(words: str) -> str:
    """The server's words with the next step, where there is one."""
    if "organization name" in words:
        return f"InfluxDB: {words}; see COURTYARD_INFLUX_ORG"
    return f"InfluxDB: {words}" + ("; run `courtyard telemetry setup`" if _is_missing(words) else "")


def _error(words: str) -> TelemetryUnavailable:
    return (NotSetUp if _is_missing(words) else TelemetryUnavailable)(_explained(words))


def _is_missing(words: str) -> bool:
    if "default retention policy not set" in words:  # InfluxDB 2, where there are buckets of other levels only
        return True
    return "not found" in words and any(what in words for what in ("database", "retention policy", "bucket"))


def name(text: str) -> str:
    """An identifier: `"it\\"s"`. Raises ValueError for what no query can hold."""
    return f'"{_escaped(text, chr(34))}"'


def word(text: str) -> str:
    """A string: `'it\\'s'`. Raises ValueError for what no query can hold."""
    return f"'{_escaped(text, chr(39))}'"


def _escaped(text: str, quote: str) -> str:
    if "\0" in text:
        raise ValueError(f"expected a text without NUL, found {text!r}")
    return "".join(_ESCAPES.get(char, f"\\{char}" if char == quote else char) for char in text)


def source(measurement: str, level: Level = RAW) -> str:
    """`"telemetry"."5m"."water_pump"`: what stands after FROM."""
    return f"{name(DATABASE)}.{name(level.name)}.{name(measurement)}"


def between(start: Millis, end: Millis) -> str:
    """start <= time < end, as a condition."""
    return f"time >= {start:d}ms AND time < {end:d}ms"
