"""Gaps of gateways in SQL."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select

from services.clock import from_millis, to_millis
from services.ids import new_id
from services.presence.gaps import Gap
from services.tables import gateway_gaps


def row_of(gap: Gap, now: datetime) -> dict[str, Any]:
    return {
        "id": new_id(now),
        "gateway": gap.gateway,
        "kind": gap.kind,
        "begins_at": from_millis(gap.begins),
        "ends_at": from_millis(gap.ends),
    }


def gaps_between(connection: Connection, gateways: Collection[str], start: datetime, end: datetime) -> tuple[Gap, ...]:
    """Those that touch a stretch of time, in order."""
    table = gateway_gaps
    query = select(table).where(table.c.gateway.in_(sorted(gateways)), table.c.begins_at < end, table.c.ends_at > start)
    rows = connection.execute(query.order_by(table.c.begins_at, table.c.id))
    return tuple(Gap(row.gateway, row.kind, to_millis(row.begins_at), to_millis(row.ends_at)) for row in rows)


def expire(connection: Connection, before: datetime) -> int:
    """Forget gaps that were over before; how many they were."""
    return connection.execute(delete(gateway_gaps).where(gateway_gaps.c.ends_at < before)).rowcount
