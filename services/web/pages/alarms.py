"""Alarms: the list, one that explains itself, and what people say about it: seen, not now, now again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from gateway.telemetry import TelemetryUnavailable
from services.accounts.policy import Role
from services.groups.rule import SITE_RULES
from services.intake.alarming import SnoozeRefused
from services.rulebook.alarm_record import AlarmRecord, alarm_record
from services.rules import store
from services.rules.api import desk_of, snooze_until
from services.rules.explaining import met_at
from services.rules.snooze import Length
from services.sites import store as sites
from services.web.pages import format as fmt
from services.web.pages import words
from services.web.pages.render import Reader, reader_of, render, zone_of, zones_of
from services.web.problems import Problem, not_found
from services.web.security import ContextOf, Crew
from services.web.views import alarm_story as stories
from services.web.views import alarms as view
from services.web.views import board, charts
from services.web.views.corrections import corrections_said
from services.web.views.decisions import timeline

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
        record = alarm_record(connection, context.library, principal.scope, alarm)
    assert record is not None, "it was there, in the same snapshot"
    zone_name = site.timezone if site else "UTC"
    when = _when(reader, zone_of(zone_name))
    because = view.explain(found, record.profile, reader.t, record.member_profile)
    drawn = stories.drawn(record)
    return render(
        request,
        "alarm.html",
        reader,
        alarm=found,
        site=site,
        zone=zone_of(zone_name),
        zone_name=zone_name,
        names=names,
        unheard=view.steps_with_nobody(record.decisions),
        part=board.label_of(found.profile, found.child, context.library, reader.language),
        because=because,
        record=record,
        story=stories.story(record, names, reader.t, when),
        timeline=timeline(record, names, reader.t, when),
        corrections=corrections_said(record.corrections, record.profile, reader.t, when),
        onset=stories.at_onset(context.telemetry, record, drawn, reader.language),
        met_at=met_at(found, record.decisions),
        drawn=stories.names_of(record, drawn, reader.language),
        child_labels=board.labels_of((*record.folded, *record.others.values()), context.library, reader.language),
        may_backtest=principal.may(Role.ENGINEER, found.site) and found.profile in (*context.library, SITE_RULES),
        tried=_tried(record, reader.now, zone_of(zone_name)),
    )


def _tried(record: AlarmRecord, now: datetime, zone: ZoneInfo) -> dict[str, str]:
    """The stretch on which its rule is tried: on the clock of the site, as a form has it."""
    start, end = (f"{at.astimezone(zone):%Y-%m-%dT%H:%M}" for at in stories.around(record, now))
    return {"start": start, "end": end}


@router.get("/alarms/{alarm}/curve")
def curve(request: Request, context: ContextOf, principal: Crew, alarm: str) -> Response:
    """The readings around it, with its thresholds as lines and its life as shaded stretches."""
    reader = reader_of(request, principal)
    with context.database.read() as connection:
        record = alarm_record(connection, context.library, principal.scope, alarm)
    drawn = stories.drawn(record) if record is not None else ()
    if record is None or record.profile is None or not drawn:
        raise not_found("curve of the alarm", alarm)
    found, start, end = record.alarm, *stories.around(record, reader.now)
    try:
        points = charts.history(
            context.telemetry,
            record.profile,
            device=found.device,
            child=found.child,
            metrics=drawn,
            params={},
            start=start,
            end=end,
            language=reader.language,
        )
    except TelemetryUnavailable as error:
        raise Problem(503, "no-history", str(error), "Try again; the telemetry store does not answer.") from error
    lines = [vars(line) for line in stories.lines(record, reader.t) if line.metric in drawn]
    return JSONResponse({**points, "thresholds": lines, "stretches": stories.shades(record, reader.now, reader.t)})


def _when(reader: Reader, zone: ZoneInfo) -> Callable[[datetime], str]:
    return lambda at: fmt.moment(at, zone, reader.t.locale, now=reader.now)


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
