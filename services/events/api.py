"""What happened at a device."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from device_profiles.schema import DeviceProfile, Text
from gateway.reading import Value
from services.events import store
from services.events.store import DeviceEvent
from services.sites.store import get_device
from services.web.pagination import Cursor, Limit, Page, page_of
from services.web.problems import not_found
from services.web.security import ContextOf, Crew

router = APIRouter(tags=["devices"])
Id = Annotated[str | None, Query(max_length=64)]


@dataclass(frozen=True, kw_only=True)
class NamedEvent:
    """An event with what its profile says about it. `name` and `severity` are null where the profile knows no such
    event (any more)."""

    id: str
    device: str
    child: str
    measured_at: datetime
    event: str
    name: Text | None
    severity: str | None
    phase: str
    key: str
    data: dict[str, Value]
    quality: str


@router.get("/devices/{device}/events", summary="What happened at a device, newest first")
def list_events(
    context: ContextOf,
    principal: Crew,
    device: str,
    child: Annotated[str | None, Query(max_length=64, description='"" for the device itself.')] = None,
    event: Id = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[NamedEvent]:
    """By the time they were measured. What lasts is told by `phase`: begin, update, end."""
    with context.database.read() as connection:
        found = get_device(connection, principal.scope, device)
        if found is None:
            raise not_found("device", device)
        listed = store.list_events(connection, found.id, child=child, event=event, limit=limit + 1, before=cursor)
    profile = context.library.get(found.profile)
    return page_of([named(one, profile) for one in listed], limit, lambda one: one.id)


def named(event: DeviceEvent, profile: DeviceProfile | None) -> NamedEvent:
    """With the words of its profile."""
    kind = profile.events.get(event.event) if profile is not None else None
    return NamedEvent(
        id=event.id,
        device=event.device,
        child=event.child,
        measured_at=event.measured_at,
        event=event.event,
        name=kind.name if kind is not None else None,
        severity=str(kind.severity) if kind is not None and kind.severity is not None else None,
        phase=event.phase,
        key=event.key,
        data=event.data,
        quality=event.quality,
    )
