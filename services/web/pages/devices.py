"""One device: what it says now, what it said, and what came of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy import Connection

from gateway.telemetry import TelemetryUnavailable
from services.calm.names import is_storm_device
from services.clock import from_millis
from services.commands.store import list_commands
from services.context import Context
from services.events.store import list_events
from services.groups.places import is_place
from services.ids import new_id
from services.presence.gateways import gateway_of
from services.rulebook.device_rules import device_rules
from services.rules.in_force import effective_rules
from services.rules.store import list_alarms
from services.sites import store
from services.tickets.store import list_tickets
from services.web.pages import format as fmt
from services.web.pages.render import reader_of, render, zone_of
from services.web.problems import Problem, not_found
from services.web.security import ContextOf, Crew, Principal
from services.web.views import board, breaks, charts, commands
from services.web.views import device_rules as waiting
from services.web.views.commands import Mistake
from services.web.views.corrections import corrections_said
from services.web.views.devices import Device, Part, device_view, severities_of
from services.web.views.events import LATEST, rows, since_of

router = APIRouter(include_in_schema=False)
Span = Literal["1h", "24h", "7d", "30d"]
ChildId = Annotated[str, Query(max_length=64)]
_PAST = 20
_LATEST_COMMANDS = 10


@router.get("/devices/{device}")
def device(
    request: Request,
    context: ContextOf,
    principal: Crew,
    device: str,
    child: ChildId = "",
    span: Annotated[Span | None, Query(alias="range")] = None,
) -> Response:
    """Without a `range`, the last hour of a device that has no longer past, else the last day."""
    return show(request, context, principal, device, child=child, span=span)


def show(
    request: Request,
    context: Context,
    principal: Principal,
    device: str,
    *,
    child: str = "",
    span: Span | None = None,
    mistake: Mistake | None = None,
) -> Response:
    """The page; with a `mistake`, the form of a command again, and what is wrong beside its field."""
    if gateway_of(device) is not None:
        return RedirectResponse("/#breaks", status_code=303)  # alarms name gateways where others name a device
    if is_storm_device(device) or is_place(device):
        return RedirectResponse("/alarms", status_code=303)
    reader = reader_of(request, principal)
    with context.database.read() as connection:
        found = _find(connection, principal, device)
        site = store.get_site(connection, principal.scope, found.site or "")
        profile = context.library.get(found.profile)
        seen = breaks.seen_of(connection, found, context.library, store.list_gateways(connection))
        buildings = {building.id: building for building in site.buildings} if site else {}
        view = device_view(
            found,
            profile,
            buildings,
            severities_of(connection, [found.id]),
            reader.language,
            headline=False,
            since=since_of(connection, found.id, profile),
        )
        chosen = child if child or view.figures else _first_child(view.parts)
        alarms = list_alarms(connection, principal.scope, device=found.id, limit=200)
        tickets = list_tickets(connection, principal.scope, device=found.id, limit=_PAST)
        values: dict[str, Any] = {
            "site": site,
            "zone": zone_of(site.timezone if site else "UTC"),
            "zone_name": site.timezone if site else "UTC",
            "device": view,
            "address": found.address,
            "chain": breaks.chain_of(seen, reader.t, reader.now, silent_after(context)),
            "faults": {(one_child, one.metric): one for one_child, one in breaks.faults(found, profile, reader.now)},
            "origin": found.origin,
            "announced": found.announced,
            "open": [alarm for alarm in alarms if alarm.state != "cleared"],
            "past": [alarm for alarm in alarms if alarm.state == "cleared"][:_PAST],
            "child_labels": board.labels_of(alarms, context.library, reader.language),
            "tickets": tickets,
            "declares_events": bool(profile and profile.events),
            "events": rows(list_events(connection, found.id, limit=LATEST), profile, reader.language),
            "ticket_parts": board.labels_of(tickets, context.library, reader.language),
            "names": board.names_of(connection),
            "commands": commands.sent(
                list_commands(connection, principal.scope, device=found.id, limit=_LATEST_COMMANDS),
                profile,
                principal,
                reader.t,
            ),
            "command_forms": commands.forms(context, principal, found, profile, child, reader.t, mistake),
            "command_key": new_id(reader.now),
            "commands_on": context.settings.commands == "on",
        }
    drawn = charts.charts_of(profile, chosen, reader.language) if profile else []
    if span is None:
        span = _first_span(context, view, chosen, reader.now)
    return render(
        request,
        "device.html",
        reader,
        status=422 if mistake else 200,
        charts=drawn,
        child=chosen,
        span=span,
        spans=list(charts.SPANS),
        **values,
    )


@router.get("/devices/{device}/rules")
def rules(request: Request, context: ContextOf, principal: Crew, device: str) -> Response:
    """Why there is no alarm: each rule of a device, and what it waits for."""
    reader = reader_of(request, principal)
    with context.database.read() as connection:
        found = _find(connection, principal, device)
        site = store.get_site(connection, principal.scope, found.site or "")
        now = device_rules(connection, context.library, principal.scope, found.id, context.clock.now())
    zone = zone_of(site.timezone if site else "UTC")
    profile = context.library[found.profile]

    def when(at: datetime) -> str:
        return fmt.moment(at, zone, reader.t.locale, now=reader.now)

    return render(
        request,
        "device_rules.html",
        reader,
        device=found,
        zone=zone,
        found=now,
        rules=waiting.said(now, profile, reader.t, when),
        corrections=corrections_said(now.corrections, profile, reader.t, when),
    )


def find(context: Context, principal: Principal, device: str) -> store.Device:
    with context.database.read() as connection:
        return _find(connection, principal, device)


def _first_span(context: Context, view: Device, child: str, now: datetime) -> Span:
    """A day's width makes the first minutes of a new device a stroke at the edge."""
    parts = {"": view.figures} | {part.child: part.figures for part in view.parts}
    reported = [figure.key for figure in parts.get(child, ()) if figure.chartable and figure.text]
    try:
        return charts.first_span(context.telemetry, view.id, child, reported[:1], now)
    except TelemetryUnavailable:
        return "24h"


