"""Alarms: look at them, acknowledge them, snooze them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field, model_validator

from device_profiles.schema import Severity
from services.context import Context
from services.rules import store
from services.rules.desk import AlarmDesk
from services.rules.snooze import Length, snoozed_until
from services.rules.store import Alarm, Decision
from services.sites import store as sites
from services.web.pagination import Cursor, Limit, Page, page_of
from services.web.problems import not_found
from services.web.security import ContextOf, Crew, Principal

router = APIRouter(prefix="/alarms", tags=["alarms"])

Id = Annotated[str | None, Query(max_length=200)]


@router.get("", summary="Alarms, newest first")
def list_alarms(
    context: ContextOf,
    principal: Crew,
    site: Id = None,
    device: Id = None,
    state: Literal["active", "suppressed", "cleared"] | None = None,
    under: Annotated[
        str | None, Query(max_length=64, description="Folded under this alarm; empty: only what stands on its own.")
    ] = None,
    flapping: Annotated[bool | None, Query(description="Those that flap, or those that do not.")] = None,
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
            under=under,
            flapping=flapping,
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
    return desk_of(context).acknowledge(principal.scope, alarm, by=principal.login)


class Snooze(BaseModel):
    """Either a length or a time."""

    length: Length | None = Field(None, description="`morning` is tomorrow at 08:00 on the clock of the site.")
    until: AwareDatetime | None = Field(None, examples=["2026-03-02T08:00:00+08:00"])

    @model_validator(mode="after")
    def _one_of_them(self) -> Snooze:
        if (self.length is None) is (self.until is None):
            raise ValueError("found both or neither, expected either `length` or `until`")
        return self


@router.post("/{alarm}/snooze", summary="Hear nothing more of it for a while")
def snooze(context: ContextOf, principal: Crew, alarm: str, wish: Snooze) -> Alarm:
    """It ends with the alarm: that it has cleared is told all the same. Meanwhile it goes no step up; at most
    a week."""
    return snooze_until(context, principal, alarm, wish.length, wish.until)


@router.post("/{alarm}/unsnooze", summary="Hear of it again")
def unsnooze(context: ContextOf, principal: Crew, alarm: str) -> Alarm:
    return desk_of(context).unsnooze(principal.scope, alarm, by=principal.login)


@router.get("/{alarm}/decisions", summary="What was decided about it, when and why")
def list_decisions(context: ContextOf, principal: Crew, alarm: str) -> list[Decision]:
    """Oldest first; `who` is null where it was Courtyard itself."""
    with context.database.read() as connection:
        if store.get_alarm(connection, principal.scope, alarm) is None:
            raise not_found("alarm", alarm)
        return store.decisions_about(connection, alarm)


def desk_of(context: Context) -> AlarmDesk:
    return AlarmDesk(database=context.database, intake=context.intake, clock=context.clock)


def snooze_until(
    context: Context, principal: Principal, alarm: str, length: Length | None, until: datetime | None = None
) -> Alarm:
    """Raises NotFound, SnoozeRefused."""
    desk, now = desk_of(context), context.clock.now()
    found = desk.get(principal.scope, alarm)
    if length is not None:
        with context.database.read() as connection:
            site = sites.get_site(connection, principal.scope, found.site)
        until = snoozed_until(length, now, ZoneInfo(site.timezone if site else "UTC"))
    assert until is not None, "the caller gives one of the two"
    return desk.snooze(principal.scope, alarm, until=until, by=principal.login)
