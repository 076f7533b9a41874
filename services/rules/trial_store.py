"""What rules have recorded and told nobody: episodes of rules on trial, and what late data would have said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from gateway.reading import Value
from services.tables import rule_corrections, shadow_episodes

_MOST_SHOWN = 50


@dataclass(frozen=True, kw_only=True)
class Correction:
    """Late data that would have moved a rule, had they come in time. At most one for each rule, device or child, and
    hour."""

    device: str
    child: str
    rule: str
    measured_at: datetime
    known_at: datetime
    held: bool
    """They met the condition where there was no alarm; else they failed it where there was one."""
    condition: str
    values: Mapping[str, Value]


def corrections_of(
    connection: Connection,
    device: str,
    *,
    since: datetime,
    until: datetime | None = None,
    rule: str | None = None,
    child: str = "",
) -> tuple[Correction, ...]:
    """By when they were measured, the newest first; `child` counts with `rule` only. Whoever asks has made sure that
    the device is in scope."""
    query = select(rule_corrections).where(rule_corrections.c.device == device, rule_corrections.c.measured_at >= since)
    if until is not None:
        query = query.where(rule_corrections.c.measured_at <= until)
    if rule is not None:
        query = query.where(rule_corrections.c.rule == rule, rule_corrections.c.child == child)
    newest = query.order_by(rule_corrections.c.measured_at.desc()).limit(_MOST_SHOWN)
    return tuple(_correction(row) for row in connection.execute(newest))


def _correction(row: Row[Any]) -> Correction:
    return Correction(
        device=row.device,
        child=row.child,
        rule=row.rule,
        measured_at=row.measured_at,
        known_at=row.known_at,
        held=row.data.get("holds") is not False,
        condition=row.data["condition"],
        values=row.data["values"],
    )


def expire(connection: Connection, before: datetime) -> int:
    """Forget what was over, or known, before that; how much it was. What goes on stays."""
    gone = connection.execute(delete(rule_corrections).where(rule_corrections.c.known_at < before)).rowcount
    over = shadow_episodes.c.cleared_at < before
    return gone + connection.execute(delete(shadow_episodes).where(over)).rowcount
