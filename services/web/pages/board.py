"""The board of a site, and the fragments its live feed fetches."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection

from services.accounts.policy import Role
from services.context import Context
from services.sites import store
from services.sites.store import Site
from services.web.pages.render import Reader, reader_of, render, zone_of
from services.web.problems import not_found
from services.web.security import ContextOf, Crew, Engineer
from services.web.views import board as view
from services.web.views import breaks

router = APIRouter(include_in_schema=False)
GroupBy = Annotated[view.Grouping, Query()]
SiteId = Annotated[str, Query(max_length=64)]


@router.get("/")
def board(
    request: Request, context: ContextOf, principal: Crew, site: SiteId = "", group: GroupBy = "family"
) -> Response:
    """Engineers see the board; a crew member is led to the tickets."""
    engineer = principal.narrowed(Role.ENGINEER)
    if engineer.scope == frozenset():
        return RedirectResponse("/tickets", status_code=303)
    reader = reader_of(request, engineer)
    with context.database.read() as connection:
        sites = store.list_sites(connection, engineer.scope)
        active = view.active_alarms(connection)
        shown = _shown(sites, site, active)
        if shown is None:
            if site:
                raise not_found("site", site)
            return render(request, "board.html", reader, site=None, sites=[], zone_name="UTC")
        devices = view.devices_of(connection, context.library, shown, reader.language)
        values = {
            **_shared(context, connection, shown, reader),
            "sites": sites,
            "active_alarms": active,
            "group": group,
            "groups": view.grouped(devices, shown, group, reader.t),
            "families": sorted({device.family for device in devices}),
        }
    return render(request, "board.html", reader, **values)


@router.get("/board/fragments")
def fragments(
    request: Request,
    context: ContextOf,
    principal: Engineer,
    site: SiteId,
    device: Annotated[list[str], Query(max_length=500)] = [],  # noqa: B006 — FastAPI copies it
    side: Annotated[int, Query(ge=0, le=1)] = 0,
    all: Annotated[int, Query(ge=0, le=1)] = 0,
) -> Response:
    """Tiles of the devices named (or all), the head, and the side column if something there may have changed."""
    reader = reader_of(request, principal)
    with context.database.read() as connection:
        shown = store.get_site(connection, principal.scope, site)
        if shown is None:
            raise not_found("site", site)
        only = None if all else frozenset(device)
        values = {
            **_shared(context, connection, shown, reader),
            "changed": view.devices_of(connection, context.library, shown, reader.language, only=only),
            "side": side or all,
        }
    return render(request, "board_fragments.html", reader, **values)


def _shared(context: Context, connection: Connection, site: Site, reader: Reader) -> dict[str, Any]:
    outages = view.ongoing_outages(connection, site.id)
    alarms = view.open_alarms(connection, site.id)
    tickets = view.open_tickets(connection, site.id)
    gateways = store.list_gateways(connection)
    silent_after = timedelta(seconds=context.settings.gateway_silent_after)
    return {
        "site": site,
        "zone": zone_of(site.timezone),
        "zone_name": site.timezone,
        "counts": view.counts_of(connection, site.id, outages, reader.now),
        "gateways": view.gateway_views(gateways, reader.now, silent_after),
        "breaks": breaks.breaks_of(connection, site.id, reader.t, reader.now, gateways),
        "unclaimed": view.unclaimed_of(connection, reader.principal),
        "set_aside": view.set_aside_of_late(connection, reader.principal, reader.now),
        "outages": outages,
        "alarms": alarms,
        "child_labels": view.labels_of(alarms, context.library, reader.language),
        "tickets": tickets,
        "ticket_parts": view.labels_of(tickets, context.library, reader.language),
        "names": view.names_of(connection),
    }


def _shown(sites: list[Site], wanted: str, active: dict[str, int]) -> Site | None:
    """The site asked for; else the one with the most alarms."""
    if wanted:
        return next((one for one in sites if one.id == wanted), None)
    return max(sites, key=lambda one: active.get(one.id, 0), default=None)
