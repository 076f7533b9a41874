"""A look at a journal file from outside, beside a gateway that may be writing it. Changes nothing."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from gateway.reading import Millis


@dataclass(frozen=True, kw_only=True)
class JournalLook:
    bytes: int
    """Size on disk, write-ahead log included."""
    waiting: dict[str, int]
    """Entries that a consumer has not taken yet."""
    oldest_waiting: dict[str, Millis]
    """received_at of the first of these; consumers that have everything are left out."""
    quarantine_entries: int
    shed: int
    newest_at: Millis | None
    """received_at of the newest entry."""


def look(path: Path) -> JournalLook:
    """Raises sqlite3.DatabaseError where the file is damaged or no journal."""
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
    try:
        cursors = dict(db.execute("SELECT consumer, seq FROM cursors").fetchall())
        waiting = {
            consumer: _number(db, "SELECT COUNT(*) FROM entries WHERE seq > ?", seq)
            for consumer, seq in cursors.items()
        }
        first = "SELECT received_at FROM entries WHERE seq > ? ORDER BY seq LIMIT 1"
        oldest = {consumer: _number(db, first, cursors[consumer]) for consumer, count in waiting.items() if count}
        return JournalLook(
            bytes=sum(part.stat().st_size for part in path.parent.glob(f"{path.name}*") if part.is_file()),
            waiting=waiting,
            oldest_waiting={consumer: at for consumer, at in oldest.items() if at},
            quarantine_entries=_number(db, "SELECT COUNT(*) FROM quarantine"),
            shed=_number(db, "SELECT COALESCE(SUM(value), 0) FROM counters WHERE name LIKE 'shed:%'"),
            newest_at=_number(db, "SELECT MAX(received_at) FROM entries") or None,
        )
    finally:
        db.close()


def _number(db: sqlite3.Connection, query: str, *parameters: object) -> int:
    row = db.execute(query, parameters).fetchone()
    return int(row[0] or 0) if row else 0


def integrity(path: Path, *, seconds: float) -> str | None:
    """SQLite's own check: "ok", what it found, or None when it did not finish in time. Any SQLite file."""
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
    until = time.monotonic() + seconds
    db.set_progress_handler(lambda: int(time.monotonic() > until), 10_000)
    try:
        return str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as stopped:
        if "interrupted" in str(stopped):
            return None
        return str(stopped)
    except sqlite3.DatabaseError as damaged:
        return str(damaged)
    finally:
        db.close()