@router.get("/devices/{device}/history")
def history(
    request: Request,
    context: ContextOf,
    principal: Crew,
    device: str,
    metric: Annotated[list[str], Query(max_length=20)],
    child: ChildId = "",
    span: Annotated[Span, Query(alias="range")] = "24h",
    start: Annotated[int | None, Query(ge=0, le=253_402_300_799_000)] = None,
    end: Annotated[int | None, Query(ge=0, le=253_402_300_799_000)] = None,
) -> Response:
    """Points, and the lines to draw across them: of the span that ends now, or from `start` to `end` (ms)."""
    with context.database.read() as connection:
        found = _find(connection, principal, device)
        effective = effective_rules(connection, context.library)
    profile = effective.schema(found.site or "", found.profile, found.id)
    known = [name for name in metric if profile and name in profile.metrics]
    if profile is None or not known:
        raise not_found("metric", ", ".join(metric))
    reader = reader_of(request, principal)
    last = from_millis(end) if end is not None else reader.now
    first = from_millis(start) if start is not None else last - charts.SPANS[span]
    try:
        drawn = charts.history(
            context.telemetry,
            profile,
            device=found.id,
            child=child,
            metrics=known,
            params=effective.params(found.site or "", found.profile, found.id, found.params),
            start=first,
            end=last,
            language=reader.language,
        )
    except TelemetryUnavailable as error:
        raise Problem(503, "no-history", str(error), "Try again; the telemetry store does not answer.") from error
    return JSONResponse(drawn)


def silent_after(context: Context) -> timedelta:
    return timedelta(seconds=context.settings.gateway_silent_after)


def _find(connection: Connection, principal: Principal, device: str) -> store.Device:
    found = store.get_device(connection, principal.scope, device)
    if found is None:
        raise not_found("device", device)
    return found


def _first_child(parts: tuple[Part, ...]) -> str:
    """The one in trouble, else the first."""
    troubled = [part for part in parts if part.severity]
    return next((part.child for part in (*troubled, *parts)), "")
