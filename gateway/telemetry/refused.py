"""What the time series did not take, for a person to look at: a small file in the data folder that does not grow.

A value is refused where its type, its name or its time do not fit; everything else of its batch is stored. The newest
`KEPT` are kept with their reasons; all are counted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
import structlog

from gateway.reading import Millis
from gateway.telemetry.lines import Refused

log = structlog.get_logger("courtyard.telemetry")

FILE = "telemetry-refused.db"
"""Its name in the data folder."""
KEPT = 5000
_MOST_AT_ONCE = 1000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS refused (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  refused_at INTEGER NOT NULL,
  device TEXT NOT NULL,
  child TEXT NOT NULL,
  measured_at INTEGER NOT NULL,
  measurement TEXT NOT NULL,
  field TEXT NOT NULL,
  value TEXT NOT NULL,
  reason TEXT NOT NULL,
  UNIQUE (device, child, measured_at, field)
);
CREATE TABLE IF NOT EXISTS total (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER NOT NULL);
INSERT OR IGNORE INTO total VALUES (1, 0);
"""
_INSERT = (
    "INSERT OR IGNORE INTO refused (refused_at, device, child, measured_at, measurement, field, value, reason) "
    "VALUES (?,?,?,?,?,?,?,?)"
)


class RefusedEntry(msgspec.Struct, frozen=True):
    refused_at: Millis
    device: str
    child: str
    measured_at: Millis
    measurement: str
    field: str
    """Empty: the whole reading."""
    value: str
    reason: str


class RefusedPoints:
    """Opens its file when there is something to write; what that file refuses is counted and said all the same."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        """Ever, in this file."""
        self._lock = Lock()

    def start(self) -> None:
        self.count = total(self.path)

    def add(self, refused: Sequence[Refused], now: Millis) -> None:
        """Told twice, a value is counted once, as long as it is among those kept."""
        if not refused:
            return
        first = refused[0]
        log.warning("points_refused", count=len(refused), device=first.device, field=first.field, reason=first.reason)
        with self._lock:
            try:
                self.count = self._write(refused, now)
            except sqlite3.DatabaseError as error:
                self.count += len(refused)
                log.error("refused_not_kept", problem=str(error), count=len(refused))

    def _write(self, refused: Sequence[Refused], now: Millis) -> int:
        kept = [(now, *(_plain(part) for part in one)) for one in refused[:_MOST_AT_ONCE]]
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=10)) as db:
            db.executescript(_SCHEMA)
            db.execute("BEGIN IMMEDIATE")
            before = db.total_changes
            db.executemany(_INSERT, kept)
            new = db.total_changes - before + len(refused) - len(kept)
            db.execute("DELETE FROM refused WHERE id <= (SELECT MAX(id) FROM refused) - ?", (KEPT,))
            (count,) = db.execute("UPDATE total SET count = count + ? RETURNING count", (new,)).fetchone()
            db.execute("COMMIT")
        return int(count)


def listing(path: Path, limit: int = 100) -> list[RefusedEntry]:
    """Newest first; empty where nothing was ever refused. Raises sqlite3.DatabaseError where the file is damaged."""
    query = (
        "SELECT refused_at, device, child, measured_at, measurement, field, value, reason "
        "FROM refused ORDER BY id DESC LIMIT ?"
    )
    return [RefusedEntry(*row) for row in _rows(path, query, limit)]


def total(path: Path) -> int:
    """How many were refused since the file was made."""
    try:
        return sum(int(count) for (count,) in _rows(path, "SELECT count FROM total"))
    except sqlite3.DatabaseError:
        return 0


def _rows(path: Path, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as db:
        return db.execute(query, parameters).fetchall()


def _plain(part: str | int) -> str | int:
    """Half characters cannot be written to a file."""
    return part.encode(errors="replace").decode() if isinstance(part, str) else part
