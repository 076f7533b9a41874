"""Alarms in SQL: one row per episode, each with the reason it was raised for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, null, or_, select

from device_profiles.schema import Text
from services.calm.names import STORM_NAME, is_storm_device
from services.groups.names import names_of_places
from services.ids import lowest_id
from services.presence.gateways import gateway_name, gateway_of
from services.scope import Scope, in_scope
from services.tables import alarm_events, alarms, devices, tickets


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
    suppressed_by: dict[str, Any] | None = None
    """What keeps it from raising: {"kind": "cause" | "maintenance", "id", "since"}."""
    parent: str | None = None
    """The alarm it is folded under."""
    flaps: int = 0
    """How often it has begun, since it counts as flapping."""
    snoozed_until: datetime | None = None
    snoozed_by: str | None = None
    step: int = 0
    """How many steps up it has gone because nobody acknowledged it."""
    step_at: datetime | None = None

    def is_snoozed(self, now: datetime) -> bool:
        return self.state != "cleared" and self.snoozed_until is not None and now < self.snoozed_until


def list_alarms(
    connection: Connection,
    scope: Scope,
    *,
    site: str | None = None,
    state: str | None = None,
    severity: Collection[str] = (),
    device: str | None = None,
    rule: tuple[str, str] | None = None,
    under: str | None = None,
    flapping: bool | None = None,
    limit: int = 100,
    before: str | None = None,
) -> list[Alarm]:
    """Newest first; `under` an alarm: what is folded under it, "": what stands on its own.

    `before` is the last id of the page before. `rule`: (profile, rule)."""
    query = _select(scope).order_by(alarms.c.id.desc()).limit(limit)
    for column, wanted in ((alarms.c.site, site), (alarms.c.state, state), (alarms.c.device, device)):
        if wanted is not None:
            query = query.where(column == wanted)
    if under is not None:
        query = query.where(alarms.c.parent == under if under else alarms.c.parent.is_(None))
    if flapping is not None:
        query = query.where((func.coalesce(alarms.c.flaps, 0) > 0) == flapping)
    if severity:
        query = query.where(alarms.c.severity.in_(list(severity)))
    if rule is not None:
        query = query.where(alarms.c.profile == rule[0], alarms.c.rule == rule[1])
    if before is not None:
        query = query.where(alarms.c.id < before)
    return _placed(connection, [_alarm(row) for row in connection.execute(query)])


def alarms_of_days(
    connection: Connection, site: str, severities: Collection[str], *, since: datetime, until: datetime
) -> list[Alarm]:
    """Those of a stretch of time, by when they were taken in: they began in it, or were not over when it began.
    Without those that are folded under another, or that were never raised."""
    query = _select(frozenset({site})).where(
        alarms.c.site == site,
        alarms.c.severity.in_(list(severities)),
        alarms.c.parent.is_(None),
        alarms.c.suppressed_by.is_(null()),
        alarms.c.id <= lowest_id(until),
        or_(alarms.c.state != "cleared", alarms.c.cleared_at > since, alarms.c.id > lowest_id(since)),
    )
    return _placed(connection, [_alarm(row) for row in connection.execute(query.order_by(alarms.c.id))])


def get_alarm(connection: Connection, scope: Scope, alarm: str) -> Alarm | None:
    row = connection.execute(_select(scope).where(alarms.c.id == alarm)).one_or_none()
    return None if row is None else _placed(connection, [_alarm(row)])[0]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One decision about an alarm: `kind` is suppressed, raised, folded, severity, flapping, acknowledged, snoozed,
    unsnoozed, step, cause or cleared; `who` is a login, None where it was Courtyard itself."""

    at: datetime
    kind: str
    data: dict[str, Any]
    who: str | None


def decisions_about(connection: Connection, alarm: str) -> list[Decision]:
    """What was decided about an alarm, oldest first. Whoever asks has made sure that the alarm is in scope."""
    query = select(alarm_events).where(alarm_events.c.alarm == alarm).order_by(alarm_events.c.id)
    return [Decision(at=row.at, kind=row.kind, data=row.data, who=row.who) for row in connection.execute(query)]


def expire_decisions(connection: Connection, before: datetime) -> int:
    """Forget decisions of that time about alarms that were over by then; how many they were. The alarms stay, each
    with what it was raised for."""
    own = select(alarms.c.id).where(alarms.c.id == alarm_events.c.alarm)
    still = own.where(or_(alarms.c.cleared_at.is_(None), alarms.c.cleared_at >= before)).exists()
    # By their ids: what is old is found without reading what is not.
    return connection.execute(delete(alarm_events).where(alarm_events.c.id < lowest_id(before), ~still)).rowcount


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


def _placed(connection: Connection, found: list[Alarm]) -> list[Alarm]:
    """With the names of the sites and buildings that rules over several devices speak of."""
    places = names_of_places(connection, (one.device for one in found))
    return [
        replace(one, device_name=places[one.device].name, building=places[one.device].building)
        if one.device in places
        else one
        for one in found
    ]


def _name_of(row: Row[Any]) -> Text:
    gateway = gateway_of(row.device)
    if row.name_zh is None and gateway is not None:
        return gateway_name(gateway)
    if is_storm_device(row.device):
        return STORM_NAME
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
        suppressed_by=row.suppressed_by,
        parent=row.parent,
        flaps=row.flaps or 0,
        snoozed_until=row.snoozed_until,
        snoozed_by=row.snoozed_by,
        step=row.step or 0,
        step_at=row.step_at,
    )
