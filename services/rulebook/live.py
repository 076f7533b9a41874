"""One device as the engine last knew it, read from the database: to look at, never to judge with."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from gateway.presence import PresenceReason
from gateway.reading import Millis, Presence, Quality
from services.clock import to_millis
from services.rules.effective import Effective
from services.rules.state import ChildState, DeviceState, restore_rule
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
        _restore(found, state)
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
    device.listen_from(_millis(row.watching_since))
    progress = _millis(row.progress_at)
    if progress is not None and device.heard_at is not None:
        device.silence_seconds = max(0, progress - max(device.heard_at, _millis(row.watching_since) or 0)) / 1000
    return progress


def children_of(device: DeviceState, scope: str | None) -> Collection[str]:
    """The parts of a device that a rule of this scope judges."""
    if scope is None:
        return [""]
    return sorted(child for child in device.children if child.partition(":")[0] == scope)


def _restore(device: DeviceState, row: Row[Any]) -> None:
    heard, measured = _millis(row.last_heard_at), _millis(row.measured_at)
    state = ChildState(
        values=row._mapping["values"],
        times=row.value_times,
        flags={name: Quality(flag) for name, flag in row.flags.items()},
        measured_at=measured,
        heard_at=heard,
        said={source: Presence(word) for source, word in (row.said or {}).items()},
    )
    device.children[row.child] = state
    if measured is not None and (device.last_measured is None or measured > device.last_measured):
        device.last_measured, device.last_received = measured, heard or measured
    if not row.child:
        device.gateway, device.heard_at, device.said = row.gateway, heard, state.said
        device.liveness, device.reason = row.presence, row.reason or PresenceReason.NEVER_HEARD.value
        device.since = _millis(row.since)


def _millis(at: datetime | None) -> Millis | None:
    return None if at is None else to_millis(at)
