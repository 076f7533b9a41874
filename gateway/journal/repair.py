"""Opening a journal whatever state its file is in.

SQLite's log heals a commit that was cut short. What it cannot heal (a zeroed page, a flipped bit) is handled here: the
damaged file is kept aside, and everything readable before the damage goes into a new one.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import structlog

from gateway.damage import set_aside
from gateway.journal.entries import connect
from gateway.journal.journal import Journal

log = structlog.get_logger("courtyard.journal")

_LARGEST_PADDED = 64 * 1024**3


def open_journal(
    path: Path,
    *,
    consumers: Sequence[str],
    max_bytes: int,
    first_seq: int = 1,
    keep: int | None = None,
) -> Journal:
    """Start the journal; a damaged one is cut at its last good record, kept aside, and said in the log."""
    journal = Journal(path, consumers=consumers, max_bytes=max_bytes, first_seq=first_seq, keep=keep)
    if path.exists() and not _is_sound(path):
        aside, kept = _repair(path)
        log.error("journal_repaired", kept_entries=kept, damaged_file=str(aside))
    journal.start()
    return journal


def _is_sound(path: Path) -> bool:
    try:
        db = connect(path)
        try:
            return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
        finally:
            db.close()
    except sqlite3.DatabaseError:
        return False


def _repair(path: Path) -> tuple[Path, int]:
    aside = set_aside(path)
    fresh = Journal(path, consumers=("none",))
    fresh.start()
    fresh.close()
    target = connect(path)
    try:
        return aside, _copy_readable(aside, target)
    finally:
        target.close()


def _copy_readable(damaged: Path, target: sqlite3.Connection) -> int:
    """Copy entries in order up to the damage, then what can still be read of the other tables."""
    _pad(damaged)
    source = sqlite3.connect(damaged, isolation_level=None)
    try:
        kept = _copy(source, target, "entries", "seq")
        for table in ("cursors", "counters", "quarantine", "memory", "listening"):
            _copy(source, target, table, None)
        # Entries behind the damage are gone; the next ones must not take their numbers, which consumers may have seen.
        highest = _highest_seq(source, target)
        target.execute(
            "INSERT OR REPLACE INTO sqlite_sequence (rowid, name, seq) "
            "VALUES ((SELECT rowid FROM sqlite_sequence WHERE name = 'entries'), 'entries', ?)",
            (highest,),
        )
        return kept
    finally:
        source.close()


def _pad(damaged: Path) -> None:
    """SQLite reads nothing at all from a file shorter than its header says; zeros in place of a cut tail let it."""
    with damaged.open("rb") as file:
        header = file.read(100)
    page_size = int.from_bytes(header[16:18], "big")
    size = (65536 if page_size == 1 else page_size) * int.from_bytes(header[28:32], "big")
    if header.startswith(b"SQLite format 3") and damaged.stat().st_size < size <= _LARGEST_PADDED:
        os.truncate(damaged, size)


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, table: str, order: str | None) -> int:
    copied = 0
    target.execute("BEGIN IMMEDIATE")
    try:
        query = f"SELECT * FROM {table}" + (f" ORDER BY {order}" if order else "")  # noqa: S608 - our own names
        for row in source.execute(query):
            marks = ",".join("?" * len(row))
            target.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608
            copied += 1
    except sqlite3.DatabaseError:
        pass  # the damage: what stands before it is kept
    target.execute("COMMIT")
    return copied


def _highest_seq(source: sqlite3.Connection, target: sqlite3.Connection) -> int:
    highest = 0
    for db, query in (
        (target, "SELECT MAX(seq) FROM entries"),
        (target, "SELECT MAX(seq) FROM cursors"),
        (source, "SELECT seq FROM sqlite_sequence WHERE name = 'entries'"),
    ):
        try:
            row = db.execute(query).fetchone()
        except sqlite3.DatabaseError:
            continue
        highest = max(highest, row[0] or 0) if row else highest
    return highest
