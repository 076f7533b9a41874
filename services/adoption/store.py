"""New devices and their neighbours, in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, select

from services.adoption.model import Unclaimed
from services.adoption.suggest import Neighbour, suggest
from services.scope import Scope
from services.sites.store import Device, list_sites, unclaimed, with_latest
from services.tables import device_states, devices


def list_unclaimed(
    connection: Connection, scope: Scope, *, ignored: bool = False, limit: int = 100, after: str = ""
) -> list[Unclaimed]:
    """Devices without a place, by id, or those that are left out.

    Who does not see every site sees those that a gateway hears which serves their sites only.
    """
    query = select(devices).where(*unclaimed(ignored=ignored), devices.c.id > after).order_by(devices.c.id)
    if scope is not None:
        query = query.where(devices.c.id.in_(_heard_by(_gateways_within(connection, scope))))
    return _told(connection, scope, connection.execute(query.limit(limit)).all())


def list_unclaimed_ids(connection: Connection, scope: Scope) -> list[str]:
    """Only which they are."""
    query = select(devices.c.id).where(*unclaimed())
    if scope is not None:
        query = query.where(devices.c.id.in_(_heard_by(_gateways_within(connection, scope))))
    return list(connection.scalars(query))


def get_unclaimed(connection: Connection, scope: Scope, id: str) -> Unclaimed | None:
    """One of them, left out or not."""
    query = select(devices).where(devices.c.id == id, devices.c.site.is_(None), devices.c.retired_at.is_(None))
    if scope is not None:
        query = query.where(devices.c.id.in_(_heard_by(_gateways_within(connection, scope))))
    found = _told(connection, scope, connection.execute(query).all())
    return found[0] if found else None


def _heard_by(gateways: Iterable[str]) -> Any:
    return select(device_states.c.device).where(device_states.c.gateway.in_(sorted(gateways)))


def _gateways_within(connection: Connection, scope: frozenset[str]) -> set[str]:
    """Gateways that hear devices of these sites and of no others; a retired device counts for neither."""
    query = (
        select(device_states.c.gateway, devices.c.site)
        .join(devices, devices.c.id == device_states.c.device)
        .where(device_states.c.gateway.is_not(None), devices.c.site.is_not(None), devices.c.retired_at.is_(None))
        .distinct()
    )
    inside: set[str] = set()
    outside: set[str] = set()
    for gateway, site in connection.execute(query):
        (inside if site in scope else outside).add(gateway)
    return inside - outside


def neighbours(connection: Connection, scope: Scope) -> list[Neighbour]:
    """Devices that have their place, with the gateway that hears them."""
    state = device_states.alias()
    query = select(devices, state.c.gateway).select_from(
        devices.outerjoin(state, (state.c.device == devices.c.id) & (state.c.child == ""))
    )
    rows = connection.execute(query.where(devices.c.site.is_not(None), devices.c.retired_at.is_(None)))
    return [
        Neighbour(
            id=row.id,
            profile=row.profile,
            address=row.address,
            site=row.site,
            building=row.building,
            gateway=row.gateway,
        )
        for row in rows
        if scope is None or row.site in scope
    ]


def _told(connection: Connection, scope: Scope, rows: Iterable[Row[Any]]) -> list[Unclaimed]:
    rows = list(rows)
    if not rows:
        return []
    sites = {site.id: site for site in list_sites(connection, scope)}
    around = neighbours(connection, scope)
    taken = set(connection.scalars(select(devices.c.id).where(devices.c.site.is_not(None))))
    ignored = {row.id: row.ignored_at for row in rows}

    def told(device: Device) -> Unclaimed:
        suggestion = suggest(
            profile=device.profile,
            address=device.address,
            gateway=device.latest.gateway,
            announced=device.announced,
            neighbours=around,
            sites=sites,
            taken=taken,
        )
        return Unclaimed(
            id=device.id,
            profile=device.profile,
            address=device.address,
            gateway=device.latest.gateway,
            first_heard_at=device.first_heard_at,
            last_heard_at=device.latest.last_heard_at,
            announced=device.announced,
            latest=device.latest,
            children=device.children,
            ignored_at=ignored[device.id],
            suggestion=suggestion,
        )

    return [told(device) for device in with_latest(connection, rows)]
