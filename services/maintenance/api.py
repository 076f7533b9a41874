"""Maintenance windows: plan one, look at them, end one early, take one back."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from services.context import Context
from services.maintenance.desk import MaintenanceDesk, Shown
from services.maintenance.planning import Wish
from services.web.pagination import Cursor, Limit, Page, page_of
from services.web.security import ContextOf, Crew, Engineer

router = APIRouter(prefix="/maintenance-windows", tags=["maintenance windows"])


class Opening(BaseModel):
    start: datetime
    end: datetime


class RepeatsBody(BaseModel):
    days: list[str]
    until: date


class WindowBody(BaseModel):
    """While it is open, data are kept and rules judge; alarms wait, and what is still wrong at its end is raised."""

    id: str = Field(description="Empty in a preview.")
    site: str
    title: str
    scope: dict[str, list[str]] = Field(description="buildings, families, devices; empty: the whole site.")
    starts_at: datetime
    ends_at: datetime
    repeats: RepeatsBody | None
    state: str = Field(description="open, planned, over or cancelled")
    devices: int = Field(description="How many it covers.")
    next: list[Opening] = Field(description="The next times it is open; the first may be now.")
    created_at: datetime
    created_by: str
    cancelled_at: datetime | None
    cancelled_by: str | None


@router.get("", summary="Maintenance windows, newest first")
def list_windows(
    context: ContextOf,
    principal: Crew,
    site: Annotated[str | None, Query(max_length=64)] = None,
    past: Annotated[bool, Query(description="Also those that are over.")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[WindowBody]:
    now = context.clock.now()
    found = desk_of(context).all(
        principal.scope, now, site=site, since=None if past else now, limit=limit + 1, before=cursor
    )
    return page_of([body(one) for one in found], limit, lambda one: one.id)


@router.post("", summary="Plan a maintenance window", status_code=201)
def add_window(context: ContextOf, principal: Engineer, wish: Wish) -> WindowBody:
    now = context.clock.now()
    return body(desk_of(context).add(principal.scope, wish, by=principal.login, now=now))


@router.post("/preview", summary="What it would cover, and when")
def preview_window(context: ContextOf, principal: Engineer, wish: Wish) -> WindowBody:
    """Nothing is written."""
    now = context.clock.now()
    return body(desk_of(context).preview(principal.scope, wish, by=principal.login, now=now))


@router.get("/{window}", summary="One maintenance window")
def get_window(context: ContextOf, principal: Crew, window: str) -> WindowBody:
    return body(desk_of(context).get(principal.scope, window, context.clock.now()))


@router.post("/{window}/end", summary="It is done before its time")
def end_window(context: ContextOf, principal: Engineer, window: str) -> WindowBody:
    """What is still wrong is raised now. One that recurs opens again on its next day."""
    now = context.clock.now()
    return body(desk_of(context).end(principal.scope, window, by=principal.login, now=now))


@router.post("/{window}/cancel", summary="Take it back")
def cancel_window(context: ContextOf, principal: Engineer, window: str) -> WindowBody:
    """If it is open it is over now; it never opens again."""
    now = context.clock.now()
    return body(desk_of(context).cancel(principal.scope, window, by=principal.login, now=now))


def desk_of(context: Context) -> MaintenanceDesk:
    return MaintenanceDesk(
        database=context.database, write=context.intake.change_rules, changes=context.changes, library=context.library
    )


def body(found: Shown) -> WindowBody:
    window = found.window
    return WindowBody(
        id=window.id,
        site=window.site,
        title=window.title,
        scope=window.scope.as_json(),
        starts_at=window.starts_at,
        ends_at=window.ends_at,
        repeats=None
        if window.repeats is None
        else RepeatsBody(days=window.repeats.as_json()["days"], until=window.repeats.until),
        state=found.state.value,
        devices=found.devices,
        next=[Opening(start=one.start, end=one.end) for one in found.next],
        created_at=window.created_at,
        created_by=window.created_by,
        cancelled_at=window.cancelled_at,
        cancelled_by=window.cancelled_by,
    )
