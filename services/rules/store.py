"""Alarms in SQL: one row per episode, each with the reason it was raised for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, select, update

from device_profiles.schema import Text
from services.presence.gateways import gateway_name, gateway_of
from services.scope import NotFound, Scope, in_scope
from services.tables import alarms, devices, tickets


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One episode. `reason` says why: condition, values, since, measured_at, source, name."""

    id: str
    site: str
    device: str
    device_name: Text
    building: str | None
    child: str
    rule: str
    rule_name: Text
    profile: str
    severity: str
    state: str
    reason: dict[str, Any]
    pending_since: datetime | None
    raised_at: datetime
    cleared_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    ticket: str | None
    ticket_number: int | None


def list_alarms(
    connection: Connection,
    scope: Scope,
    *,
    site: str | None = None,
    state: str | None = None,
    severity: Collection[str] = (),
    device: str | None = None,
    limit: int = 100,
    before: str | None = None,
) -> list[Alarm]:
    """Newest first; `before` is the last id of the page before."""
    query = _select(scope).order_by(alarms.c.id.desc()).limit(limit)
    for column, wanted in ((alarms.c.site, site), (alarms.c.state, state), (alarms.c.device, device)):
        if wanted is not None:
            query = query.where(column == wanted)
    if severity:
        query = query.where(alarms.c.severity.in_(list(severity)))
    if before is not None:
        query = query.where(alarms.c.id < before)
    return [_alarm(row) for row in connection.execute(query)]


def get_alarm(connection: Connection, scope: Scope, alarm: str) -> Alarm | None:
    row = connection.execute(_select(scope).where(alarms.c.id == alarm)).one_or_none()
    return None if row is None else _alarm(row)


def acknowledge_alarm(connection: Connection, scope: Scope, alarm: str, *, by: str, now: datetime) -> Alarm:
    """Somebody has seen it. The first to say so stays; raises NotFound."""
    connection.execute(
        update(alarms)
        .where(alarms.c.id == alarm, in_scope(alarms.c.site, scope), alarms.c.acknowledged_at.is_(None))
        .values(acknowledged_at=now, acknowledged_by=by)
    )
    found = get_alarm(connection, scope, alarm)
    if found is None:
        raise NotFound("alarm", alarm)
    return found


def _select(scope: Scope) -> Select[Any]:
    return (
        select(
            alarms,
            devices.c.name_zh,
            devices.c.name_en,
            devices.c.building,
            tickets.c.id.label("ticket"),
            tickets.c.number.label("ticket_number"),
        )
        .select_from(
            alarms.outerjoin(devices, devices.c.id == alarms.c.device).outerjoin(
                tickets, tickets.c.alarm == alarms.c.id
            )
        )
        .where(in_scope(alarms.c.site, scope))
    )


def _name_of(row: Row[Any]) -> Text:
    gateway = gateway_of(row.device)
    if row.name_zh is None and gateway is not None:
        return gateway_name(gateway)
    return Text(zh=row.name_zh or row.device, en=row.name_en or row.device)


def _alarm(row: Row[Any]) -> Alarm:
    name = row.reason.get("name") or {"zh": row.rule, "en": row.rule}
    return Alarm(
        id=row.id,
        site=row.site,
        device=row.device,
        device_name=_name_of(row),
        building=row.building,
        child=row.child,
        rule=row.rule,
        rule_name=Text(zh=name["zh"], en=name["en"]),
        profile=row.profile,
        severity=row.severity,
        state=row.state,
        reason=row.reason,
        pending_since=row.pending_since,
        raised_at=row.raised_at,
        cleared_at=row.cleared_at,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
        ticket=row.ticket,
        ticket_number=row.ticket_number,
    )
