"""Sites and devices."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from services.sites import store
from services.sites.store import Device, Site
from services.web.pagination import Cursor, Limit, Page, page_of
from services.web.problems import not_found
from services.web.security import ContextOf, Crew

router = APIRouter()

Id = Annotated[str | None, Query(max_length=64)]


@router.get("/sites", tags=["sites"], summary="Sites with their buildings and units")
def list_sites(context: ContextOf, principal: Crew) -> list[Site]:
    with context.database.read() as connection:
        return store.list_sites(connection, principal.scope)


@router.get("/sites/{site}", tags=["sites"], summary="One site")
def get_site(context: ContextOf, principal: Crew, site: str) -> Site:
    with context.database.read() as connection:
        found = store.get_site(connection, principal.scope, site)
    if found is None:
        raise not_found("site", site)
    return found


@router.get("/devices", tags=["devices"], summary="Devices in service, with their latest values")
def list_devices(
    context: ContextOf,
    principal: Crew,
    site: Id = None,
    building: Id = None,
    profile: Id = None,
    presence: Literal["online", "stale", "offline", "unknown"] | None = None,
    limit: Limit = 200,
    cursor: Cursor = None,
) -> Page[Device]:
    """By id. Devices that stand in no site file (`site` null) are shown to those who see every site."""
    with context.database.read() as connection:
        found = store.list_devices(
            connection,
            principal.scope,
            site=site,
            building=building,
            profile=profile,
            presence=presence,
            limit=limit + 1,
            after=cursor or "",
        )
    return page_of(found, limit, lambda device: device.id)


@router.get("/devices/{device}", tags=["devices"], summary="One device with its children and latest values")
def get_device(context: ContextOf, principal: Crew, device: str) -> Device:
    with context.database.read() as connection:
        found = store.get_device(connection, principal.scope, device)
    if found is None:
        raise not_found("device", device)
    return found
