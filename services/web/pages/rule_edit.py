"""How a rule is changed: the form, the preview of what it would have done, and shipping it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from services.backtest.jobs import MOST_WAITING, TooManyJobs
from services.context import Context
from services.rulebook.api import desk_of, start_preview
from services.rulebook.desk import BookMistakes, PreviewNeeded, Shipping
from services.rulebook.diff import compare
from services.rulebook.edit import Target, edited, standing
from services.rulebook.previews import Preview
from services.rules import book_store
from services.rules.book import RuleBook
from services.rules.book_store import BookMoved, Version
from services.sites.store import Site
from services.web.pages.again import shown_again, typed_before
from services.web.pages.render import reader_of, render, zone_of
from services.web.pages.rule_place import (
    DeviceId,
    Id,
    SiteId,
    address_of,
    also_read_by,
    as_in,
    devices_of,
    differences_at,
    place_of,
    profile_of,
    without_change,
)
from services.web.problems import not_found
from services.web.security import ContextOf, Engineer, Principal
from services.web.views import backtest as backtest_view
from services.web.views import rule_previews
from services.web.views import rules as view
from services.web.views.adoption import typed as typed_in
from services.web.views.mistake_words import NOTHING_CHANGED, mistake_said
from services.web.views.rule_rows import folded, grade_rows, schedule_rows
from services.web.views.rule_vocabulary import vocabulary_of

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
    full: bool = False,
) -> Response:
    """The form; or the form again with what was typed, and what is to be mended beside each field."""
    target = Target(profile, rule, device)
    typed = typed_before(request.query_params)
    judged = _judged(context, principal, site, target, typed) if typed else None
    if judged is not None and full and not judged.mistakes:
        judged.mistakes[""] = str(TooManyJobs(judged.site.id, MOST_WAITING))
    return _edit_page(request, context, principal, site, target, typed, judged)


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
    """Check what was typed and begin its backtest; or back to the form, for somebody else where that is asked."""
    typed = typed_in(await request.form())
    typed.pop("csrf", None)
    target = Target(profile, rule, device)
    act, change_for = typed.pop("act", ""), typed.pop("change_for", device)
    if act == "show":
        other = Target(profile, rule, change_for.strip()[:64])
        return await run_in_threadpool(_show_for, request, context, principal, site, target, other, typed)
    return await run_in_threadpool(_try, request, context, principal, site, target, typed)


@dataclass(frozen=True)
class _Judged:
    """What somebody typed, as it would be now."""

    site: Site
    newest: Version
    book: RuleBook
    mistakes: dict[str, str]
    """Field -> what is wrong, in English; "" of the whole."""
    moved: BookMoved | None


def _judged(context: Context, principal: Principal, site: str, target: Target, typed: dict[str, str]) -> _Judged:
    place, _ = place_of(context, principal, site)
    began_with = int(typed.get("version", "")) if typed.get("version", "").isdecimal() else -1
    newest = desk_of(context).newest(principal.scope, place.id)
    otherwise = as_in(context, place, without_change(context, place, newest, target), newest.version, target)
    found = edited(newest.book, target, profile_of(context, target), folded(typed), otherwise)
    moved = BookMoved(place.id, began_with, newest) if newest.version != began_with else None
    mistakes = dict(found.mistakes)
    if not mistakes and moved is None:
        mistakes |= _of_the_whole(context, principal, place, newest, found.book)
    return _Judged(place, newest, found.book, mistakes, moved)


def _of_the_whole(
    context: Context, principal: Principal, place: Site, newest: Version, book: RuleBook
) -> dict[str, str]:
    if book_store.content_of(book) == book_store.content_of(newest.book):
        return {"": NOTHING_CHANGED}
    try:
        desk_of(context).check(principal.scope, place.id, newest.version, book)
    except BookMistakes as error:
        return {"": str(error)}
    return {}


def _try(
    request: Request, context: Context, principal: Principal, site: str, target: Target, typed: dict[str, str]
) -> Response:
    judged = _judged(context, principal, site, target, typed)
    if judged.mistakes or judged.moved:
        return _again(request, context, principal, target, typed, judged)
    try:
        asked = start_preview(context, principal, judged.site.id, judged.newest.version, judged.book)
    except TooManyJobs as error:
        judged.mistakes[""] = str(error)
        return _again(request, context, principal, target, typed, judged, full="true")
    query = urlencode({"site": judged.site.id, **target._asdict()})
    return RedirectResponse(f"/rules/previews/{asked.id}?{query}", status_code=303)


def _show_for(
    request: Request,
    context: Context,
    principal: Principal,
    site: str,
    target: Target,
    other: Target,
    typed: dict[str, str],
) -> Response:
    """The form for another device, or for the whole site; what was changed in it goes along, and nothing else does."""
    place, _ = place_of(context, principal, site)
    newest = desk_of(context).newest(principal.scope, place.id)
    before, there = (standing(as_in(context, place, newest.book, newest.version, one)) for one in (target, other))
    changed = {name: text for name, text in folded(typed).items() if name in before and text != before[name]}
    if not changed:
        return RedirectResponse(address_of(other, place, "edit"), status_code=303)
    carried = {**there, **changed, "version": typed.get("version", "")}
    return _again(request, context, principal, other, carried, _judged(context, principal, site, other, carried))


def _again(
    request: Request,
    context: Context,
    principal: Principal,
    target: Target,
    typed: dict[str, str],
    judged: _Judged,
    **why: str,
) -> Response:
    """The form with what was typed, at an address of its own."""
    path = address_of(target, judged.site, "edit").partition("?")[0]
    query = {"site": judged.site.id, **({"device": target.device} if target.device else {}), **why}
    found = shown_again(path, query, typed)
    return found or _edit_page(request, context, principal, judged.site.id, target, typed, judged)


def _edit_page(
    request: Request,
    context: Context,
    principal: Principal,
    site: str,
    target: Target,
    typed: dict[str, str],
    judged: _Judged | None,
) -> Response:
    reader = reader_of(request, principal)
    place, _ = place_of(context, principal, site)
    newest = desk_of(context).newest(principal.scope, place.id)
    now = as_in(context, place, newest.book, newest.version, target)
    moved = judged.moved if judged is not None else None
    with context.database.read() as connection:
        here = devices_of(connection, place.id, target.profile, reader)
        before = book_store.get_version(connection, place.id, moved.expected) if moved else None
    meanwhile = compare(before.book if before else RuleBook(), newest.book) if moved else []
    profile, values = profile_of(context, target), {**standing(now), **typed}
    return render(
        request,
        "rule_edit.html",
        reader,
        status=200 if judged is None or request.method == "GET" else 409 if moved else 422,
        site=place,
        zone=zone_of(place.timezone),
        target=target,
        rule=now,
        name=now.name.in_(reader.language),
        version=newest.version,
        values=values,
        grade_rows=grade_rows(values),
        schedule_rows=schedule_rows(values),
        weekdays=view.WEEKDAYS,
        mistakes=view.mistakes(judged.mistakes, reader.t) if judged is not None else {},
        thresholds=list(view.threshold_fields(now, also_read_by(context, place, target, reader), reader.t)),
        vocabulary=vocabulary_of(profile, now, reader.t),
        modes=view.MODES,
        devices=here,
        moved=moved,
        meanwhile=differences_at(context, place, before.book if before else RuleBook(), newest.book, meanwhile, reader),
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
        shipped = desk_of(context).ship(
            principal.scope, place.id, shipping, by=principal.login, now=context.clock.now()
        )
    except BookMoved:
        typed = standing(as_in(context, place, book, tried.began_with, target)) | {"version": str(tried.began_with)}
        judged = _judged(context, principal, site, target, typed)
        return _again(request, context, principal, target, typed, judged)
    except (BookMistakes, PreviewNeeded) as error:
        return _preview_page(request, context, principal, preview, site, target, mistake=str(error))
    return RedirectResponse(f"{address_of(target, place)}&shipped={shipped.version}", status_code=303)


@router.post("/previews/{preview}/cancel")
def cancel(
    context: ContextOf,
    principal: Engineer,
    preview: Id,
    site: SiteId = "",
    profile: SiteId = "",
    rule: SiteId = "",
    device: DeviceId = "",
) -> Response:
    place, _ = place_of(context, principal, site)
    context.jobs.cancel(_tried(context, place, preview).id)
    query = urlencode({"site": place.id, **Target(profile, rule, device)._asdict()})
    return RedirectResponse(f"/rules/previews/{preview}?{query}", status_code=303)


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
        lines=rule_previews.compared(tried, reader.t) if tried.report else [],
        rules=rule_previews.compared_rules(tried, reader.language) if tried.report else [],
        notes=[one.text.in_(reader.language) for one in tried.report.notes] if tried.report else [],
        drawn=backtest_view.drawn(tried.report, context.library, reader.language) if tried.report else [],
        differences=differences_at(context, place, old.book, new, compare(old.book, new), reader),
        ahead=context.jobs.ahead_of(tried),
        error=mistake_said(tried.error, reader.t),
        mistake=mistake_said(mistake, reader.t),
    )


def _tried(context: Context, place: Site, id: str) -> Preview:
    found = context.jobs.get(id, Preview)
    if found is None or found.site != place.id:
        raise not_found("preview", id)
    return found
