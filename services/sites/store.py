"""Sites, devices and their latest values, in SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, select

from device_profiles.schema import Severity, Text
from gateway.reading import DeviceEntry, Millis, Value
from services.natural import natural
from services.scope import Scope, in_scope
from services.tables import (
    alarms,
    buildings,
    device_states,
    devices,
    gateways,
    outages,
    recipients,
    sites,
    supplies,
    tickets,
    units,
)

_SEVERITIES = tuple(Severity)


@dataclass(frozen=True, kw_only=True)
class Unit:
    id: str
    name: Text
    households: int


@dataclass(frozen=True, kw_only=True)
class Building:
    id: str
    name: Text
    units: tuple[Unit, ...]

    @property
    def households(self) -> int:
        return sum(unit.households for unit in self.units)


@dataclass(frozen=True, kw_only=True)
class Site:
    id: str
    name: Text
    timezone: str
    contact: Text
    buildings: tuple[Building, ...]

    @property
    def households(self) -> int:
        return sum(building.households for building in self.buildings)


@dataclass(frozen=True, kw_only=True)
class Latest:
    """The latest of one device (child "") or of one child."""

    child: str
    presence: str
    last_heard_at: datetime | None
    measured_at: datetime | None
    values: dict[str, Value]
    value_times: dict[str, Millis]
    flags: dict[str, str]
    reason: str = "never_heard"
    """Why its presence is what it is: the first broken link, or the sign of life (gateway.presence)."""
    since: datetime | None = None
    """When presence and reason became what they are."""
    gateway: str | None = None
    """Which gateway hears it."""
    back_since: datetime | None = None
    """When it was last there again after it had been gone."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device with its latest values. `site` is None while it is unclaimed."""

    id: str
    site: str | None
    profile: str
    address: str
    name: Text
    building: str | None
    place: Text
    params: dict[str, Any]
    parent: str | None
    retired_at: datetime | None
    latest: Latest
    children: tuple[Latest, ...]
    open_alarms: int
    worst_severity: str | None
    unit: str | None = None
    origin: str = "file"
    """`file`: it stands in the site file; `adopted`: on the page or by the API."""
    first_heard_at: datetime | None = None
    announced: dict[str, Any] = field(default_factory=dict)
    """What it says about itself: name, model, firmware, address."""


@dataclass(frozen=True, kw_only=True)
class GatewayRow:
    id: str
    cursor: int
    progress_at: datetime | None
    heard_at: datetime | None
    status: dict[str, Any]
    """GatewayStatus as it last said; empty when it never did."""
    broker_lost_at: datetime | None = None
    watching_since: datetime | None = None
    """It had not been listening before."""


@dataclass(frozen=True, kw_only=True)
class OpenCounts:
    """What the head of the board shows."""

    devices: int
    devices_by_presence: dict[str, int]
    alarms: int
    alarms_by_severity: dict[str, int]
    tickets: int
    outages: int
    unclaimed: int


def list_sites(connection: Connection, scope: Scope) -> list[Site]:
    """Every site in scope with its buildings and units, by id."""
    rows = connection.execute(select(sites).where(in_scope(sites.c.id, scope)).order_by(sites.c.id)).all()
    houses = _buildings_by_site(connection, [row.id for row in rows])
    return [_site(row, houses[row.id]) for row in rows]


def get_site(connection: Connection, scope: Scope, site: str) -> Site | None:
    row = connection.execute(select(sites).where(sites.c.id == site, in_scope(sites.c.id, scope))).one_or_none()
    return None if row is None else _site(row, _buildings_by_site(connection, [site])[site])


def _site(row: Row[Any], houses: list[Building]) -> Site:
    return Site(
        id=row.id,
        name=Text(zh=row.name_zh, en=row.name_en),
        timezone=row.timezone,
        contact=Text(zh=row.contact_zh, en=row.contact_en),
        buildings=tuple(houses),
    )


def _buildings_by_site(connection: Connection, ids: list[str]) -> dict[str, list[Building]]:
    members: dict[tuple[str, str], list[Unit]] = defaultdict(list)
    for row in connection.execute(
        select(units).where(units.c.site.in_(ids)).order_by(units.c.site, units.c.building, units.c.id)
    ):
        unit = Unit(id=row.id, name=Text(zh=row.name_zh, en=row.name_en), households=row.households)
        members[row.site, row.building].append(unit)
    found: dict[str, list[Building]] = defaultdict(list)
    for row in connection.execute(
        select(buildings).where(buildings.c.site.in_(ids)).order_by(buildings.c.site, buildings.c.position)
    ):
        name = Text(zh=row.name_zh, en=row.name_en)
        found[row.site].append(Building(id=row.id, name=name, units=tuple(members[row.site, row.id])))
    return found


