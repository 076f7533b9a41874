"""Failures for want of room on a disk, whoever reports them: they need other words than a disk that is broken."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator

_SQLITE = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMOPEN", "SQLITE_IOERR_SHMSIZE"})
"""A reader writes too: what it shares with the writer, and what it sorts. SQLite calls some of that an "I/O error"."""
_ERRNO = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_want_of_room(error: BaseException) -> bool:
    """Whether it, or what it was made of, says that a disk, a quota or a limit is full."""
    return any(_says_so(one) for one in _causes(error))


def _says_so(error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorname", "") in _SQLITE
    return isinstance(error, OSError) and error.errno in _ERRNO


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Itself, what it was raised from, and what SQLAlchemy has wrapped."""
    found: BaseException | None = error
    while found is not None:
        yield found
        wrapped = getattr(found, "orig", None)
        found = wrapped if isinstance(wrapped, BaseException) else found.__cause__
