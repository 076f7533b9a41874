"""Reading a journal, beside the thread that writes it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from threading import Lock

import msgspec
import structlog

from gateway.journal.entries import ROW_OVERHEAD, Entry, QuarantineEntry, connect, decode
from gateway.reading import Millis, Reading

log = structlog.get_logger("courtyard.journal")

_LARGEST_BATCH = 4 * 1024**2
"""Bytes as stored; in memory they are some five times that."""


class JournalReader:
    """Reads in order from its own connection; safe to share between threads."""

    def __init__(self, path: Path) -> None:
        self._db = connect(path)
        self._db.execute("PRAGMA query_only=1")
        self._lock = Lock()

    def after(self, seq: int, limit: int = 500, *, max_bytes: int = _LARGEST_BATCH) -> list[Entry]:
        """Entries behind `seq`, up to `limit` or to `max_bytes`; at least one if there is one."""
        query = "SELECT seq, body FROM entries WHERE seq > ? ORDER BY seq LIMIT ?"
        with self._lock:
            rows = _as_far_as(self._db.execute(query, (seq, limit)), max_bytes)
        return [Entry(row_seq, _readings(row_seq, body)) for row_seq, body in rows]

    def oldest_after(self, seq: int) -> Millis | None:
        """received_at of the first entry behind `seq`."""
        query = "SELECT received_at FROM entries WHERE seq > ? ORDER BY seq LIMIT 1"
        with self._lock:
            row = self._db.execute(query, (seq,)).fetchone()
        return row[0] if row else None

    def mean_size_after(self, seq: int, limit: int = 500) -> float:
        """Bytes of an entry, as the journal counts them: the mean of the first `limit` behind `seq`; 0 without any."""
        query = "SELECT AVG(LENGTH(body)) FROM (SELECT body FROM entries WHERE seq > ? ORDER BY seq LIMIT ?)"
        with self._lock:
            (mean,) = self._db.execute(query, (seq, limit)).fetchone()
        return 0.0 if mean is None else mean + ROW_OVERHEAD

    def quarantine(self, *, limit: int = 100, before: int | None = None) -> list[QuarantineEntry]:
        """Newest first."""
        return self._quarantined("WHERE ? IS NULL OR id < ? ORDER BY id DESC LIMIT ?", (before, before, limit))

    def quarantine_after(self, after: int, limit: int = 200) -> list[QuarantineEntry]:
        """Oldest first, behind id `after`."""
        return self._quarantined("WHERE id > ? ORDER BY id LIMIT ?", (after, limit))

    def _quarantined(self, which: str, parameters: tuple[object, ...]) -> list[QuarantineEntry]:
        columns = "id, received_at, topic, payload, retained, code, reason"
        query = f"SELECT {columns} FROM quarantine {which}"  # noqa: S608 - our own text
        with self._lock:
            rows = self._db.execute(query, parameters).fetchall()
        return [
            QuarantineEntry(i, at, topic, body, bool(kept), code, why) for i, at, topic, body, kept, code, why in rows
        ]

    def close(self) -> None:
        with self._lock:
            self._db.close()


def _as_far_as(rows: Iterable[tuple[int, bytes]], max_bytes: int) -> list[tuple[int, bytes]]:
    """A message can be one of thousands of readings: counting messages alone would not bound memory."""
    taken: list[tuple[int, bytes]] = []
    size = 0
    for row in rows:
        size += len(row[1])
        if taken and size > max_bytes:
            break
        taken.append(row)
    return taken


def _readings(seq: int, body: bytes) -> list[Reading]:
    """What cannot be read any more must not hold up what can: it is passed over, and said."""
    try:
        return decode(body)
    except msgspec.MsgspecError as error:
        log.error("entry_unreadable", seq=seq, problem=str(error))
        return []
