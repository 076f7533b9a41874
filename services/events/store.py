"""Events in SQL: one row for each that a reading tells. The same one again is the same row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Executable, Row, Select, and_, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.reading import Event, Reading, Value
from services.clock import from_millis
from services.tables import events

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
MOST_PER_READING = 100
MOST_PER_DEVICE = 20_000
"""The newest ones; a device that raves pushes out its own past and nobody else's."""
_MOST_FIELDS, _LONGEST_TEXT, _LONGEST_KEY, _LONGEST_NAME, _LONGEST_PHASE = 40, 500, 200, 64, 16
_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class DeviceEvent:
    """Something that happened at a device or one of its children."""

    id: str
    device: str
    child: str
    measured_at: datetime
    event: str
    """As the device's profile names it."""
    phase: str
    """`begin`, `update` or `end` of what lasts; "" for what merely happens."""
    key: str
    """Tells occurrences apart: an order number, an object's id."""
    data: dict[str, Value]
    quality: str
    """`late` and `historic` ones were told long after they happened."""


def rows_of(reading: Reading, device: str, site: str | None) -> list[dict[str, Any]]:
    """A reading's events as rows. Their ids follow from what they say, and sort by the time they were measured."""
    return [_row(reading, device, site, event) for event in reading.events[:MOST_PER_READING]]


def _row(reading: Reading, device: str, site: str | None, event: Event) -> dict[str, Any]:
    said = [device, reading.child, reading.binding, event.id, event.phase, event.key, event.data]
    return {
        "id": _id(reading.measured_at, said),
        "site": site,
        "device": device,
        "child": reading.child,
        "measured_at": from_millis(reading.measured_at),
        "event": _clean(event.id)[:_LONGEST_NAME],
        "phase": _clean(event.phase)[:_LONGEST_PHASE],
        "key": _clean(event.key)[:_LONGEST_KEY],
        "data": {
            _clean(name)[:_LONGEST_NAME]: _short(value) for name, value in list(event.data.items())[:_MOST_FIELDS]
        },
        "quality": str(reading.quality),
    }


def _id(at: int, said: Sequence[Any]) -> str:
    """26 characters as all ids: 48 bits of milliseconds, then 80 bits of what was said."""
    # Escaped: half a character that came off the wire is no reason to fail.
    digest = hashlib.sha256(json.dumps(said, ensure_ascii=True).encode()).digest()[:10]
    number = ((at & ((1 << 48) - 1)) << 80) | int.from_bytes(digest)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def _short(value: Value) -> Value:
    return _clean(value)[:_LONGEST_TEXT] if isinstance(value, str) else value


def _clean(text: str) -> str:
    """As a database takes it: without NUL and half characters."""
    return text.replace("\0", "").encode(errors="replace").decode()


def keep(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write events; those that stand there already stay as they are."""
    for some in range(0, len(rows), _AT_ONCE):
        part = {row["id"]: row for row in rows[some : some + _AT_ONCE]}
        connection.execute(_insert_new(connection.dialect.name), list(part.values()))


@cache
def _insert_new(dialect: str) -> Executable:
    engine: Any = sqlite if dialect == "sqlite" else postgresql
    statement: Executable = engine.insert(events).on_conflict_do_nothing(index_elements=["id"])
    return statement


def rename(connection: Connection, old: str, new: str, *, site: str | None) -> None:
    """The events of the device `old` are those of `new`, which stands in `site`: what lasts goes on lasting."""
    connection.execute(update(events).where(events.c.device == old).values(device=new, site=site))


# --- reading them ----------------------------------------------------------------------------------------------------


def list_events(
    connection: Connection,
    device: str,
    *,
    child: str | None = None,
    event: str | None = None,
    limit: int = 100,
    before: str | None = None,
) -> list[DeviceEvent]:
    """Newest first, by the time they were measured; `before` is the last id of the page before. Whose device it is has
    been asked already."""
    query = _of(device).order_by(events.c.id.desc()).limit(limit)
    for column, wanted in ((events.c.child, child), (events.c.event, event)):
        if wanted is not None:
            query = query.where(column == wanted)
    if before is not None:
        query = query.where(events.c.id < before)
    return [_event(row) for row in connection.execute(query)]


def begun(connection: Connection, device: str, names: Iterable[str]) -> dict[tuple[str, str], datetime]:
    """(child, event) -> since when what lasts there has lasted: of all occurrences that have not ended, the first."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    same = (events.c.child, events.c.event, events.c.key)
    ended = _phases(device, wanted, "end", func.max(events.c.measured_at).label("at")).group_by(*same).subquery()
    matches = and_(*(events.c[column.name] == ended.c[column.name] for column in same))
    query = (
        _phases(device, wanted, "begin", func.min(events.c.measured_at).label("at"))
        .outerjoin(ended, matches)
        .where(ended.c.at.is_(None) | (events.c.measured_at >= ended.c.at))
        .group_by(*same)
    )
    found: dict[tuple[str, str], datetime] = {}
    for row in connection.execute(query):
        found[row.child, row.event] = min(row.at, found.get((row.child, row.event), row.at))
    return found


def _phases(device: str, wanted: Sequence[str], phase: str, at: Any) -> Select[Any]:
    return select(events.c.child, events.c.event, events.c.key, at).where(
        events.c.device == device, events.c.event.in_(wanted), events.c.phase == phase
    )


def _of(device: str) -> Select[Any]:
    return select(events).where(events.c.device == device)


def _event(row: Row[Any]) -> DeviceEvent:
    return DeviceEvent(
        id=row.id,
        device=row.device,
        child=row.child,
        measured_at=row.measured_at,
        event=row.event,
        phase=row.phase,
        key=row.key,
        data=row.data,
        quality=row.quality,
    )


# --- retention -------------------------------------------------------------------------------------------------------


def expire(connection: Connection, before: datetime, most_per_device: int = MOST_PER_DEVICE) -> int:
    """Forget what is older, and of each device what is beyond its share; how many went."""
    gone = connection.execute(delete(events).where(events.c.measured_at < before)).rowcount
    crowded = select(events.c.device).group_by(events.c.device).having(func.count() > most_per_device)
    for device in connection.scalars(crowded).all():
        oldest_kept = connection.scalar(
            select(events.c.id)
            .where(events.c.device == device)
            .order_by(events.c.id.desc())
            .offset(most_per_device - 1)
            .limit(1)
        )
        gone += connection.execute(
            delete(events).where(events.c.device == device, events.c.id < (oldest_kept or ""))
        ).rowcount
    return gone
