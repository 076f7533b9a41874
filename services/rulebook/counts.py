"""How often rules have raised, and what those on trial would have raised, in the last seven days."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, case, func, select

from services.tables import alarms, shadow_episodes, tickets

WEEK = timedelta(days=7)
_NAMED = 20
Key = tuple[str, str]
"""(profile, rule)"""


@dataclass(kw_only=True)
class Counts:
    """Of one rule at one site."""

    raised: int = 0
    """Within the seven days."""
    active: int = 0
    flapping: int = 0
    """Of those raised, how many were recognised as flapping."""
    suppressed: int = 0
    """Episodes of the seven days that never raised: a cause above, or a maintenance window."""
    tickets: int = 0
    last_raised_at: datetime | None = None
    devices: dict[str, int] = field(default_factory=dict)
    """Those that raised most, with how often."""
    shadow: int = 0
    """How often it would have raised within the seven days, while on trial."""
    shadow_active: int = 0
    shadow_devices: dict[str, int] = field(default_factory=dict)


def counts_of(connection: Connection, site: str, now: datetime) -> dict[Key, Counts]:
    """(profile, rule) -> its counts; rules that never raised are left out."""
    found: dict[Key, Counts] = defaultdict(Counts)
    _alarms(connection, site, now - WEEK, found)
    _last(connection, site, found)
    _shadow(connection, site, now - WEEK, found)
    for one in found.values():
        one.devices, one.shadow_devices = _most(one.devices), _most(one.shadow_devices)
    return dict(found)


def _most(devices: dict[str, int]) -> dict[str, int]:
    return dict(sorted(devices.items(), key=lambda one: (-one[1], one[0]))[:_NAMED])


def _alarms(connection: Connection, site: str, since: datetime, found: dict[Key, Counts]) -> None:
    raised = case((alarms.c.suppressed_by.is_(None), 1), else_=0)
    query = (
        select(
            alarms.c.profile,
            alarms.c.rule,
            alarms.c.device,
            func.count().label("episodes"),
            func.sum(raised).label("raised"),
            func.sum(case((alarms.c.flaps > 0, 1), else_=0)).label("flapping"),
            func.count(tickets.c.id).label("tickets"),
        )
        .select_from(alarms.outerjoin(tickets, tickets.c.alarm == alarms.c.id))
        .where(alarms.c.site == site, alarms.c.raised_at >= since)
        .group_by(alarms.c.profile, alarms.c.rule, alarms.c.device)
    )
    for row in connection.execute(query):
        one = found[row.profile, row.rule]
        one.raised += int(row.raised or 0)
        one.suppressed += row.episodes - int(row.raised or 0)
        one.flapping += int(row.flapping or 0)
        one.tickets += row.tickets
        if row.raised:
            one.devices[row.device] = int(row.raised)


def _last(connection: Connection, site: str, found: dict[Key, Counts]) -> None:
    query = (
        select(
            alarms.c.profile,
            alarms.c.rule,
            func.max(alarms.c.raised_at).label("last"),
            func.sum(case((alarms.c.state == "active", 1), else_=0)).label("active"),
        )
        .where(alarms.c.site == site, alarms.c.suppressed_by.is_(None))
        .group_by(alarms.c.profile, alarms.c.rule)
    )
    for row in connection.execute(query):
        one = found[row.profile, row.rule]
        one.last_raised_at, one.active = row.last, int(row.active or 0)


def _shadow(connection: Connection, site: str, since: datetime, found: dict[Key, Counts]) -> None:
    query = (
        select(
            shadow_episodes.c.profile,
            shadow_episodes.c.rule,
            shadow_episodes.c.device,
            func.count().label("episodes"),
            func.sum(case((shadow_episodes.c.cleared_at.is_(None), 1), else_=0)).label("active"),
        )
        .where(shadow_episodes.c.site == site, shadow_episodes.c.raised_at >= since)
        .group_by(shadow_episodes.c.profile, shadow_episodes.c.rule, shadow_episodes.c.device)
    )
    for row in connection.execute(query):
        one = found[row.profile, row.rule]
        one.shadow += row.episodes
        one.shadow_active += int(row.active or 0)
        one.shadow_devices[row.device] = row.episodes
