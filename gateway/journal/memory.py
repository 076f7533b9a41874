"""The rows of the decoder's memory: read at the start, changed in the commit of the batch that changed them."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import msgspec
import structlog

from gateway.decode.memory import Key

log = structlog.get_logger("courtyard.journal")

LARGEST_VALUE = 256 * 1024
"""Bytes of one value: a larger one is not stored, and is not there after a restart."""
MOST_BYTES = 64 * 1024**2
"""Of all rows together: beyond it, those that were changed longest ago go."""

_encode = msgspec.msgpack.Encoder().encode
_read_key = msgspec.msgpack.Decoder(tuple[str, ...]).decode
_read_value = msgspec.msgpack.Decoder().decode


def _digest(raw_key: bytes, raw_value: bytes) -> int:
    """SQLite does not notice a flipped bit in a row; what decoding remembers must not be told by one."""
    return crc32(raw_value, crc32(raw_key))


class MemoryRows:
    """The table `memory`. Belongs to the journal's writing thread; `write` runs inside its transaction."""

    def __init__(self, db: sqlite3.Connection, *, most_bytes: int = MOST_BYTES) -> None:
        self.dropped = 0
        """Rows that could not be read, and values that could not be stored."""
        self._db = db
        self._most_bytes = most_bytes
        self._sizes: OrderedDict[bytes, int] = OrderedDict()
        self._bytes = 0

    def load(self) -> list[tuple[Key, Any]]:
        """All entries, the one that changed last at the end. A damaged row is dropped and counted."""
        entries: list[tuple[Key, Any]] = []
        damaged: list[tuple[int]] = []
        query = "SELECT rowid, key, value, digest FROM memory ORDER BY rowid"
        for row, raw_key, raw_value, digest in self._db.execute(query):
            try:
                if _digest(raw_key, raw_value) != digest:
                    raise TypeError("not what was written")
                entry = _read_key(raw_key), _read_value(raw_value)
            except (msgspec.MsgspecError, TypeError, UnicodeDecodeError, RecursionError):
                damaged.append((row,))
                continue
            entries.append(entry)
        if damaged:
            self.dropped += len(damaged)
            log.error("memory_rows_dropped", rows=len(damaged))
            self._db.executemany("DELETE FROM memory WHERE rowid = ?", damaged)
        self.recount()
        return entries

    def recount(self) -> None:
        """Sizes as they are in the file: at the start, and after a commit that failed."""
        query = "SELECT key, LENGTH(key) + LENGTH(value) FROM memory ORDER BY rowid"
        self._sizes = OrderedDict(self._db.execute(query))
        self._bytes = sum(self._sizes.values())

    def write(self, changes: Mapping[Key, Any]) -> None:
        """Put what changed; None removes. A value that cannot be stored never costs the batch that it came with."""
        gone: list[tuple[bytes]] = []
        rows: list[tuple[bytes, bytes, int]] = []
        for key, value in changes.items():
            try:
                raw_key, raw_value = _encode(key), _encode(value)
            except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
                self._refuse(key, str(error))
                continue
            too_large = len(raw_value) > LARGEST_VALUE
            if too_large:
                self._refuse(key, f"{len(raw_value)} bytes")
            if value is None or too_large:
                gone.append((raw_key,))
                self._bytes -= self._sizes.pop(raw_key, 0)
            else:
                rows.append((raw_key, raw_value, _digest(raw_key, raw_value)))
                self._count(raw_key, len(raw_key) + len(raw_value))
        self._db.executemany("DELETE FROM memory WHERE key = ?", gone)
        self._db.executemany("INSERT OR REPLACE INTO memory (key, value, digest) VALUES (?, ?, ?)", rows)
        self._shrink()

    def _refuse(self, key: Key, problem: str) -> None:
        self.dropped += 1
        log.error("memory_not_stored", kind=key[0], about=repr(key[1:])[:200], problem=problem)

    def _count(self, raw_key: bytes, size: int) -> None:
        self._bytes += size - self._sizes.pop(raw_key, 0)
        self._sizes[raw_key] = size

    def _shrink(self) -> None:
        while self._bytes > self._most_bytes and len(self._sizes) > 1:
            oldest, size = self._sizes.popitem(last=False)
            self._bytes -= size
            self._db.execute("DELETE FROM memory WHERE key = ?", (oldest,))
