"""One device: what it says now, what it said, and what came of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy import Connection

from device_profiles.schema import DeviceProfile
from gateway.telemetry import TelemetryUnavailable
from services.clock import from_millis
from services.context import Context
from services.events.store import list_events
from services.rules.store import list_alarms
from services.sites import store
from services.tickets.store import list_tickets
from services.web.i18n import Translations
from services.web.pages import format as fmt
from services.web.pages.render import reader_of, render, zone_of
from services.web.problems import Problem, not_found
from services.web.security import ContextOf, Crew, Principal
from services.web.views import board, charts
from services.web.views.devices import Device, Part, device_view, severities_of
from services.web.views.events import LATEST, rows, since_of

router = APIRouter(include_in_schema=False)
Span = Literal["1h", "24h", "7d", "30d"]
ChildId = Annotated[str, Query(max_length=64)]
_PAST = 20


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
    reader = reader_of(request, principal)
    with context.database.read() as connection:
        found = _find(connection, principal, device)
        site = store.get_site(connection, principal.scope, found.site or "")
        profile = context.library.get(found.profile)
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
            "why": presence_reason(found, profile, reader.t, reader.now),
            "open": [alarm for alarm in alarms if alarm.state == "active"],
            "past": [alarm for alarm in alarms if alarm.state != "active"][:_PAST],
            "child_labels": board.labels_of(alarms, context.library, reader.language),
            "tickets": tickets,
            "declares_events": bool(profile and profile.events),
            "events": rows(list_events(connection, found.id, limit=LATEST), profile, reader.language),
            "ticket_parts": board.labels_of(tickets, context.library, reader.language),
            "names": board.names_of(connection),
        }
    drawn = charts.charts_of(profile, chosen, reader.language) if profile else []
    if span is None:
        span = _first_span(context, view, chosen, reader.now)
    return render(
        request, "device.html", reader, charts=drawn, child=chosen, span=span, spans=list(charts.SPANS), **values
    )


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
    profile = context.library.get(found.profile)
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
            params=found.params,
            start=first,
            end=last,
            language=reader.language,
        )
    except TelemetryUnavailable as error:
        raise Problem(503, "no-history", str(error), "Try again; the telemetry store does not answer.") from error
    return JSONResponse(drawn)


def _find(connection: Connection, principal: Principal, device: str) -> store.Device:
    found = store.get_device(connection, principal.scope, device)
    if found is None:
        raise not_found("device", device)
    return found


def _first_child(parts: tuple[Part, ...]) -> str:
    """The one in trouble, else the first."""
    troubled = [part for part in parts if part.severity]
    return next((part.child for part in (*troubled, *parts)), "")


def presence_reason(device: store.Device, profile: DeviceProfile | None, t: Translations, now: datetime) -> str:
    """Why a device counts as online, stale, offline or unknown, in a sentence."""
    heard = device.latest.last_heard_at
    if heard is None:
        return t.gettext("Nothing has been heard of it yet.")
    said = fmt.age(heard, t, now=now)
    if profile is None:
        return t.gettext("Heard %(age)s. Its profile is not in the library.", age=said)
    rule, silent = profile.availability, now - heard
    every = fmt.duration(rule.period, t)
    match device.latest.presence:
        case "online" if rule.event_driven:
            return t.gettext("Heard %(age)s. It speaks only when something happens.", age=said)
        case "online":
            return t.gettext("Heard %(age)s, expected every %(every)s.", age=said, every=every)
        case "stale":
            limit = fmt.duration(rule.stale_after, t)
            return t.gettext("Last heard %(age)s; it counts as stale after %(limit)s.", age=said, limit=limit)
        case "offline" if silent >= _rounded(rule.silent_offline_after):
            limit = fmt.duration(rule.silent_offline_after, t)
            return t.gettext("Last heard %(age)s; it counts as offline after %(limit)s.", age=said, limit=limit)
        case "offline":
            return t.gettext("The broker says that its connection is gone. Last heard %(age)s.", age=said)
    return t.gettext("It cannot be judged: its gateway is not delivering. Last heard %(age)s.", age=said)


def _rounded(span: timedelta) -> timedelta:
    return timedelta(seconds=int(span.total_seconds()))
