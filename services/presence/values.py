"""Values of devices that speak: which are missing, and which their device calls faulty."""

from __future__ import annotations

from datetime import datetime, timedelta

from device_profiles.schema import DeviceProfile
from gateway.presence import ValueFault, faults_of
from gateway.reading import child_kind
from services.clock import to_millis
from services.sites.store import Device, GatewayRow, Latest


def faults(
    device: Device, profile: DeviceProfile | None, now: datetime, gateway: GatewayRow | None = None
) -> list[tuple[str, ValueFault]]:
    """(child, fault) of a device that speaks: values that are missing, and those that it calls faulty itself."""
    own = device.latest
    if profile is None or own.presence != "online":
        return []
    since = max((at for at in (own.back_since, gateway.watching_since if gateway else None) if at), default=None)
    found: list[tuple[str, ValueFault]] = []
    for latest in (own, *device.children):
        if latest.presence == "offline":
            continue
        found += [
            (latest.child, one)
            for one in faults_of(
                profile,
                child_kind(latest.child) or None,
                times={name: int(at) for name, at in latest.value_times.items()},
                flags=latest.flags,
                now=_event_now(own, latest, now),
                listening_since=None if since is None else to_millis(since),
            )
        ]
    return found


def _event_now(own: Latest, latest: Latest, now: datetime) -> int:
    """Now on the device's clock: when it last measured, and the time since it was heard."""
    measured = max((one.measured_at for one in (own, latest) if one.measured_at is not None), default=now)
    heard = max((one.last_heard_at for one in (own, latest) if one.last_heard_at is not None), default=now)
    return to_millis(measured + max(timedelta(0), now - heard))
