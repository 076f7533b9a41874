"""The outbox in SQL: what is due, claimed, delivered, failed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, Row, Select, delete, func, select, update

from services.scope import Scope, in_scope
from services.tables import notices


@dataclass(frozen=True)
class Lane:
    """One recipient's mailbox: its notices are sent one after the other, and never hold up another lane."""

    channel: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Due:
    """A notice that is ours to send until the lease ends."""

    id: str
    key: str
    site: str
    channel: str
    target: str
    title: str
    body: str
    data: dict[str, Any]
    attempts: int
    """Attempts so far, this one included."""
    created_at: datetime


def due_lanes(connection: Connection, now: datetime) -> list[Lane]:
    """Lanes with something due, the one that waits longest first."""
    query = (
        select(notices.c.channel, notices.c.target)
        .where(notices.c.state == "queued", notices.c.next_attempt_at <= now)
        .group_by(notices.c.channel, notices.c.target)
        .order_by(func.min(notices.c.next_attempt_at))
    )
    return [Lane(row.channel, row.target) for row in connection.execute(query)]


def claim(connection: Connection, lane: Lane, *, now: datetime, lease: timedelta, limit: int) -> list[Due]:
    """Take the oldest due notices of a lane. Nobody else gets them before the lease ends, so a crash only delays."""
    query = (
        select(notices)
        .where(
            notices.c.state == "queued",
            notices.c.next_attempt_at <= now,
            notices.c.channel == lane.channel,
            notices.c.target == lane.target,
        )
        .order_by(notices.c.id)
        .limit(limit)
    )
    return [_due(row) for row in connection.execute(query).all() if _take(connection, row, now + lease)]


def _take(connection: Connection, row: Row[Any], until: datetime) -> bool:
    # The time we saw stands in the WHERE: of two workers that saw the same row only one can move it.
    statement = (
        update(notices)
        .where(notices.c.id == row.id, notices.c.state == "queued", notices.c.next_attempt_at == row.next_attempt_at)
        .values(next_attempt_at=until, attempts=row.attempts + 1)
    )
    return connection.execute(statement).rowcount == 1


def _due(row: Row[Any]) -> Due:
    return Due(
        id=row.id,
        key=row.key,
        site=row.site,
        channel=row.channel,
        target=row.target,
        title=row.title,
        body=row.body,
        data=row.data,
        attempts=row.attempts + 1,
        created_at=row.created_at,
    )


def record_delivered(connection: Connection, notice: str, now: datetime) -> None:
    _set(connection, notice, state="delivered", delivered_at=now, next_attempt_at=None, last_error="")


def record_retry(connection: Connection, notice: str, *, at: datetime, error: str) -> None:
    _set(connection, notice, next_attempt_at=at, last_error=error)


def record_failed(connection: Connection, notice: str, *, error: str) -> None:
    _set(connection, notice, state="failed", next_attempt_at=None, last_error=error)


def give_back(connection: Connection, ids: Collection[str], *, now: datetime) -> None:
    """Claimed, but never begun: due again at once, and this was no attempt."""
    connection.execute(
        update(notices)
        .where(notices.c.id.in_(list(ids)), notices.c.state == "queued")
        .values(next_attempt_at=now, attempts=notices.c.attempts - 1)
    )


def _set(connection: Connection, notice: str, **values: Any) -> None:
    connection.execute(update(notices).where(notices.c.id == notice, notices.c.state == "queued").values(**values))


# --- for the API ------------------------------------------------------------------------------------------


def list_notices(
    connection: Connection,
    scope: Scope,
    *,
    site: str | None = None,
    state: str | None = None,
    subject_id: str | None = None,
    limit: int = 100,
    before: str | None = None,
) -> list[dict[str, Any]]:
    """Newest first; `before` is the last id of the page before."""
    query = _within(scope).order_by(notices.c.id.desc()).limit(limit)
    for column, wanted in ((notices.c.site, site), (notices.c.state, state), (notices.c.subject_id, subject_id)):
        if wanted is not None:
            query = query.where(column == wanted)
    if before is not None:
        query = query.where(notices.c.id < before)
    return [dict(row) for row in connection.execute(query).mappings()]


def requeue(connection: Connection, scope: Scope, notice: str, *, now: datetime) -> dict[str, Any] | None:
    """A failed notice is due again, with all its attempts; None when there is no such failed notice."""
    statement = (
        update(notices)
        .where(notices.c.id == notice, notices.c.state == "failed", in_scope(notices.c.site, scope))
        .values(state="queued", attempts=0, next_attempt_at=now)
    )
    if connection.execute(statement).rowcount != 1:
        return None
    return dict(connection.execute(_within(scope).where(notices.c.id == notice)).mappings().one())


def expire(connection: Connection, before: datetime) -> int:
    """Forget notices made before; what still waits to be sent stays. Returns how many went."""
    old = delete(notices).where(notices.c.created_at < before, notices.c.state != "queued")
    return connection.execute(old).rowcount


def _within(scope: Scope) -> Select[Any]:
    return select(notices).where(in_scope(notices.c.site, scope))


def masked(target: str) -> str:
    """A target as it may be shown: paths of webhooks are often the secret, addresses are personal."""
    if target.startswith("env:"):
        return target
    if "://" in target:
        parts = urlsplit(target)
        if parts.scheme in ("http", "https"):
            return f"{parts.scheme}://{parts.hostname or ''}/…"
        return f"{parts.scheme}://…"
    name, at, domain = target.partition("@")
    return f"{name[:1]}…{at}{domain}" if at else "…"
