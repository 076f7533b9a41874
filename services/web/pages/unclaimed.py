"""New devices: the list, adopting one, leaving one out; and what can be done about an adopted one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from services.adoption import store as new_devices
from services.adoption.api import desk_of
from services.adoption.model import Adoption, AdoptionConflict, AdoptionMistakes, Mistake, Place, Unclaimed
from services.context import Context
from services.sites import store
from services.sites.model import Address
from services.web.pages.render import reader_of, render, zone_of
from services.web.problems import not_found
from services.web.security import ContextOf, Engineer, Principal
from services.web.views import adoption as view

router = APIRouter(include_in_schema=False)
Id = Annotated[str, Path(max_length=200)]
SiteId = Annotated[str, Query(max_length=64)]
T = TypeVar("T")
_PAGE = 200


@router.get("/unclaimed")
def unclaimed(
    request: Request,
    context: ContextOf,
    principal: Engineer,
    ignored: bool = False,
    after: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Devices that were heard and have no place, or those that were left out."""
    reader = reader_of(request, principal)
    with context.database.read() as connection:
        found = new_devices.list_unclaimed(connection, principal.scope, ignored=ignored, limit=_PAGE + 1, after=after)
        sites = {site.id: site for site in store.list_sites(connection, principal.scope)}
    return render(
        request,
        "unclaimed.html",
        reader,
        rows=[view.row(one, context.library.get(one.profile), sites, reader.t) for one in found[:_PAGE]],
        more=found[_PAGE - 1].id if len(found) > _PAGE else "",
        ignored=ignored,
        zone=zone_of("UTC"),
    )


