"""What this gateway has said already: a small table on its disk, so that no restart says anything twice."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from gateway.damage import set_aside
from gateway.reading import Millis
from gateway.uplink import CommandOrder, CommandOutcome

_KEPT_MILLIS: Millis = 7 * 24 * 3600 * 1000
_ADDED = {"broker": "TEXT NOT NULL DEFAULT ''", "began": "INTEGER"}
"""Columns that the table of an older version has not."""
SAYING = "saying"
"""The status while a message is on its way to the broker; found after a restart, it is unsure."""


class SentCommands:
    """One row per (id, attempt). Use from one thread; every call is durable when it returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection

    def open(self) -> None:
        """A damaged file is moved aside: it must not keep commands from being sent."""
        try:
            self._connect()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            set_aside(self._path)
            self._connect()

    def _connect(self) -> None:
        self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS sent (id TEXT NOT NULL, attempt INTEGER NOT NULL, device TEXT NOT NULL, "
            "status TEXT NOT NULL, at INTEGER NOT NULL, reason TEXT NOT NULL, reported INTEGER NOT NULL DEFAULT 0, "
            "broker TEXT NOT NULL DEFAULT '', began INTEGER, PRIMARY KEY (id, attempt))"
        )
        there = {row[1] for row in self._db.execute("PRAGMA table_info(sent)")}
        for column, kind in _ADDED.items():
            if column not in there:
                self._db.execute(f"ALTER TABLE sent ADD COLUMN {column} {kind}")

    def close(self) -> None:
        self._db.close()

    def begin(self, order: CommandOrder, at: Millis) -> bool:
        """Note that it is about to be said; False where it was before, and must not be said again."""
        done = self._db.execute(
            "INSERT OR IGNORE INTO sent (id, attempt, device, status, at, reason, began) VALUES (?, ?, ?, ?, ?, '', ?)",
            (order.id, order.attempt, order.device, SAYING, at, at),
        )
        return done.rowcount == 1

    def end(self, order: CommandOrder, status: str, at: Millis, reason: str = "", broker: str = "") -> None:
        self._db.execute(
            "INSERT INTO sent (id, attempt, device, status, at, reason, broker) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (id, attempt) DO UPDATE SET status = excluded.status, at = excluded.at, "
            "reason = excluded.reason, broker = excluded.broker, reported = 0",
            (order.id, order.attempt, order.device, status, at, reason, broker),
        )

    def last_said(self) -> dict[str, Millis]:
        """When something was last said to each device."""
        query = "SELECT device, MAX(at) FROM sent WHERE status IN ('sent', 'unsure', ?) GROUP BY device"
        return {row[0]: row[1] for row in self._db.execute(query, (SAYING,))}

    def withdraw(self, order: CommandOrder) -> None:
        """Nothing of it has left this machine after all."""
        self._db.execute(
            "DELETE FROM sent WHERE id = ? AND attempt = ? AND status = ?", (order.id, order.attempt, SAYING)
        )

    def knows(self, order: CommandOrder) -> bool:
        query = "SELECT 1 FROM sent WHERE id = ? AND attempt = ?"
        return self._db.execute(query, (order.id, order.attempt)).fetchone() is not None

    def ask_again(self, order: CommandOrder) -> None:
        """Services ask for what was settled: they have not heard it, so it is reported once more."""
        self._db.execute("UPDATE sent SET reported = 0 WHERE id = ? AND attempt = ?", (order.id, order.attempt))

    def settle_interrupted(self) -> None:
        """What was being said when the last run ended, or when something went wrong: nobody is saying it now."""
        reason = "the gateway was interrupted while it sent this; it is not sent again"
        self._db.execute("UPDATE sent SET status = 'unsure', reason = ? WHERE status = ?", (reason, SAYING))

    def unreported(self, limit: int = 100) -> list[CommandOutcome]:
        query = (
            "SELECT id, attempt, status, at, reason, broker, began FROM sent "
            "WHERE reported = 0 AND status <> ? ORDER BY at LIMIT ?"
        )
        return [
            CommandOutcome(
                id=row[0], attempt=row[1], status=row[2], at=row[3], reason=row[4], broker=row[5], began=row[6]
            )
            for row in self._db.execute(query, (SAYING, limit))
        ]

    def reported(self, outcomes: list[CommandOutcome]) -> None:
        self._db.executemany(
            "UPDATE sent SET reported = 1 WHERE id = ? AND attempt = ? AND status = ?",
            [(one.id, one.attempt, one.status) for one in outcomes],
        )

    def forget_old(self, now: Millis) -> None:
        self._db.execute("DELETE FROM sent WHERE reported = 1 AND at < ?", (now - _KEPT_MILLIS,))
