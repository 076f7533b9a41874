"""One device as the engine last knew it, read from the database: to look at, never to judge with."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from gateway.reading import Millis
from services.rules.effective import Effective
from services.rules.state import DeviceState, restore_rule
from services.rules.stored import millis_or_none, restore_state
from services.scope import NotFound, Scope, in_scope
from services.tables import device_states, devices, gateways, rule_states, sites


def device_now(connection: Connection, effective: Effective, scope: Scope, device: str) -> DeviceState:
    """Its values, automata and memories as they were last written; raises NotFound."""
    query = (
        select(devices, sites.c.timezone)
        .join(sites, sites.c.id == devices.c.site)
        .where(devices.c.id == device, devices.c.retired_at.is_(None), in_scope(devices.c.site, scope))
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("device", device)
    found = DeviceState(
        id=row.id,
        site=row.site,
        profile_id=row.profile,
        profile=effective.profile(row.site, row.profile, row.id),
        params=effective.params(row.site, row.profile, row.id, row.params),
        parent=row.parent or "",
        zone=row.timezone,
    )
    for state in connection.execute(select(device_states).where(device_states.c.device == device)):
        restore_state(found, state)
    for kept in connection.execute(select(rule_states).where(rule_states.c.device == device)):
        rule = found.profile.rules.get(kept.rule) if found.profile is not None else None
        if rule is not None:
            restore_rule(found, (kept.child, kept.rule), rule, kept.state)
    return found


def progress_of(connection: Connection, device: DeviceState) -> Millis | None:
    """How far its gateway has seen time pass; with only one gateway, that one's."""
    rows = {row.id: row for row in connection.execute(select(gateways))}
    row = rows.get(device.gateway or "") or (next(iter(rows.values())) if len(rows) == 1 else None)
    if row is None:
        return None
    device.listen_from(millis_or_none(row.watching_since))
    progress = millis_or_none(row.progress_at)
    if progress is not None and device.heard_at is not None:
        device.silence_seconds = max(0, progress - max(device.heard_at, millis_or_none(row.watching_since) or 0)) / 1000
    return progress


def children_of(device: DeviceState, scope: str | None) -> Collection[str]:
    """The parts of a device that a rule of this scope judges."""
    if scope is None:
        return [""]
    return sorted(child for child in device.children if child.partition(":")[0] == scope)
