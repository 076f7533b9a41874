"""Want of room is told apart from a disk that is broken, a file that is locked, and a store that is away."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy.exc import OperationalError

from gateway.telemetry import TelemetryUnavailable
from services.room import is_want_of_room


@pytest.fixture
def full() -> Iterator[sqlite3.OperationalError]:
    """SQLite's own words, from a database that may not grow."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("PRAGMA max_page_count=2")
        db.execute("CREATE TABLE t (a)")
        with pytest.raises(sqlite3.OperationalError) as raised:
            db.execute("INSERT INTO t VALUES (zeroblob(100000))")
    yield raised.value


def test_it_is_found_beneath_what_wraps_it(full: sqlite3.OperationalError) -> None:
    away = TelemetryUnavailable(str(full))
    away.__cause__ = full
    assert all(map(is_want_of_room, (full, away, OperationalError("SELECT 1", {}, full))))
    assert is_want_of_room(OSError(errno.ENOSPC, "No space left on device"))
    assert is_want_of_room(OSError(errno.EDQUOT, "Disk quota exceeded"))


def test_other_failures_are_others() -> None:
    with closing(sqlite3.connect(":memory:")) as db, pytest.raises(sqlite3.OperationalError) as raised:
        db.execute("SELECT * FROM nosuch")
    assert not is_want_of_room(raised.value)
    assert not is_want_of_room(OSError(errno.EIO, "Input/output error"))
    assert not is_want_of_room(TelemetryUnavailable("no answer"))
