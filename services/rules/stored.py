"""What the engine knew of a device, from the rows in which it was stored."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row

from gateway.presence import PresenceReason
from gateway.reading import Millis, Presence, Quality
from services.clock import to_millis
from services.rules.state import ChildState, DeviceState


def restore_state(device: DeviceState, row: Row[Any]) -> None:
    """Take up a row of `device_states`: the latest values of a device or child, and its presence."""
    heard, measured = millis_or_none(row.last_heard_at), millis_or_none(row.measured_at)
    state = device.children[row.child] = ChildState(
        values=row._mapping["values"],
        times=row.value_times,
        flags={name: Quality(flag) for name, flag in row.flags.items()},
        measured_at=measured,
        heard_at=heard,
    )
    if measured is not None and (device.last_measured is None or measured > device.last_measured):
        device.last_measured, device.last_received = measured, heard or measured
    said = {source: Presence(word) for source, word in (row.said or {}).items()}
    if row.child:
        state.said = said
        return
    device.gateway, device.heard_at, device.said = row.gateway, heard, said
    device.liveness, device.reason = row.presence, row.reason or PresenceReason.NEVER_HEARD.value
    device.since, device.down_since = millis_or_none(row.since), millis_or_none(row.down_since)
    device.back_since = millis_or_none(row.back_since)


def millis_or_none(at: datetime | None) -> Millis | None:
    return None if at is None else to_millis(at)
