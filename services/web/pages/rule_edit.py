"""How a rule is changed: the form, the preview of what it would have done, and shipping it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from services.backtest.jobs import TooManyJobs
from services.context import Context
from services.rulebook.api import desk_of, start_preview
from services.rulebook.desk import BookMistakes, PreviewNeeded, Shipping
from services.rulebook.diff import compare
from services.rulebook.edit import Target, edited, standing
from services.rulebook.previews import Preview
from services.rules import book_store
from services.rules.book import RuleBook
from services.rules.book_store import BookMoved
from services.sites.store import Site
from services.web.pages.render import reader_of, render, zone_of
from services.web.pages.rule_place import (
    DeviceId,
    Id,
    SiteId,
    address_of,
    also_read_by,
    as_in,
    devices_of,
    place_of,
    profile_of,
    profiles_at,
    without_change,
)
from services.web.problems import not_found
from services.web.security import ContextOf, Engineer, Principal
from services.web.views import backtest as backtest_view
from services.web.views import rules as view
from services.web.views.adoption import typed as typed_in

router = APIRouter(prefix="/rules", include_in_schema=False)


@router.get("/{profile}/{rule}/edit")
def edit(
    request: Request,
    context: ContextOf,
    principal: Engineer,
    profile: Id,
    rule: Id,
    site: SiteId = "",
    device: DeviceId = "",
) -> Response:
    return _edit_page(request, context, principal, site, Target(profile, rule, device))


@router.post("/{profile}/{rule}/edit")
async def try_it(
    request: Request,
    context: ContextOf,
    principal: Engineer,
    profile: Id,
    rule: Id,
    site: SiteId = "",
    device: DeviceId = "",
) -> Response:
    """Check what was typed and begin its backtest; or the form again, with what is to be mended beside each field."""
    typed = typed_in(await request.form())
    target = Target(profile, rule, device)
    return await run_in_threadpool(_try, request, context, principal, site, target, typed)


def _try(
    request: Request, context: Context, principal: Principal, site: str, target: Target, typed: dict[str, str]
) -> Response:
    place, _ = place_of(context, principal, site)
    began_with = int(typed.get("version", "")) if typed.get("version", "").isdecimal() else -1
    newest = desk_of(context).newest(principal.scope, place.id)
    if newest.version != began_with:
        moved = BookMoved(place.id, began_with, newest)
        return _edit_page(request, context, principal, site, target, typed=typed, moved=moved)
    found = edited(
        newest.book,
        target,
        profile_of(context, target),
        typed,
        as_in(context, place, without_change(context, place, newest, target), newest.version, target),
    )
    mistakes = dict(found.mistakes)
    if not mistakes and book_store.content_of(found.book) == book_store.content_of(newest.book):
        mistakes[""] = reader_of(request, principal).t.gettext("Nothing has been changed.")
    if not mistakes:
        try:
            asked = start_preview(context, principal, place.id, began_with, found.book)
        except (BookMistakes, TooManyJobs) as error:
            mistakes[""] = str(error)
        else:
            query = urlencode({"site": place.id, **target._asdict()})
            return RedirectResponse(f"/rules/previews/{asked.id}?{query}", status_code=303)
    return _edit_page(request, context, principal, site, target, typed=typed, mistakes=mistakes)


def _edit_page(
    request: Request,
    context: Context,
    principal: Principal,
    site: str,
    target: Target,
    *,
    typed: dict[str, str] | None = None,
    mistakes: dict[str, str] | None = None,
    moved: BookMoved | None = None,
) -> Response:
    reader = reader_of(request, principal)
    place, _ = place_of(context, principal, site)
    newest = desk_of(context).newest(principal.scope, place.id)
    now = as_in(context, place, newest.book, newest.version, target)
    with context.database.read() as connection:
        here = devices_of(connection, place.id, target.profile, reader)
        before = book_store.get_version(connection, place.id, moved.expected) if moved else None
        by_device = profiles_at(connection, place.id)
    meanwhile = compare(before.book if before else RuleBook(), newest.book) if moved else []
    return render(
        request,
        "rule_edit.html",
        reader,
        status=409 if moved else 422 if mistakes else 200,
        site=place,
        zone=zone_of(place.timezone),
        target=target,
        rule=now,
        name=now.name.in_(reader.language),
        version=newest.version,
        values={**standing(now), **(typed or {})},
        mistakes=mistakes or {},
        thresholds=list(view.threshold_fields(now, also_read_by(context, place, target, reader), reader.t)),
        modes=view.MODES,
        devices=here,
        moved=moved,
        meanwhile=view.differences(meanwhile, context.library, by_device, reader.t),
        back=address_of(target, place),
        action=address_of(target, place, "edit"),
    )


# --- the preview ----------------------------------------------------------------------------------------------------


@router.get("/previews/{preview}")
def preview(
    request: Request,
    context: ContextOf,
    principal: Engineer,
    preview: Id,
    site: SiteId = "",
    profile: SiteId = "",
    rule: SiteId = "",
    device: DeviceId = "",
) -> Response:
    """How the backtest of a change fares, and what it found; from here it is shipped."""
    if "hx-request" in request.headers:
        place, _ = place_of(context, principal, site)
        if _tried(context, place, preview).is_over:
            return Response(headers={"HX-Refresh": "true"})  # the curves need their scripts
    return _preview_page(request, context, principal, preview, site, Target(profile, rule, device))


@router.post("/previews/{preview}/ship")
def ship(
    request: Request,
    context: ContextOf,
    principal: Engineer,
    preview: Id,
    site: SiteId = "",
    profile: SiteId = "",
    rule: SiteId = "",
    device: DeviceId = "",
    note: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    target = Target(profile, rule, device)
    place, _ = place_of(context, principal, site)
    tried = _tried(context, place, preview)
    book, _ = book_store.read_content(tried.content)
    shipping = Shipping(began_with=tried.began_with, book=book, note=note, preview=tried)
    try:
        desk_of(context).ship(principal.scope, place.id, shipping, by=principal.login, now=context.clock.now())
    except BookMoved as moved:
        typed = standing(as_in(context, place, book, tried.began_with, target))
        return _edit_page(request, context, principal, site, target, typed=typed, moved=moved)
    except (BookMistakes, PreviewNeeded) as error:
        return _preview_page(request, context, principal, preview, site, target, mistake=str(error))
    return RedirectResponse(address_of(target, place), status_code=303)


def _preview_page(
    request: Request,
    context: Context,
    principal: Principal,
    preview: str,
    site: str,
    target: Target,
    mistake: str = "",
) -> Response:
    reader = reader_of(request, principal)
    place, _ = place_of(context, principal, site)
    tried = _tried(context, place, preview)
    old = desk_of(context).version(principal.scope, place.id, tried.began_with)
    new, _ = book_store.read_content(tried.content)
    with context.database.read() as connection:
        by_device = profiles_at(connection, place.id)
    return render(
        request,
        "rule_preview.html",
        reader,
        status=422 if mistake else 200,
        site=place,
        zone=zone_of(place.timezone),
        zone_name=place.timezone,
        preview=tried,
        target=target,
        query=urlencode({"site": place.id, **target._asdict()}),
        back=f"{address_of(target, place, 'edit')}",
        lines=view.compared(tried, reader.t) if tried.report else [],
        rules=view.compared_rules(tried, reader.language) if tried.report else [],
        notes=[one.text.in_(reader.language) for one in tried.report.notes] if tried.report else [],
        drawn=backtest_view.drawn(tried.report, context.library, reader.language) if tried.report else [],
        differences=view.differences(compare(old.book, new), context.library, by_device, reader.t),
        mistake=mistake,
    )


def _tried(context: Context, place: Site, id: str) -> Preview:
    found = context.jobs.get(id, Preview)
    if found is None or found.site != place.id:
        raise not_found("preview", id)
    return found
