"""Readings of many devices in order of time, out of a file that keeps them series by series."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import msgspec

from gateway.reading import Millis, Quality, Reading, Value

MOST_ROWS = 4000
"""Rows of one slice of time that are in memory at once (a single millisecond may have more)."""
_FIRST_SLICE: Millis = 60_000
_Row = tuple[Millis, str, str, str, Millis, str, bytes]
_decode = msgspec.msgpack.Decoder(dict[str, Value]).decode


def scan(db: sqlite3.Connection, devices: Collection[str], start: Millis, end: Millis) -> Iterator[Reading]:
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
        if len(rows) > MOST_ROWS and width > 1:
            width //= 2
            continue
        yield from map(_reading, rows)
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
    return Reading(
        device=device,
        child=child,
        measured_at=at,
        received_at=received_at,
        binding=binding,
        values=_decode(body),
        quality=Quality(quality),
    )


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
