"""What intake could not judge: kept where engineers see it, so that one bad reading never holds up the rest.

A database that does not answer is not the reading's fault: then everything waits and is tried again. Anything else that
a reading provokes would be provoked by every retry, for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import msgspec
from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError, StatementError

from gateway.reading import Reading
from services.ids import new_id
from services.tables import set_aside

MOST_KEPT = 1000
PATIENCE = 10
"""After so many refusals in a row a constraint that a batch violates is taken for the batch's own fault."""
_LONGEST = 4000
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """A reading that could not be judged, or a device (`reading` is empty) that cannot be judged by the clock."""

    id: str
    at: datetime
    device: str
    child: str
    error: str
    reading: str


def is_in_the_data(error: Exception) -> bool:
    """Whether the same data would fail again, however often it is tried."""
    if isinstance(error, SQLAlchemyError):
        return isinstance(error, DataError) or type(error) is StatementError
    return not isinstance(error, OSError | MemoryError)


def is_a_constraint(error: Exception) -> bool:
    """Another writer's doing, most of the time, and gone with the next try."""
    return isinstance(error, IntegrityError)


def halves(items: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    middle = (len(items) + 1) // 2
    return items[:middle], items[middle:]


def keep(
    connection: Connection, *, now: datetime, device: str, child: str, error: Exception, reading: Reading | None
) -> None:
    """Write it down, in the caller's transaction; the oldest make room."""
    row = {
        "id": new_id(now),
        "at": now,
        "device": device,
        "child": child,
        "error": _plain(f"{type(error).__name__}: {getattr(error, 'orig', None) or error}"),
        "reading": "" if reading is None else _plain(msgspec.structs.asdict(reading)),
    }
    connection.execute(insert(set_aside).values(**row))
    newest = select(set_aside.c.id).order_by(set_aside.c.id.desc()).limit(MOST_KEPT)
    connection.execute(delete(set_aside).where(set_aside.c.id.not_in(newest)))


def list_set_aside(connection: Connection, *, limit: int = 100, before: str | None = None) -> list[SetAside]:
    """Newest first; `before` is the last id of the page before."""
    query = select(set_aside).order_by(set_aside.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(set_aside.c.id < before)
    return [SetAside(**row) for row in connection.execute(query).mappings()]


def count_since(connection: Connection, since: datetime) -> int:
    query = select(func.count()).select_from(set_aside).where(set_aside.c.at >= since)
    return connection.scalar(query) or 0


def _plain(thing: object) -> str:
    """In characters that every database takes: what is kept here may be what none would."""
    text = thing if isinstance(thing, str) else repr(thing)
    return text.encode("ascii", "backslashreplace").decode().replace("\0", "\\x00")[:_LONGEST]
