"""SQLite files copied while others write them: one moment of the file, and nobody waits."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

Told = Callable[[int], None]
_PAGES = 4096


def copy_online(source: Path, target: Path, told: Told = lambda _: None) -> None:
    """The whole file as it is now, into a new one. Raises sqlite3.DatabaseError, FileExistsError."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(_reading(source)) as db, closing(sqlite3.connect(target, isolation_level=None)) as into:
        # The copy is made in steps, and would begin again at each write of another process; within a transaction of
        # its own the reader keeps seeing one moment.
        db.execute("BEGIN")
        db.execute("SELECT COUNT(*) FROM sqlite_master")
        (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
        before = 0

        def step(_status: int, remaining: int, total: int) -> None:
            nonlocal before
            told((total - remaining - before) * page_bytes)
            before = total - remaining

        db.backup(into, pages=_PAGES, progress=step)
        into.execute("PRAGMA journal_mode=DELETE")  # everything in the one file


def has_tables(path: Path, *names: str) -> bool:
    """Whether these are all in it; False for what is no database."""
    try:
        with closing(_reading(path)) as db:
            found = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError:
        return False
    return found.issuperset(names)


def is_journal(path: Path) -> bool:
    return has_tables(path, "entries", "cursors", "counters")


def number_after(journal: Path, seq: int) -> None:
    """No entry of this journal gets a number up to `seq` any more: services have taken these, and would take new
    readings under them for old ones."""
    with closing(sqlite3.connect(journal, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        given = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
        if given is None:
            db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('entries', ?)", (seq,))
        elif given[0] < seq:
            db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'entries'", (seq,))
        db.execute("COMMIT")


def file_bytes(path: Path) -> int:
    """What the file and its log take on disk."""
    parts = (path, path.with_name(f"{path.name}-wal"))
    return sum(part.stat().st_size for part in parts if part.exists())


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=10)
