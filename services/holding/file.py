"""SQLite: a lock of the operating system on a file beside the database. It dies with the process, also by kill -9.

The database itself is never opened here: closing any handle of a file drops the locks that SQLite has on it.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from io import FileIO
from pathlib import Path

import msgspec

from services.holding.owner import Owner

SUFFIX = ".held"
"""courtyard.db.held; it stays when nobody holds it, and is empty then."""


class FileKeeper:
    def __init__(self, database: Path, me: Owner) -> None:
        self._path = beside(database)
        self._me = me
        self._file: FileIO | None = None

    def try_to_take(self) -> Owner | None:
        """Raises OSError where the file cannot be made or locked."""
        file = FileIO(self._path, "a+", opener=_for_this_user)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return _read(self._path)
        except OSError:
            file.close()
            raise
        if not _stands_at(file, self._path):
            file.close()
            return Owner()  # it was removed just now: who comes next would lock another one
        self.let_go()
        file.truncate(0)
        file.write(msgspec.json.encode(self._me))
        self._file = file
        return None

    def reach(self) -> None:
        """There is no server."""

    def is_ours(self) -> bool:
        """Not where somebody has removed the file: who starts next makes another one and locks that."""
        return self._file is not None and _stands_at(self._file, self._path)

    def let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError), file:  # a disk that fails: the lock ends all the same
                file.truncate(0)


def beside(database: Path) -> Path:
    """The same file by whatever way the database is named."""
    real = database.resolve()
    return real.with_name(real.name + SUFFIX)


def owner_of(database: Path) -> Owner | None:
    """Who holds it now; None: nobody, or this user may not ask."""
    try:
        with beside(database).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(beside(database))
    except OSError:
        return None
    return None


def _stands_at(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
    except OSError:
        return True  # that it cannot be looked at ends no lock


def _read(path: Path) -> Owner:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Owner)
    except (OSError, msgspec.MsgspecError):
        return Owner()  # it is just being written


def _for_this_user(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
