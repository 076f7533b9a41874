"""What the database knows of a stretch of time: gaps of gateways, events, what people said about alarms."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, select

from services.backtest.past import Act, Happened, Past
from services.clock import to_millis
from services.presence.gap_store import gaps_between
from services.tables import alarm_events, alarms, events

MOST_EVENTS = 300_000
"""Of one backtest: some 60 MB."""
_PAGES_NOBODY = ("late", "historic")
_ACTS = ("acknowledged", "snoozed", "unsnoozed")
_AT_ONCE = 500


def read_past(
    connection: Connection,
    site: str,
    *,
    gateways: Collection[str],
    devices: Collection[str],
    moments: Collection[str],
    start: datetime,
    end: datetime,
) -> Past:
    """`moments`: the names of events that rules count."""
    found = sorted(_events(connection, devices, moments, start, end)) if moments else []
    return Past(
        gaps=gaps_between(connection, gateways, start, end),
        acts=tuple(_acts(connection, site, start, end)),
        events=tuple(found[-MOST_EVENTS:]),
        left_out=max(0, len(found) - MOST_EVENTS),
    )


def _acts(connection: Connection, site: str, start: datetime, end: datetime) -> Iterator[Act]:
    query = (
        select(alarms.c.device, alarms.c.child, alarms.c.rule, alarm_events)
        .join(alarms, alarms.c.id == alarm_events.c.alarm)
        .where(
            alarms.c.site == site,
            alarm_events.c.kind.in_(_ACTS),
            alarm_events.c.who.is_not(None),
            alarm_events.c.at >= start,
            alarm_events.c.at < end,
        )
        .order_by(alarm_events.c.at, alarm_events.c.id)
    )
    for row in connection.execute(query):
        yield Act(to_millis(row.at), row.device, row.child, row.rule, row.kind, _until(row))


def _until(row: Row[Any]) -> int | None:
    until = row.data.get("until")
    return None if until is None else to_millis(datetime.fromisoformat(until))


def _events(
    connection: Connection, devices: Collection[str], moments: Collection[str], start: datetime, end: datetime
) -> Iterator[Happened]:
    table = events
    source = iter(sorted(devices))
    while some := list(islice(source, _AT_ONCE)):
        query = select(table.c.measured_at, table.c.device, table.c.child, table.c.event).where(
            table.c.device.in_(some),
            table.c.event.in_(sorted(moments)),
            table.c.phase == "",
            table.c.quality.not_in(_PAGES_NOBODY),
            table.c.measured_at >= start,
            table.c.measured_at < end,
        )
        newest = query.order_by(table.c.measured_at.desc()).limit(MOST_EVENTS + 1)
        for row in connection.execute(newest):
            yield Happened(to_millis(row.measured_at), row.device, row.child, row.event)
