"""SQLite: a lock of the operating system on a file beside the database. It dies with the process, also by kill -9.

The database itself is never opened here: closing any handle of a file drops the locks that SQLite has on it.
"""

from __future__ import annotations

import fcntl
import os
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
        file.truncate(0)
        file.write(msgspec.json.encode(self._me))
        self._file = file
        return None

    def is_ours(self) -> bool:
        return self._file is not None

    def let_go(self) -> None:
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None


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


def _read(path: Path) -> Owner:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Owner)
    except (OSError, msgspec.MsgspecError):
        return Owner()  # it is just being written


def _for_this_user(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
