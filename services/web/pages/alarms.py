"""Alarms: the list, one that explains itself, and what people say about it: seen, not now, now again."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from services.intake.alarming import SnoozeRefused
from services.rules import store
from services.rules.api import desk_of, snooze_until
from services.rules.snooze import Length
from services.sites import store as sites
from services.web.pages import words
from services.web.pages.render import reader_of, render, zone_of, zones_of
from services.web.problems import not_found
from services.web.security import ContextOf, Crew
from services.web.views import alarms as view
from services.web.views import board

router = APIRouter(include_in_schema=False)
_PAGE = 50


@router.get("/alarms")
def alarms(
    request: Request,
    context: ContextOf,
    principal: Crew,
    state: Literal["active", "suppressed", "cleared", "all"] = "active",
    severity: Annotated[str, Query(max_length=16)] = "",
    under: Annotated[str, Query(max_length=64)] = "",
    before: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """Newest first, a page at a time. What is folded is shown `under` its storm."""
    reader = reader_of(request, principal)
    with context.database.read() as connection:
        found = store.list_alarms(
            connection,
            principal.scope,
            state=None if state == "all" else state,
            severity=[severity] if severity in words.SEVERITY else (),
            under=under,
            before=before or None,
            limit=_PAGE + 1,
        )
        places = sites.list_sites(connection, principal.scope)
    return render(
        request,
        "alarms.html",
        reader,
        alarms=found[:_PAGE],
        more=found[_PAGE - 1].id if len(found) > _PAGE else "",
        child_labels=board.labels_of(found, context.library, reader.language),
        sites={site.id: site for site in places},
        zones=zones_of(places),
        state=state,
        severity=severity,
        under=under,
    )


@router.get("/alarms/{alarm}")
def alarm(request: Request, context: ContextOf, principal: Crew, alarm: str) -> Response:
    reader = reader_of(request, principal)
    with context.database.read() as connection:
        found = store.get_alarm(connection, principal.scope, alarm)
        if found is None:
            raise not_found("alarm", alarm)
        site = sites.get_site(connection, principal.scope, found.site)
        names = board.names_of(connection)
        decisions = store.decisions_about(connection, found.id)
    zone_name = site.timezone if site else "UTC"
    return render(
        request,
        "alarm.html",
        reader,
        alarm=found,
        site=site,
        zone=zone_of(zone_name),
        zone_name=zone_name,
        names=names,
        unheard=view.steps_with_nobody(decisions),
        part=board.label_of(found.profile, found.child, context.library, reader.language),
        because=view.explain(found, context.library.get(found.profile), reader.t, reader.now),
    )


@router.post("/alarms/{alarm}/acknowledge")
def acknowledge(context: ContextOf, principal: Crew, alarm: str) -> Response:
    """The first who acknowledges stays on record."""
    found = desk_of(context).acknowledge(principal.scope, alarm, by=principal.login)
    return RedirectResponse(f"/alarms/{found.id}", status_code=303)


@router.post("/alarms/{alarm}/snooze")
def snooze(context: ContextOf, principal: Crew, alarm: str, length: Annotated[Length, Form()]) -> Response:
    with suppress(SnoozeRefused):  # it has cleared meanwhile, as the page shows
        snooze_until(context, principal, alarm, length)
    return RedirectResponse(f"/alarms/{alarm}", status_code=303)


@router.post("/alarms/{alarm}/unsnooze")
def unsnooze(context: ContextOf, principal: Crew, alarm: str) -> Response:
    found = desk_of(context).unsnooze(principal.scope, alarm, by=principal.login)
    return RedirectResponse(f"/alarms/{found.id}", status_code=303)
