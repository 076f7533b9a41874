"""Maintenance windows in SQL. Nobody deletes one: what was covered, by whose word, stays on record as long as decisions
about alarms do."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, null, or_, select, update

from services.maintenance.windows import Window, Windows
from services.scope import Scope, in_scope
from services.tables import maintenance_windows, sites

BACKLOG = timedelta(days=31)
"""How far behind the clock of services the event time of a gateway's backlog may be: by then somebody has noticed."""
_A_NIGHT = timedelta(days=2)
"""What begins on its last day may end on the next, which anywhere on earth is less than that later."""


def load_windows(connection: Connection, since: datetime) -> Windows:
    """Every site's windows that were open at `since` or will be later."""
    zones = {row.id: row.timezone for row in connection.execute(select(sites.c.id, sites.c.timezone))}
    rows = connection.execute(select(maintenance_windows).where(_not_over(since))).mappings()
    return Windows([Window.of_row(dict(row)) for row in rows], zones)


def list_windows(
    connection: Connection,
    scope: Scope,
    *,
    site: str | None = None,
    since: datetime | None = None,
    limit: int | None = None,
    before: str | None = None,
) -> list[Window]:
    """Newest first; `since`: only those that may be open then or later; `before` is the last id of the page before."""
    table = maintenance_windows
    query = select(table).where(in_scope(table.c.site, scope)).order_by(table.c.id.desc())
    if site is not None:
        query = query.where(table.c.site == site)
    if before is not None:
        query = query.where(table.c.id < before)
    if since is None:
        return [Window.of_row(dict(row)) for row in connection.execute(query.limit(limit)).mappings()]
    found = [Window.of_row(dict(row)) for row in connection.execute(query.where(_not_over(since))).mappings()]
    return [one for one in found if one.repeats is None or one.repeats.until >= since.date() - _A_NIGHT][:limit]


def get_window(connection: Connection, scope: Scope, id: str) -> Window | None:
    table = maintenance_windows
    row = connection.execute(select(table).where(table.c.id == id, in_scope(table.c.site, scope))).mappings().first()
    return None if row is None else Window.of_row(dict(row))


def add_window(connection: Connection, window: Window) -> None:
    """Whoever calls has made the `claim`."""
    connection.execute(insert(maintenance_windows).values(**_row(window)))


def change_window(connection: Connection, window: Window) -> None:
    """Write it as it is now: ended early, or cancelled. Whoever calls has made the `claim` and read it after that."""
    table = maintenance_windows
    connection.execute(update(table).where(table.c.id == window.id).values(**_row(window)))


def claim(connection: Connection, site: str) -> None:
    """To change windows of a site: of several who do, each waits until the one before has committed, and then reads
    what that one has written. Whoever holds the windows in memory sees by this that they must be read again."""
    changes = sites.c.window_changes + 1
    connection.execute(update(sites).where(sites.c.id == site).values(window_changes=changes))


def expire(connection: Connection, before: datetime) -> int:
    """Forget windows that were over for good before; how many they were."""
    table, last = maintenance_windows, before.date() - _A_NIGHT
    once = and_(table.c.repeats.is_(None), table.c.ends_at < before)
    gone = connection.execute(delete(table).where(or_(once, table.c.cancelled_at < before))).rowcount
    began = select(table).where(table.c.repeats.is_not(None), table.c.ends_at < before)
    again = [Window.of_row(dict(row)) for row in connection.execute(began).mappings()]
    # The last one began on its last day, and lasts as long as the first.
    over = [one.id for one in again if one.repeats and one.repeats.until + (one.ends_at - one.starts_at) < last]
    for id in over:
        connection.execute(delete(table).where(table.c.id == id))
    return gone + len(over)


def _not_over(since: datetime) -> ColumnElement[bool]:
    table = maintenance_windows
    standing = or_(table.c.cancelled_at.is_(None), table.c.cancelled_at > since)
    return standing & or_(table.c.repeats.is_not(None), table.c.ends_at > since)


def _row(window: Window) -> dict[str, object]:
    same = ("id", "site", "title", "starts_at", "ends_at", "created_at", "created_by", "cancelled_at", "cancelled_by")
    repeats = null() if window.repeats is None else window.repeats.as_json()
    return {**{name: getattr(window, name) for name in same}, "scope": window.scope.as_json(), "repeats": repeats}
