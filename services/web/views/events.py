"""What happened at a device, as its page shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from device_profiles.schema import DeviceProfile
from gateway.reading import Value, child_kind
from services.events import store
from services.events.store import DeviceEvent
from services.web.i18n import N_, Language
from services.web.pages import format as fmt
from services.web.pages import words
from services.web.pages.words import Mark
from services.web.views.devices import child_label

LATEST = 30
HAPPENED = Mark("event", N_("Event"), "idle", "circle")
PHASES = {"begin": N_("begins"), "update": N_("goes on"), "end": N_("is over")}
_MOST_FIELDS = 6


@dataclass(frozen=True)
class EventRow:
    """One event, ready to print."""

    id: str
    name: str
    mark: Mark
    """How bad it is, in a word and a colour."""
    phase: str
    """A word to be translated; "" for what does not last."""
    part: str
    """The child it happened at."""
    detail: str
    at: datetime
    quality: str


def rows(events: Sequence[DeviceEvent], profile: DeviceProfile | None, language: Language) -> list[EventRow]:
    """As they come."""
    return [_row(event, profile, language) for event in events]


def _row(event: DeviceEvent, profile: DeviceProfile | None, language: Language) -> EventRow:
    kind = profile.events.get(event.event) if profile is not None else None
    severity = str(kind.severity) if kind is not None and kind.severity is not None else None
    part = profile.children.get(child_kind(event.child)) if profile is not None else None
    return EventRow(
        id=event.id,
        name=kind.name.in_(language) if kind is not None else event.event,
        mark=words.SEVERITY[severity] if severity is not None and event.phase != "end" else HAPPENED,
        phase=PHASES.get(event.phase, ""),
        part=child_label(part, event.child, language) if event.child else "",
        detail=_detail(event.data),
        at=event.measured_at,
        quality=event.quality,
    )


def _detail(data: Mapping[str, Value]) -> str:
    said = [f"{name}: {fmt.plain(value)}" for name, value in data.items() if value is not None]
    return " · ".join(said[:_MOST_FIELDS]) + (" …" if len(said) > _MOST_FIELDS else "")


def since_of(connection: Connection, device: str, profile: DeviceProfile | None) -> dict[tuple[str, str], datetime]:
    """(child, event) -> when what lasts there began."""
    if profile is None:
        return {}
    return store.begun(connection, device, (name for name, event in profile.events.items() if event.lasting))
