"""Alarms: look at them, acknowledge them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from device_profiles.schema import Severity
from services.changes import Change
from services.rules import store
from services.rules.store import Alarm
from services.web.pagination import Cursor, Limit, Page, page_of
from services.web.problems import not_found
from services.web.security import ContextOf, Crew

router = APIRouter(prefix="/alarms", tags=["alarms"])

Id = Annotated[str | None, Query(max_length=200)]


@router.get("", summary="Alarms, newest first")
def list_alarms(
    context: ContextOf,
    principal: Crew,
    site: Id = None,
    device: Id = None,
    state: Literal["active", "cleared"] | None = None,
    severity: Annotated[list[Severity] | None, Query(max_length=10)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Alarm]:
    with context.database.read() as connection:
        found = store.list_alarms(
            connection,
            principal.scope,
            site=site,
            device=device,
            state=state,
            severity=severity or (),
            limit=limit + 1,
            before=cursor,
        )
    return page_of(found, limit, lambda alarm: alarm.id)


@router.get("/{alarm}", summary="One alarm, with the reason it was raised for")
def get_alarm(context: ContextOf, principal: Crew, alarm: str) -> Alarm:
    with context.database.read() as connection:
        found = store.get_alarm(connection, principal.scope, alarm)
    if found is None:
        raise not_found("alarm", alarm)
    return found


@router.post("/{alarm}/acknowledge", summary="Say that somebody has seen it")
def acknowledge(context: ContextOf, principal: Crew, alarm: str) -> Alarm:
    """The first who acknowledges stays on record; again changes nothing. Acknowledging neither clears nor closes."""
    with context.database.write() as connection:
        found = store.acknowledge_alarm(connection, principal.scope, alarm, by=principal.login, now=context.clock.now())
    context.changes.publish([Change("alarm", found.id, found.site)])
    return found
