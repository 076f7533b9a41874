"""Devices as the pages show them: state, figures, parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from device_profiles.children import children_of
from device_profiles.schema import ChildKind, DeviceProfile, Metric, State, Text
from gateway.reading import Value, child_kind
from services.clock import from_millis
from services.natural import natural
from services.sites import store
from services.sites.store import Building, Latest
from services.tables import alarms
from services.web.i18n import Language
from services.web.pages import format as fmt
from services.web.pages import words
from services.web.pages.words import Mark

Severities = Mapping[tuple[str, str], list[str]]
"""(device, child) -> severities of its active alarms."""
Since = Mapping[tuple[str, str], datetime]
"""(child, lasting event) -> when it began."""
LASTS = Text(zh="持续中", en="ongoing")


@dataclass(frozen=True)
class Figure:
    """One metric or state with its value, ready to print."""

    key: str
    name: str
    text: str
    uom: str = ""
    tone: str = ""
    measured_at: datetime | None = None
    quality: str = ""
    chartable: bool = False
    since: datetime | None = None
    """Of what lasts: when it began."""


@dataclass(frozen=True)
class Part:
    """A child: a port, a pump, a door."""

    child: str
    label: str
    mark: Mark
    figures: tuple[Figure, ...]
    severity: str | None


@dataclass(frozen=True)
class Device:
    id: str
    site: str
    name: str
    place: str
    building: str
    building_name: str
    profile: str
    profile_name: str
    family: str
    parent: str | None
    presence: Mark
    mark: Mark
    last_heard_at: datetime | None
    figures: tuple[Figure, ...]
    """All of them on the device's own page, the headline ones on a tile."""
    parts: tuple[Part, ...]
    tally: tuple[tuple[Mark, int], ...]
    """How many parts are in which state."""
    alarms: int
    retired_at: datetime | None

    @property
    def fresh(self) -> bool:
        return self.presence.key == "online"

    @property
    def loud(self) -> bool:
        return self.mark.tone in ("bad", "major")


def severities_of(connection: Connection, devices: Iterable[str]) -> Severities:
    query = select(alarms.c.device, alarms.c.child, alarms.c.severity).where(alarms.c.state == "active")
    wanted = sorted(set(devices))
    if len(wanted) <= 500:  # beyond that all active alarms are fewer rows than names
        query = query.where(alarms.c.device.in_(wanted))
    found: dict[tuple[str, str], list[str]] = {}
    for device, child, severity in connection.execute(query):
        found.setdefault((device, child), []).append(severity)
    return found


def device_view(
    device: store.Device,
    profile: DeviceProfile | None,
    buildings: Mapping[str, Building],
    severities: Severities,
    language: Language,
    *,
    headline: bool,
    since: Since | None = None,
) -> Device:
    """`headline`: only the figures a tile shows, in the order the profile's dashboard hints give."""
    presence = words.presence(device.latest.presence)
    building = buildings.get(device.building or "")
    building_name = building.name.in_(language) if building else ""
    parts = tuple(_parts(device, profile, severities, language, since or {})) if profile else ()
    own_figures: tuple[Figure, ...] = ()
    if profile is not None:
        own_figures = tuple(_figures(profile, device.latest, language, headline=headline))
        own_figures += tuple(_lasting(profile, device.latest, language, None, since or {}))
    return Device(
        id=device.id,
        site=device.site or "",
        name=device.name.in_(language) or device.id,
        place=" · ".join(text for text in (building_name, device.place.in_(language)) if text),
        building=device.building or "",
        building_name=building_name,
        profile=device.profile,
        profile_name=profile.name.in_(language) if profile else device.profile,
        family=profile.family if profile else "",
        parent=device.parent,
        presence=presence,
        mark=words.device_mark(presence.key, device.worst_severity),
        last_heard_at=device.latest.last_heard_at,
        figures=own_figures,
        parts=parts,
        tally=_tally(parts),
        alarms=device.open_alarms,
        retired_at=device.retired_at,
    )


def _figures(
    profile: DeviceProfile, state: Latest | None, language: Language, *, scope: str | None = None, headline: bool
) -> Iterable[Figure]:
    declared: dict[str, Metric | State] = {**profile.states, **profile.metrics}
    names = [name for name, entry in declared.items() if entry.scope == scope]
    first = [name for name in profile.dashboard.headline if name in names]
    names = first if headline else first + [name for name in names if name not in first]
    for name in names:
        figure = figure_of(name, declared[name], state, language)
        if figure.text or not headline:
            yield figure


def figure_of(name: str, entry: Metric | State, state: Latest | None, language: Language) -> Figure:
    value: Value = state.values.get(name) if state else None
    stamp = state.value_times.get(name) if state else None
    text, tone, uom = "", "", ""
    if isinstance(entry, State):
        found = entry.values.get(str(value))
        text = (getattr(found, language) if found else fmt.plain(value)) if value is not None else ""
        tone = str(found.tone) if found else ""
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        text, uom = fmt.number(float(value), entry.decimals), entry.uom
    elif value is not None:
        text = fmt.plain(value)
    return Figure(
        key=name,
        name=entry.name.in_(language),
        text=text,
        uom=uom,
        tone=tone,
        measured_at=from_millis(int(stamp)) if stamp is not None else None,
        quality=str(state.flags.get(name, "")) if state else "",
        chartable=isinstance(entry, Metric),
    )


def _lasting(
    profile: DeviceProfile, state: Latest | None, language: Language, scope: str | None, since: Since
) -> Iterable[Figure]:
    """What has begun and is not over, among the values; what is over says nothing."""
    for name, event in profile.events.items():
        if not event.lasting or event.scope != scope or state is None or state.values.get(name) is not True:
            continue
        stamp = state.value_times.get(name)
        yield Figure(
            key=name,
            name=event.name.in_(language),
            text=LASTS.in_(language),
            tone=words.SEVERITY[str(event.severity)].tone if event.severity is not None else "active",
            measured_at=from_millis(int(stamp)) if stamp is not None else None,
            quality=str(state.flags.get(name, "")),
            since=since.get((state.child, name)),
        )


def _parts(
    device: store.Device, profile: DeviceProfile, severities: Severities, language: Language, since: Since
) -> Iterable[Part]:
    states = {latest.child: latest for latest in device.children}
    for child in sorted({*children_of(profile, device.params), *states}, key=natural):
        kind = profile.children.get(child_kind(child))
        figures = tuple(_figures(profile, states.get(child), language, scope=child_kind(child), headline=False))
        figures += tuple(_lasting(profile, states.get(child), language, child_kind(child), since))
        worst = words.worst_of(severities.get((device.id, child), []))
        mark = _part_mark(figures, worst, states.get(child))
        yield Part(child, child_label(kind, child, language), mark, figures, worst)


def child_label(kind: ChildKind | None, child: str, language: Language) -> str:
    key = child.partition(":")[2]
    return f"{kind.name.in_(language) if kind else child_kind(child)} {key}"


def _part_mark(figures: tuple[Figure, ...], worst: str | None, state: Latest | None) -> Mark:
    """A part is first its alarm, then its own state word, then whether it has been heard of."""
    if worst:
        return words.SEVERITY[worst]
    for figure in figures:
        if figure.tone and figure.text:
            return Mark(figure.key, figure.text, figure.tone, words.TONE_ICONS.get(figure.tone, "circle"))
    return words.OK if state and state.values else words.presence("unknown")


def _tally(parts: tuple[Part, ...]) -> tuple[tuple[Mark, int], ...]:
    return tuple(Counter(part.mark for part in parts).most_common())