def list_devices(
    connection: Connection,
    scope: Scope,
    *,
    site: str | None = None,
    building: str | None = None,
    profile: str | None = None,
    presence: str | None = None,
    limit: int = 1000,
    after: str = "",
) -> list[Device]:
    """Devices in service (retired ones are left out), by id, with their latest values; `after` is the last id seen."""
    query = (
        select(devices)
        .where(in_scope(devices.c.site, scope), devices.c.retired_at.is_(None), devices.c.id > after)
        .order_by(devices.c.id)
        .limit(limit)
    )
    for column, wanted in ((devices.c.site, site), (devices.c.building, building), (devices.c.profile, profile)):
        if wanted is not None:
            query = query.where(column == wanted)
    if presence is not None:
        state = select(device_states.c.device).where(device_states.c.child == "", device_states.c.presence == presence)
        query = query.where(devices.c.id.in_(state))
    return with_latest(connection, connection.execute(query).all())


def get_device(connection: Connection, scope: Scope, device: str) -> Device | None:
    """One device, also a retired one."""
    query = select(devices).where(devices.c.id == device, in_scope(devices.c.site, scope))
    found = with_latest(connection, connection.execute(query).all())
    return found[0] if found else None


def unclaimed_devices(connection: Connection, *, limit: int = 200) -> list[Device]:
    """Devices that were heard but stand in no site file. They belong to no site: only for those who see everything."""
    query = select(devices).where(*unclaimed()).order_by(devices.c.id)
    return with_latest(connection, connection.execute(query.limit(limit)).all())


def unclaimed(*, ignored: bool = False) -> tuple[ColumnElement[bool], ...]:
    """Which rows are devices without a place that wait for one, or those that nobody wants."""
    wanted = devices.c.ignored_at.is_not(None) if ignored else devices.c.ignored_at.is_(None)
    return (devices.c.site.is_(None), devices.c.retired_at.is_(None), wanted)


def with_latest(connection: Connection, rows: Iterable[Row[Any]]) -> list[Device]:
    """Device rows with what they last said."""
    rows = list(rows)
    ids = [row.id for row in rows]
    latest: dict[str, dict[str, Latest]] = defaultdict(dict)
    for chunk in _chunks(ids):
        for row in connection.execute(select(device_states).where(device_states.c.device.in_(chunk))):
            latest[row.device][row.child] = _latest(row)
    open_alarms = _open_alarms(connection, ids)
    return [_device(row, latest[row.id], open_alarms.get(row.id, [])) for row in rows]


