"""Tickets and their events in SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from device_profiles.schema import Text
from services.calm.names import STORM_NAME, is_storm_device
from services.groups.names import names_of_places
from services.presence.gateways import gateway_name, gateway_of
from services.scope import Scope, in_scope
from services.tables import alarms, devices, ticket_events, tickets


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the checklist."""

    text: Text
    done_at: datetime | None
    done_by: str | None


@dataclass(frozen=True, kw_only=True)
class TicketEvent:
    id: str
    at: datetime
    who: str | None
    """Login of the person; None is Courtyard itself."""
    what: str
    note: str
    data: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Ticket:
    id: str
    number: int
    site: str
    alarm: str | None
    alarm_state: str | None
    severity: str | None
    """Of the alarm that opened it."""
    device: str | None
    device_name: Text | None
    building: str | None
    place: Text | None
    child: str
    template: str
    profile: str
    title: Text
    trade: str
    priority: str
    state: str
    assignee: str | None
    steps: tuple[Step, ...]
    opened_at: datetime
    due_at: datetime | None
    closed_at: datetime | None
    version: int
    """Send it back with the next change; a change to an older version is refused."""
    events: tuple[TicketEvent, ...] = ()
    """Filled by `get_ticket`, empty in lists."""


def list_tickets(
    connection: Connection,
    scope: Scope,
    *,
    site: str | None = None,
    state: Collection[str] = (),
    assignee: str | None = None,
    device: str | None = None,
    alarm: str | None = None,
    limit: int = 100,
    before: int | None = None,
) -> list[Ticket]:
    """Newest first; `before` is the last number of the page before."""
    query = _select(scope).order_by(tickets.c.number.desc()).limit(limit)
    wanted = (
        (tickets.c.site, site),
        (tickets.c.assignee, assignee),
        (tickets.c.device, device),
        (tickets.c.alarm, alarm),
    )
    for column, value in wanted:
        if value is not None:
            query = query.where(column == value)
    if state:
        query = query.where(tickets.c.state.in_(list(state)))
    if before is not None:
        query = query.where(tickets.c.number < before)
    return _placed(connection, [_ticket(row) for row in connection.execute(query)])


def get_ticket(connection: Connection, scope: Scope, ticket: str) -> Ticket | None:
    """One ticket with its events, oldest first."""
    row = connection.execute(_select(scope).where(tickets.c.id == ticket)).one_or_none()
    return None if row is None else _placed(connection, [_ticket(row, _events(connection, ticket))])[0]


def _events(connection: Connection, ticket: str) -> tuple[TicketEvent, ...]:
    query = select(ticket_events).where(ticket_events.c.ticket == ticket).order_by(ticket_events.c.id)
    return tuple(
        TicketEvent(id=row.id, at=row.at, who=row.who, what=row.what, note=row.note, data=row.data)
        for row in connection.execute(query)
    )


def _select(scope: Scope) -> Select[Any]:
    return (
        select(
            tickets,
            alarms.c.state.label("alarm_state"),
            alarms.c.severity,
            devices.c.name_zh,
            devices.c.name_en,
            devices.c.building,
            devices.c.place_zh,
            devices.c.place_en,
        )
        .select_from(
            tickets.outerjoin(devices, devices.c.id == tickets.c.device).outerjoin(
                alarms, alarms.c.id == tickets.c.alarm
            )
        )
        .where(in_scope(tickets.c.site, scope))
    )


def _ticket(row: Row[Any], events: tuple[TicketEvent, ...] = ()) -> Ticket:
    known = row.name_zh is not None
    return Ticket(
        id=row.id,
        number=row.number,
        site=row.site,
        alarm=row.alarm,
        alarm_state=row.alarm_state,
        severity=row.severity,
        device=row.device,
        device_name=Text(zh=row.name_zh, en=row.name_en) if known else _gateway_name(row.device),
        building=row.building,
        place=Text(zh=row.place_zh, en=row.place_en) if known else None,
        child=row.child,
        template=row.template,
        profile=row.profile,
        title=Text(zh=row.title_zh, en=row.title_en),
        trade=row.trade,
        priority=row.priority,
        state=row.state,
        assignee=row.assignee,
        steps=tuple(step_of(step) for step in row.steps),
        opened_at=row.opened_at,
        due_at=row.due_at,
        closed_at=row.closed_at,
        version=row.version,
        events=events,
    )


def _placed(connection: Connection, found: list[Ticket]) -> list[Ticket]:
    """With the names of the sites and buildings that rules over several devices speak of."""
    places = names_of_places(connection, (one.device for one in found if one.device is not None))
    return [
        replace(one, device_name=places[one.device].name, building=places[one.device].building)
        if one.device in places
        else one
        for one in found
    ]


def _gateway_name(device: str | None) -> Text | None:
    if is_storm_device(device or ""):
        return STORM_NAME
    gateway = gateway_of(device or "")
    return None if gateway is None else gateway_name(gateway)


def ticket_of_row(
    row: Mapping[str, Any], *, severity: str, device_name: Text, place: Text, building: str | None
) -> Ticket:
    """The ticket that a new row will be, for those who must be told of it at once."""
    columns = {name: row[name] for name in Ticket.__dataclass_fields__ if name in row and name != "steps"}
    return Ticket(
        **columns,
        title=Text(zh=row["title_zh"], en=row["title_en"]),
        steps=tuple(step_of(step) for step in row["steps"]),
        alarm_state="active",
        severity=severity,
        device_name=device_name,
        place=place,
        building=building,
    )


def step_of(step: dict[str, Any]) -> Step:
    done = step.get("done_at")
    return Step(
        text=Text(zh=step["zh"], en=step["en"]),
        done_at=datetime.fromisoformat(done) if done else None,
        done_by=step.get("done_by"),
    )
