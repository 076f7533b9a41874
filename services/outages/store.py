"""Outages and their updates in SQL."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from device_profiles.schema import Text
from services.scope import Scope, in_scope
from services.tables import outage_updates, outages, supplies


@dataclass(frozen=True, kw_only=True)
class OutageUpdate:
    id: str
    at: datetime
    kind: str
    loss: str
    text: Text
    who: str | None


@dataclass(frozen=True, kw_only=True)
class Outage:
    """Residents lose or half-lose one service. Everything but `supply` and `alarms` may be shown to residents."""

    id: str
    site: str
    supply: str
    supply_name: Text
    service: str
    state: str
    loss: str
    alarms: tuple[str, ...]
    buildings: tuple[str, ...]
    units: tuple[str, ...]
    """"<building>/<unit>" of the units touched."""
    households: int
    what: Text
    instead: Text
    started_at: datetime
    restored_at: datetime | None
    next_news_at: datetime | None
    updates: tuple[OutageUpdate, ...]
    """Oldest first."""


def list_outages(
    connection: Connection,
    scope: Scope,
    *,
    site: str | None = None,
    state: str | None = None,
    limit: int = 100,
    before: str | None = None,
) -> list[Outage]:
    """Newest first, with their updates; `before` is the last id of the page before."""
    query = _select(scope).order_by(outages.c.id.desc()).limit(limit)
    if site is not None:
        query = query.where(outages.c.site == site)
    if state is not None:
        query = query.where(outages.c.state == state)
    if before is not None:
        query = query.where(outages.c.id < before)
    return _with_updates(connection, list(connection.execute(query)))


def get_outage(connection: Connection, scope: Scope, outage: str) -> Outage | None:
    found = _with_updates(connection, list(connection.execute(_select(scope).where(outages.c.id == outage))))
    return found[0] if found else None


def public_outages(connection: Connection, site: str, *, since: datetime) -> list[Outage]:
    """For the residents' page: what goes on now, and what was restored after `since`. Newest first."""
    query = (
        _select(frozenset({site}))
        .where((outages.c.state == "ongoing") | (outages.c.restored_at >= since))
        .order_by(outages.c.id.desc())
        .limit(50)
    )
    return _with_updates(connection, list(connection.execute(query)))


def _select(scope: Scope) -> Any:
    named = (supplies.c.site == outages.c.site) & (supplies.c.id == outages.c.supply)
    return (
        select(outages, supplies.c.name_zh, supplies.c.name_en)
        .select_from(outages.outerjoin(supplies, named))
        .where(in_scope(outages.c.site, scope))
    )


def _with_updates(connection: Connection, rows: list[Row[Any]]) -> list[Outage]:
    updates: dict[str, list[OutageUpdate]] = defaultdict(list)
    query = select(outage_updates).where(outage_updates.c.outage.in_([row.id for row in rows]))
    for row in connection.execute(query.order_by(outage_updates.c.id)):
        text = Text(zh=row.text_zh, en=row.text_en)
        updates[row.outage].append(
            OutageUpdate(id=row.id, at=row.at, kind=row.kind, loss=row.loss, text=text, who=row.who)
        )
    return [_outage(row, updates[row.id]) for row in rows]


def _outage(row: Row[Any], updates: list[OutageUpdate]) -> Outage:
    return Outage(
        id=row.id,
        site=row.site,
        supply=row.supply,
        supply_name=Text(zh=row.name_zh or "", en=row.name_en or ""),
        service=row.service,
        state=row.state,
        loss=row.loss,
        alarms=tuple(row.alarms),
        buildings=tuple(row.impact["buildings"]),
        units=tuple(row.impact["units"]),
        households=row.impact["households"],
        what=Text(zh=row.what_zh, en=row.what_en),
        instead=Text(zh=row.instead_zh, en=row.instead_en),
        started_at=row.started_at,
        restored_at=row.restored_at,
        next_news_at=row.next_news_at,
        updates=tuple(updates),
    )
