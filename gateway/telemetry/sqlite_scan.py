"""Readings of many devices in order of time, out of a file that keeps them series by series."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import msgspec

from gateway.reading import Millis, Quality, Reading, Value
from gateway.telemetry import Looked, Only

MOST_ROWS = 4000
"""Rows of one slice of time that are in memory at once (a single millisecond may have more)."""
_FIRST_SLICE: Millis = 60_000
_MOST_SOUGHT = 6
_QUALITIES = {quality.value: quality for quality in Quality}
_Row = tuple[Millis, str, str, str, Millis, str, bytes]
_decode = msgspec.msgpack.Decoder(dict[str, Value]).decode


def scan(
    db: sqlite3.Connection,
    devices: Collection[str],
    start: Millis,
    end: Millis,
    only: Only | None = None,
    looked: Looked | None = None,
) -> Iterator[Reading]:
    """Slice by slice, each as wide as `MOST_ROWS` allows. No statement stays open between two slices: a backtest that
    takes an hour must not keep the write-ahead log from being folded into the file. Raises sqlite3.DatabaseError."""
    _choose(db, devices)
    held = _held(db, start, end)
    if held is None:
        return
    at, last = held
    width = _FIRST_SLICE
    while at <= last:
        rows = _slice(db, at, min(at + width, last + 1))
        if looked is not None:
            looked()
        if len(rows) > MOST_ROWS and width > 1:
            width //= 2
            continue
        yield from map(_reading, rows) if only is None else _chosen(rows, only)
        at += width
        if not rows:
            at = _next(db, at, last)
        if len(rows) < MOST_ROWS // 4:
            width *= 2


def _choose(db: sqlite3.Connection, devices: Collection[str]) -> None:
    """A temporary table, as there is no end to the number of devices that one statement might have to name."""
    db.execute("CREATE TEMP TABLE chosen (id INTEGER PRIMARY KEY, device TEXT, child TEXT, binding TEXT)")
    db.executemany(
        "INSERT INTO chosen SELECT id, device, child, binding FROM series WHERE device = ?",
        ((device,) for device in set(devices)),
    )
    db.commit()


def _held(db: sqlite3.Connection, start: Millis, end: Millis) -> tuple[Millis, Millis] | None:
    """Times of the first and the last reading in between."""
    first, last = db.execute(
        "SELECT MIN((SELECT MIN(at) FROM readings WHERE series = id AND at >= :start AND at < :end)),"
        " MAX((SELECT MAX(at) FROM readings WHERE series = id AND at >= :start AND at < :end)) FROM chosen",
        {"start": start, "end": end},
    ).fetchone()
    return None if first is None else (first, last)


def _next(db: sqlite3.Connection, at: Millis, last: Millis) -> Millis:
    """The next time with a reading: a gap of a year is one step."""
    held = _held(db, at, last + 1)
    return last + 1 if held is None else held[0]


def _slice(db: sqlite3.Connection, start: Millis, end: Millis) -> list[_Row]:
    """One row too many tells that the slice is too wide; within one millisecond there is no limit."""
    limit = MOST_ROWS + 1 if end - start > 1 else -1
    return db.execute(
        "SELECT at, device, child, binding, received_at, quality, body"
        " FROM chosen CROSS JOIN readings ON series = id WHERE at >= ? AND at < ?"
        " ORDER BY at, device, child, binding LIMIT ?",
        (start, end, limit),
    ).fetchall()


def _reading(row: _Row) -> Reading:
    at, device, child, binding, received_at, quality, body = row
    return Reading(device, child, at, received_at, binding, _decode(body), (), _QUALITIES[quality])


def _chosen(rows: list[_Row], only: Only) -> Iterator[Reading]:
    metrics, decode, qualities, kept = only.metrics, _decode, _QUALITIES, only.bare == "kept"
    sought = [name.encode() for name in metrics] if len(metrics) <= _MOST_SOUGHT else [b""]
    for at, device, child, binding, received_at, quality, body in rows:
        values: dict[str, Value] = {}
        for name in sought:
            if name in body:  # to look for a few names costs less than to decode
                values = {name: value for name, value in decode(body).items() if name in metrics}
                break
        if values or kept:
            yield Reading(device, child, at, received_at, binding, values, (), qualities[quality])


def contents(path: Path) -> tuple[list[str], tuple[Millis, Millis] | None]:
    """Devices of a file, and the times of its first and its last reading (None without any). Raises
    sqlite3.DatabaseError."""
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=10)) as db:
        devices = [row[0] for row in db.execute("SELECT DISTINCT device FROM series ORDER BY device")]
        first, last = db.execute(
            "SELECT MIN((SELECT MIN(at) FROM readings WHERE series = id)),"
            " MAX((SELECT MAX(at) FROM readings WHERE series = id)) FROM series"
        ).fetchone()
    return devices, None if first is None else (first, last)