@router.get("/unclaimed/{device}")
def new_device(
    request: Request,
    context: ContextOf,
    principal: Engineer,
    device: Id,
    site: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """One new device, with the form that gives it its place."""
    return _adopt_page(request, context, principal, device, site=site)


@router.post("/unclaimed/{device}/adopt")
async def adopt(request: Request, context: ContextOf, principal: Engineer, device: Id) -> Response:
    typed = view.typed(await request.form())

    def act() -> Response:
        site = typed.get("site", "")
        try:
            found = _find(context, principal, device)
            said = Adoption.model_validate(
                {
                    **view.place_of(typed, context.library.get(found.profile)),
                    "site": site,
                    "id": typed.get("id") or None,
                }
            )
            if said.name is None:
                t = reader_of(request, principal).t
                raise AdoptionMistakes(
                    [Mistake("", t.gettext("The name is missing: what people call it, such as Pump 2."), "")]
                )
            now = context.clock.now()
            adopted = desk_of(context).adopt(principal.scope, device, said, by=principal.login, now=now)
        except (AdoptionMistakes, AdoptionConflict, ValidationError) as error:
            return _adopt_page(
                request, context, principal, device, site=site, typed=typed, mistakes=_mistakes(error), status=422
            )
        return RedirectResponse(f"/devices/{adopted.id}", status_code=303)

    return await run_in_threadpool(act)


def _mistakes(error: Exception) -> list[Mistake]:
    if isinstance(error, AdoptionMistakes):
        return error.mistakes
    if isinstance(error, ValidationError):
        return [
            Mistake(".".join(map(str, one["loc"])), repr(one["input"])[:60], one["msg"]) for one in error.errors()[:20]
        ]
    return [Mistake("", str(error), getattr(error, "next_step", ""))]


@router.post("/unclaimed/{device}/ignore")
def ignore(context: ContextOf, principal: Engineer, device: Id) -> Response:
    desk_of(context).ignore(principal.scope, device, by=principal.login, now=context.clock.now())
    return RedirectResponse("/unclaimed", status_code=303)


@router.post("/unclaimed/{device}/unignore")
def unignore(context: ContextOf, principal: Engineer, device: Id) -> Response:
    desk_of(context).unignore(principal.scope, device, by=principal.login, now=context.clock.now())
    return RedirectResponse("/unclaimed", status_code=303)


@router.post("/unclaimed/{device}/forget")
def forget(context: ContextOf, principal: Engineer, device: Id) -> Response:
    desk_of(context).forget(principal.scope, device, by=principal.login, now=context.clock.now())
    return RedirectResponse("/unclaimed", status_code=303)


# --- a device that has its place ------------------------------------------------------------------------------------


@router.get("/devices/{device}/place")
def place(request: Request, context: ContextOf, principal: Engineer, device: Id) -> Response:
    return _place_page(request, context, principal, device)


@router.post("/devices/{device}/place")
async def edit(request: Request, context: ContextOf, principal: Engineer, device: Id) -> Response:
    typed = view.typed(await request.form())

    def act(now: Any) -> None:
        found = _device(context, principal, device)
        said = Place.model_validate(view.place_of(typed, context.library.get(found.profile)))
        desk_of(context).edit(principal.scope, device, said, by=principal.login, now=now)

    return await run_in_threadpool(_try, request, context, principal, device, act, typed)


@router.post("/devices/{device}/replace")
def replace(
    request: Request, context: ContextOf, principal: Engineer, device: Id, address: Annotated[Address, Form()]
) -> Response:
    def act(now: Any) -> None:
        desk_of(context).replace(principal.scope, device, address.strip(), by=principal.login, now=now)

    return _try(request, context, principal, device, act, {})


@router.post("/devices/{device}/unadopt")
def unadopt(request: Request, context: ContextOf, principal: Engineer, device: Id) -> Response:
    try:
        found = desk_of(context).unadopt(principal.scope, device, by=principal.login, now=context.clock.now())
    except AdoptionConflict as error:
        return _place_page(request, context, principal, device, mistakes=_mistakes(error), status=409)
    return RedirectResponse(view.address_of(found), status_code=303)


def _try(
    request: Request,
    context: Context,
    principal: Principal,
    device: str,
    act: Callable[[Any], None],
    typed: dict[str, str],
) -> Response:
    """Act and show the device; or the form again with what is to be mended."""
    try:
        act(context.clock.now())
    except (AdoptionMistakes, AdoptionConflict, ValidationError) as error:
        return _place_page(
            request, context, principal, device, typed=typed or None, mistakes=_mistakes(error), status=422
        )
    return RedirectResponse(f"/devices/{device}", status_code=303)


def _find(context: Context, principal: Principal, device: str) -> Unclaimed:
    with context.database.read() as connection:
        found = new_devices.get_unclaimed(connection, principal.scope, device)
    if found is None:
        raise not_found("new device", device)
    return found


def _device(context: Context, principal: Principal, device: str) -> store.Device:
    with context.database.read() as connection:
        found = store.get_device(connection, principal.scope, device)
    if found is None or found.site is None or found.retired_at is not None:
        raise not_found("device", device)
    return found


def _adopt_page(
    request: Request,
    context: Context,
    principal: Principal,
    device: str,
    *,
    site: str,
    typed: dict[str, str] | None = None,
    mistakes: list[Mistake] | None = None,
    status: int = 200,
) -> Response:
    reader = reader_of(request, principal)
    found = _find(context, principal, device)
    profile = context.library.get(found.profile)
    with context.database.read() as connection:
        sites = {one.id: one for one in store.list_sites(connection, principal.scope)}
        chosen = next((id for id in (site, found.suggestion.site, *sites) if id in sites), None)
        form = view.form(connection, sites[chosen], profile, reader.t, typed, view.suggested(found)) if chosen else None
    return render(
        request,
        "adopt.html",
        reader,
        status=status,
        row=view.row(found, profile, sites, reader.t),
        sites=sites,
        form=form,
        mistakes=mistakes or [],
        zone=zone_of(sites[chosen].timezone if chosen else "UTC"),
    )


def _place_page(
    request: Request,
    context: Context,
    principal: Principal,
    device: str,
    *,
    typed: dict[str, str] | None = None,
    mistakes: list[Mistake] | None = None,
    status: int = 200,
) -> Response:
    reader = reader_of(request, principal)
    found = _device(context, principal, device)
    profile = context.library.get(found.profile)
    with context.database.read() as connection:
        site = store.get_site(connection, principal.scope, found.site or "")
        assert site is not None, "a device in scope stands in a site in scope"
        form = view.form(connection, site, profile, reader.t, typed, view.standing(connection, found), own=found.id)
        waiting = [
            one
            for one in new_devices.list_unclaimed(connection, principal.scope, limit=_PAGE)
            if one.profile == found.profile
        ]
    return render(
        request,
        "place.html",
        reader,
        status=status,
        device=found,
        name=found.name.in_(reader.language),
        site=site,
        form=form,
        waiting=waiting,
        mistakes=mistakes or [],
        zone=zone_of(site.timezone),
    )
