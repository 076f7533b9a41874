"""Maintenance windows: what is on and what comes, a new one with a look at what it would cover, and taking one back."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from services.accounts.policy import Role
from services.context import Context
from services.maintenance.api import desk_of
from services.maintenance.desk import Shown
from services.maintenance.planning import Mistake, State, WindowOver, WindowRefused
from services.sites import store as sites
from services.sites.store import Site
from services.web.pages.again import form_again
from services.web.pages.render import Reader, reader_of, render
from services.web.problems import not_found
from services.web.security import ContextOf, Crew, Engineer, Principal
from services.web.views import board
from services.web.views import maintenance as view
from services.web.views.maintenance import Typed

router = APIRouter(include_in_schema=False)
_ORDER = {State.OPEN: 0, State.PLANNED: 1, State.OVER: 2, State.CANCELLED: 2}
_PAGE = 100
_FORM = "/maintenance/new"


@router.get("/maintenance")
def windows(request: Request, context: ContextOf, principal: Crew, past: bool = False) -> Response:
    """What is on now first, then what comes; `past`: what is over, newest first."""
    reader = reader_of(request, principal)
    engineer = principal.narrowed(Role.ENGINEER).scope
    with context.database.read() as connection:
        places = {site.id: site for site in sites.list_sites(connection, principal.scope)}
        names = board.names_of(connection)
    found = desk_of(context).all(
        principal.scope, reader.now, since=None if past else reader.now, limit=_PAGE if past else None
    )
    wanted = [one for one in found if (_ORDER[one.state] == 2) is past]
    if not past:
        wanted.sort(key=lambda one: (_ORDER[one.state], one.next[0].start, one.window.id))
    rows = [
        view.row(
            one,
            places.get(one.window.site),
            names,
            reader.t,
            may_change=engineer is None or one.window.site in engineer,
        )
        for one in wanted
    ]
    return render(request, "maintenance.html", reader, rows=rows, past=past, several=len(places) > 1)


@router.get("/maintenance/new")
def new(
    request: Request,
    context: ContextOf,
    principal: Engineer,
    site: Annotated[str, Query(max_length=64)] = "",
    device: Annotated[str, Query(max_length=200)] = "",
    act: Annotated[Literal["", "preview", "check"], Query()] = "",
) -> Response:
    """The form; `device` is filled in where somebody comes from its page. `act`: with what was typed, looked at or
    refused: an answer to a POST could not be shown again."""
    if act:
        typed = view.typed_of(request.query_params)
        wrong = _refused(context, principal, typed) if act == "check" else []
        return _page(request, context, principal, typed, mistakes=wrong or None, looked=True)
    return _page(request, context, principal, Typed(site=site, devices=device))


@router.get("/maintenance/preview")
def preview(request: Request, context: ContextOf, principal: Engineer) -> Response:
    """What the form would make, while somebody fills it in."""
    reader = reader_of(request, principal)
    typed = view.typed_of(request.query_params)
    site = _site(context, principal, typed.site)
    shown, mistakes = _preview(context, principal, typed, site, reader)
    form = view.form_of(typed, site, desk_of(context).place(principal.scope, site.id), reader.t, mistakes)
    return render(request, "maintenance_preview.html", reader, shown=shown, wrong=form.wrong)


@router.post("/maintenance")
async def add(request: Request, context: ContextOf, principal: Engineer) -> Response:
    form = await request.form()
    typed = view.typed_of(form)
    said = [
        (name, value) for name, value in form.multi_items() if isinstance(value, str) and name not in ("csrf", "act")
    ]
    if form.get("act") == "preview" and (to := form_again(_FORM, said, "preview")):
        return to
    if form.get("act") == "preview":
        return await run_in_threadpool(_page, request, context, principal, typed, looked=True)
    return await run_in_threadpool(_add, request, context, principal, typed, said)


@router.post("/maintenance/{window}/end")
def end(context: ContextOf, principal: Engineer, window: str) -> Response:
    with suppress(WindowOver):  # somebody was faster, as the page shows
        desk_of(context).end(principal.scope, window, by=principal.login, now=context.clock.now())
    return RedirectResponse("/maintenance", status_code=303)


@router.post("/maintenance/{window}/cancel")
def cancel(context: ContextOf, principal: Engineer, window: str) -> Response:
    with suppress(WindowOver):
        desk_of(context).cancel(principal.scope, window, by=principal.login, now=context.clock.now())
    return RedirectResponse("/maintenance", status_code=303)


def _add(
    request: Request, context: Context, principal: Principal, typed: Typed, said: list[tuple[str, str]]
) -> Response:
    site, now = _site(context, principal, typed.site), context.clock.now()
    typed = view.at_site(typed, site.id)
    desk = desk_of(context)
    try:
        wish = view.wish_of(typed, desk.place(principal.scope, site.id).zone, now)
        desk.add(principal.scope, wish, by=principal.login, now=now)
    except WindowRefused as error:
        again = form_again(_FORM, said, "check") if _refused(context, principal, typed) else None
        return again or _page(request, context, principal, typed, mistakes=error.mistakes, status=422)
    return RedirectResponse("/maintenance", status_code=303)


def _refused(context: Context, principal: Principal, typed: Typed) -> list[Mistake]:
    """What is wrong with what was typed; not whether there are too many windows already."""
    site, now, desk = _site(context, principal, typed.site), context.clock.now(), desk_of(context)
    try:
        wish = view.wish_of(view.at_site(typed, site.id), desk.place(principal.scope, site.id).zone, now)
        desk.preview(principal.scope, wish, by=principal.login, now=now)
    except WindowRefused as error:
        return error.mistakes
    return []


def _page(
    request: Request,
    context: Context,
    principal: Principal,
    typed: Typed,
    *,
    mistakes: list[Mistake] | None = None,
    looked: bool = False,
    status: int = 200,
) -> Response:
    reader = reader_of(request, principal)
    with context.database.read() as connection:
        places = sites.list_sites(connection, principal.scope)
    if not places:
        raise not_found("site", typed.site)
    site = _site(context, principal, typed.site)
    typed = view.at_site(typed, site.id)
    shown: Shown | None = None
    if mistakes is None:
        shown, found = _preview(context, principal, typed, site, reader)
        mistakes = found if looked else []  # who has typed nothing yet has made no mistake
    place = desk_of(context).place(principal.scope, site.id)
    values: dict[str, Any] = {"form": view.form_of(typed, site, place, reader.t, mistakes), "sites": places}
    return render(
        request, "maintenance_new.html", reader, status, site=site, shown=shown, zone_name=site.timezone, **values
    )


def _preview(
    context: Context, principal: Principal, typed: Typed, site: Site, reader: Reader
) -> tuple[Shown | None, list[Mistake]]:
    desk = desk_of(context)
    # What it covers can be looked at before anybody has thought of its name.
    typed = view.at_site(typed, site.id, title=typed.title or "–")
    try:
        wish = view.wish_of(typed, desk.place(principal.scope, site.id).zone, reader.now)
        return desk.preview(principal.scope, wish, by=principal.login, now=reader.now), []
    except WindowRefused as error:
        return None, error.mistakes


def _site(context: Context, principal: Principal, id: str) -> Site:
    """The one that was asked for, or the first."""
    with context.database.read() as connection:
        found = sites.list_sites(connection, principal.scope)
    site = next((one for one in found if one.id == id), None) if id else next(iter(found), None)
    if site is None:
        raise not_found("site", id)
    return site