def _open_alarms(connection: Connection, ids: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for chunk in _chunks(ids):
        query = select(alarms.c.device, alarms.c.severity).where(alarms.c.device.in_(chunk), alarms.c.state == "active")
        for row in connection.execute(query):
            found[row.device].append(row.severity)
    return found


def _chunks(ids: list[str], size: int = 500) -> Iterable[list[str]]:
    """SQL engines cap the number of parameters."""
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _latest(row: Row[Any]) -> Latest:
    return Latest(
        child=row.child,
        presence=row.presence,
        last_heard_at=row.last_heard_at,
        measured_at=row.measured_at,
        values=row._mapping["values"],
        value_times=row.value_times,
        flags=row.flags,
        reason=row.reason or "never_heard",
        since=row.since,
        gateway=row.gateway,
        back_since=row.back_since,
    )


_NEVER = Latest(child="", presence="unknown", last_heard_at=None, measured_at=None, values={}, value_times={}, flags={})


def _device(row: Row[Any], latest: Mapping[str, Latest], severities: list[str]) -> Device:
    children = sorted((one for child, one in latest.items() if child), key=lambda one: natural(one.child))
    return Device(
        id=row.id,
        site=row.site,
        profile=row.profile,
        address=row.address,
        name=Text(zh=row.name_zh, en=row.name_en),
        building=row.building,
        place=Text(zh=row.place_zh, en=row.place_en),
        params=row.params,
        parent=row.parent,
        retired_at=row.retired_at,
        latest=latest.get("", _NEVER),
        children=tuple(children),
        open_alarms=len(severities),
        worst_severity=min(severities, key=_SEVERITIES.index, default=None),
        unit=row.unit,
        origin=row.origin or "file",
        first_heard_at=row.first_heard_at,
        announced=row.announced or {},
    )


def device_entries(connection: Connection) -> list[DeviceEntry]:
    """What gateways must know about each device in service."""
    query = (
        select(devices, sites.c.timezone, sites.c.params.label("site_params"))
        .join(sites, sites.c.id == devices.c.site)
        .where(devices.c.retired_at.is_(None))
        .order_by(devices.c.id)
    )
    return [
        DeviceEntry(
            id=row.id,
            profile=row.profile,
            address=row.address,
            site=row.site,
            timezone=row.timezone,
            params={**(row.site_params or {}).get(row.profile, {}), **row.params},
            parent=row.parent or "",
            building=row.building or "",
        )
        for row in connection.execute(query)
    ]


def forget_unclaimed(connection: Connection, *, heard_before: datetime) -> list[str]:
    """Drop devices that stand in no site file and have not been heard since; returns which went."""
    heard = select(device_states.c.device).where(
        device_states.c.child == "", device_states.c.last_heard_at >= heard_before
    )
    query = select(devices.c.id).where(*unclaimed(), devices.c.id.not_in(heard))
    gone = list(connection.scalars(query))
    for start in range(0, len(gone), 500):
        part = gone[start : start + 500]
        connection.execute(delete(device_states).where(device_states.c.device.in_(part)))
        connection.execute(delete(devices).where(devices.c.id.in_(part), devices.c.site.is_(None)))
    return gone


def list_supplies(connection: Connection, scope: Scope, site: str) -> list[dict[str, Any]]:
    """Which members give which service to whom, as the site file says."""
    query = select(supplies).where(supplies.c.site == site, in_scope(supplies.c.site, scope)).order_by(supplies.c.id)
    return [dict(row._mapping) for row in connection.execute(query)]


def list_recipients(connection: Connection, scope: Scope, site: str | None = None) -> list[dict[str, Any]]:
    query = select(recipients).where(in_scope(recipients.c.site, scope)).order_by(recipients.c.site, recipients.c.id)
    if site is not None:
        query = query.where(recipients.c.site == site)
    return [dict(row._mapping) for row in connection.execute(query)]


def list_gateways(connection: Connection) -> list[GatewayRow]:
    """Without those that were taken down for good."""
    in_use = gateways.c.forgotten_at.is_(None)
    return [
        GatewayRow(
            id=row.id,
            cursor=row.cursor,
            progress_at=row.progress_at,
            heard_at=row.heard_at,
            status=row.status or {},
            broker_lost_at=row.broker_lost_at,
            watching_since=row.watching_since,
        )
        for row in connection.execute(select(gateways).where(in_use).order_by(gateways.c.id))
    ]


def open_counts(connection: Connection, scope: Scope) -> OpenCounts:
    """Counts of what is open now within the scope."""
    presence = _count_by_presence(connection, scope)
    severity = connection.execute(
        select(alarms.c.severity, func.count())
        .where(in_scope(alarms.c.site, scope), alarms.c.state == "active")
        .group_by(alarms.c.severity)
    ).all()
    open_tickets = connection.scalar(
        select(func.count())
        .select_from(tickets)
        .where(in_scope(tickets.c.site, scope), tickets.c.state.in_(("open", "assigned", "in_progress")))
    )
    ongoing = connection.scalar(
        select(func.count()).select_from(outages).where(in_scope(outages.c.site, scope), outages.c.state == "ongoing")
    )
    waiting = connection.scalar(select(func.count()).select_from(devices).where(*unclaimed())) if scope is None else 0
    return OpenCounts(
        devices=sum(presence.values()),
        devices_by_presence=presence,
        alarms=sum(row[1] for row in severity),
        alarms_by_severity={row[0]: row[1] for row in severity},
        tickets=open_tickets or 0,
        outages=ongoing or 0,
        unclaimed=waiting or 0,
    )


def _count_by_presence(connection: Connection, scope: Scope) -> dict[str, int]:
    state = device_states.alias()
    presence = func.coalesce(state.c.presence, "unknown")
    query = (
        select(presence, func.count())
        .select_from(devices.outerjoin(state, (state.c.device == devices.c.id) & (state.c.child == "")))
        .where(in_scope(devices.c.site, scope), devices.c.site.is_not(None), devices.c.retired_at.is_(None))
        .group_by(presence)
    )
    return {row[0]: row[1] for row in connection.execute(query)}
