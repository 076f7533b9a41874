"""The rules of a site: what runs, why a rule says what it says, and how it is changed: edited, tried, shipped."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool

from services.accounts.policy import Role
from services.context import Context
from services.rulebook.api import desk_of, start_preview
from services.rulebook.desk import BookMistakes, PreviewNeeded, Shipping
from services.rulebook.diff import compare
from services.rulebook.edit import Target, edited, standing, without
from services.rulebook.explain import explain
from services.rulebook.previews import Preview, TooManyPreviews
from services.rulebook.rules import SiteRule, SiteRules, read_rule, rule_at, rules_of
from services.rules import book_store
from services.rules.book import RuleBook
from services.rules.book_store import BookMoved, Version
from services.rules.effective import BookInForce, Effective
from services.rules.in_force import effective_rules
from services.rules.store import list_alarms
from services.scope import NotFound
from services.sites import store
from services.sites.store import Site
from services.tables import devices
from services.web.pages import format as fmt
from services.web.pages.render import Reader, reader_of, render, zone_of
from services.web.problems import not_found
from services.web.security import ContextOf, Crew, Engineer, Principal
from services.web.views import backtest as backtest_view
from services.web.views import board
from services.web.views import rules as view
from services.web.views.adoption import typed as typed_in

router = APIRouter(prefix="/rules", include_in_schema=False)
SiteId = Annotated[str, Query(max_length=64)]
DeviceId = Annotated[str, Query(max_length=64)]
Id = Annotated[str, Path(max_length=64)]
VersionNumber = Annotated[int, Path(ge=0, le=2**31 - 1)]
_SHOWN = 50


@router.get("")
def rules(request: Request, context: ContextOf, principal: Crew, site: SiteId = "", problems: bool = False) -> Response:
    """Every rule of a site by profile, or only those that something is wrong with."""
    reader = reader_of(request, principal)
    place, sites = _place(context, principal, site)
    found = _rules(context, place)
    shown = [one for one in found.rules if one.problems or not problems]
    return render(
        request,
        "rules.html",
        reader,
        site=place,
        sites=sites,
        zone=zone_of(place.timezone),
        version=found.version,
        groups=view.groups(shown, context.library, reader.t, _when(reader, place)),
        only_problems=problems,
        with_problems=sum(1 for one in found.rules if one.problems),
        site_problems=view.site_problems(found.problems, reader.t, _when(reader, place)),
        may_edit=principal.may(Role.ENGINEER, place.id),
    )


# --- versions -------------------------------------------------------------------------------------------------------


@router.get("/versions")
def versions(
    request: Request,
    context: ContextOf,
    principal: Crew,
    site: SiteId = "",
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> Response:
    reader = reader_of(request, principal)
    place, _ = _place(context, principal, site)
    found = desk_of(context).versions(principal.scope, place.id, limit=_SHOWN + 1, before=before)
    with context.database.read() as connection:
        names = board.names_of(connection)
    return render(
        request,
        "rule_versions.html",
        reader,
        site=place,
        zone=zone_of(place.timezone),
        versions=found[:_SHOWN],
        newest=desk_of(context).newest(principal.scope, place.id).version,
        more=found[_SHOWN - 1].version if len(found) > _SHOWN else 0,
        names=names,
    )


@router.get("/versions/{version}")
def version(
    request: Request,
    context: ContextOf,
    principal: Crew,
    version: VersionNumber,
    site: SiteId = "",
    against: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
) -> Response:
    """What it changed, or how it differs from any other."""
    return _version_page(request, context, principal, site, version, against)


@router.post("/versions/{version}/rollback")
def rollback(
    request: Request,
    context: ContextOf,
    principal: Engineer,
    version: VersionNumber,
    began_with: Annotated[int, Form(ge=0, le=2**31 - 1)],
    site: SiteId = "",
    note: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    try:
        desk_of(context).rollback(
            principal.scope,
            site,
            version,
            began_with=began_with,
            note=note,
            by=principal.login,
            now=context.clock.now(),
        )
    except (BookMoved, BookMistakes) as error:
        return _version_page(request, context, principal, site, version, None, mistake=str(error))
    return RedirectResponse(f"/rules/versions?{urlencode({'site': site})}", status_code=303)


def _version_page(
    request: Request,
    context: Context,
    principal: Principal,
    site: str,
    version: int,
    against: int | None,
    mistake: str = "",
) -> Response:
    reader = reader_of(request, principal)
    place, _ = _place(context, principal, site)
    desk = desk_of(context)
    after = desk.version(principal.scope, place.id, version)
    newest = desk.newest(principal.scope, place.id)
    if against is None:  # nothing stands before version 0: there the question is what has become of it
        against = version - 1 if version else newest.version
    before = desk.version(principal.scope, place.id, against)
    with context.database.read() as connection:
        names, by_device = board.names_of(connection), _profiles(connection, place.id)
    return render(
        request,
        "rule_version.html",
        reader,
        status=409 if mistake else 200,
        site=place,
        zone=zone_of(place.timezone),
        version=after,
        against=before,
        newest=newest.version,
        in_force=newest.content,
        names=names,
        mistake=mistake,
        differences=view.differences(compare(before.book, after.book), context.library, by_device, reader.t),
        may_edit=principal.may(Role.ENGINEER, place.id),
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
        place, _ = _place(context, principal, site)
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
    place, _ = _place(context, principal, site)
    tried = _tried(context, place, preview)
    book, _ = book_store.read_content(tried.content)
    shipping = Shipping(began_with=tried.began_with, book=book, note=note, preview=tried)
    try:
        desk_of(context).ship(principal.scope, place.id, shipping, by=principal.login, now=context.clock.now())
    except BookMoved as moved:
        typed = standing(_as_in(context, place, book, tried.began_with, target))
        return _edit_page(request, context, principal, site, target, typed=typed, moved=moved)
    except (BookMistakes, PreviewNeeded) as error:
        return _preview_page(request, context, principal, preview, site, target, mistake=str(error))
    return RedirectResponse(_address(target, place), status_code=303)


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
    place, _ = _place(context, principal, site)
    tried = _tried(context, place, preview)
    old = desk_of(context).version(principal.scope, place.id, tried.began_with)
    new, _ = book_store.read_content(tried.content)
    with context.database.read() as connection:
        by_device = _profiles(connection, place.id)
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
        back=f"{_address(target, place, 'edit')}",
        lines=view.compared(tried, reader.t) if tried.report else [],
        rules=view.compared_rules(tried, reader.language) if tried.report else [],
        notes=[one.text.in_(reader.language) for one in tried.report.notes] if tried.report else [],
        drawn=backtest_view.drawn(tried.report, context.library, reader.language) if tried.report else [],
        differences=view.differences(compare(old.book, new), context.library, by_device, reader.t),
        mistake=mistake,
    )


def _tried(context: Context, place: Site, id: str) -> Preview:
    found = context.previews.get(id)
    if found is None or found.site != place.id:
        raise not_found("preview", id)
    return found


# --- one rule -------------------------------------------------------------------------------------------------------


@router.get("/{profile}/{rule}")
def rule(
    request: Request,
    context: ContextOf,
    principal: Crew,
    profile: Id,
    rule: Id,
    site: SiteId = "",
    device: DeviceId = "",
) -> Response:
    """It explains itself: condition with its values, delays, where the threshold comes from, what it has raised."""
    reader = reader_of(request, principal)
    place, _ = _place(context, principal, site)
    found = _rules(context, place)
    shown = _shown(context, found, place, Target(profile, rule, device))
    schema = context.library[profile]
    own = next(one for one in schema.rules if one.id == rule)
    with context.database.read() as connection:
        here = _of_profile(connection, place.id, profile, reader)
        episodes = list_alarms(
            connection,
            frozenset({place.id}),
            site=place.id,
            device=device or None,
            rule=(profile, rule),
            limit=_SHOWN,
        )
        now = _explained(connection, context, place, rule, device) if device else []
    words = view.words_of(shown, schema, reader.t)
    return render(
        request,
        "rule.html",
        reader,
        site=place,
        zone=zone_of(place.timezone),
        target=Target(profile, rule, device),
        row=view.row(shown, schema, reader.t, _when(reader, place)),
        rule=shown,
        own=own,
        rule_words=words,
        version=found.version,
        tests=view.tests(own, reader.t),
        clear_for=timedelta(seconds=shown.clear_for_seconds),
        clears=words.condition(shown.clear_when) if shown.clear_when else "",
        grades=view.grades(own.grades, words, reader.t),
        hours=view.hours(own.schedule, reader.t),
        episodes=episodes,
        labels={one.id: board.label_of(one.profile, one.child, context.library, reader.language) for one in episodes},
        devices=here,
        device_name=here.get(device, device),
        now_of=[(one, view.names(one, schema, reader.t)) for one in now],
        phases=view.PHASES,
        holds=view.HOLDS,
        ticket=schema.tickets[own.ticket].title.in_(reader.language) if own.ticket else "",
        query=urlencode({"site": place.id, **({"device": device} if device else {})}),
        may_edit=principal.may(Role.ENGINEER, place.id),
    )


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
    place, _ = _place(context, principal, site)
    began_with = int(typed.get("version", "")) if typed.get("version", "").isdecimal() else -1
    newest = desk_of(context).newest(principal.scope, place.id)
    if newest.version != began_with:
        moved = BookMoved(place.id, began_with, newest)
        return _edit_page(request, context, principal, site, target, typed=typed, moved=moved)
    found = edited(
        newest.book,
        target,
        _profile(context, target),
        typed,
        _as_in(context, place, _without(context, place, newest, target), newest.version, target),
    )
    mistakes = dict(found.mistakes)
    if not mistakes and book_store.content_of(found.book) == book_store.content_of(newest.book):
        mistakes[""] = reader_of(request, principal).t.gettext("Nothing has been changed.")
    if not mistakes:
        try:
            asked = start_preview(context, principal, place.id, began_with, found.book)
        except (BookMistakes, TooManyPreviews) as error:
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
    place, _ = _place(context, principal, site)
    newest = desk_of(context).newest(principal.scope, place.id)
    now = _as_in(context, place, newest.book, newest.version, target)
    with context.database.read() as connection:
        here = _of_profile(connection, place.id, target.profile, reader)
        before = book_store.get_version(connection, place.id, moved.expected) if moved else None
        by_device = _profiles(connection, place.id)
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
        thresholds=list(view.threshold_fields(now, _others(context, place, target, reader), reader.t)),
        modes=view.MODES,
        devices=here,
        moved=moved,
        meanwhile=view.differences(meanwhile, context.library, by_device, reader.t),
        back=_address(target, place),
        action=_address(target, place, "edit"),
    )


# --- together -------------------------------------------------------------------------------------------------------


def _place(context: Context, principal: Principal, site: str) -> tuple[Site, dict[str, Site]]:
    """The site asked for, or the first; raises NotFound."""
    with context.database.read() as connection:
        sites = {one.id: one for one in store.list_sites(connection, principal.scope)}
    found = sites.get(site or next(iter(sites), ""))
    if found is None:
        raise NotFound("site", site)
    return found, sites


def _rules(context: Context, place: Site) -> SiteRules:
    with context.database.read() as connection:
        return rules_of(connection, context.library, place.id, context.clock.now(), context.intake.benched)


def _shown(context: Context, found: SiteRules, place: Site, target: Target) -> SiteRule:
    """The rule as the site has it, or as one device does."""
    rule = next((one for one in found.rules if (one.profile, one.rule) == target[:2]), None)
    if rule is None:
        raise not_found("rule", "/".join(target[:2]))
    if not target.device:
        return rule
    return rule_at(found, rule, target.device, _given(context, place, target))


def _given(context: Context, place: Site, target: Target) -> dict[str, Any]:
    """The params that the site file gives a device; raises NotFound where it is not one of this profile here."""
    if not target.device:
        return {}
    query = select(devices.c.params).where(
        devices.c.id == target.device,
        devices.c.site == place.id,
        devices.c.profile == target.profile,
        devices.c.retired_at.is_(None),
    )
    with context.database.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("device", target.device)
    return dict(row.params)


def _profile(context: Context, target: Target) -> Any:
    found = context.library.get(target.profile)
    if found is None or target.rule not in {rule.id for rule in found.rules}:
        raise not_found("rule", f"{target.profile}/{target.rule}")
    return found


def _as_in(context: Context, place: Site, book: RuleBook, version: int, target: Target) -> SiteRule:
    """The rule as a book has it."""
    _profile(context, target)
    with context.database.read() as connection:
        params = book_store.site_params(connection)
    effective = Effective(context.library, {place.id: BookInForce(version, book)}, params)
    given = _given(context, place, target)
    return read_rule(effective, place.id, target.profile, target.rule, target.device, given)


def _without(context: Context, place: Site, newest: Version, target: Target) -> RuleBook:
    now = _as_in(context, place, newest.book, newest.version, target)
    return without(newest.book, target, tuple(one.name for one in now.params if one.editable))


def _others(context: Context, place: Site, target: Target, reader: Reader) -> dict[str, list[str]]:
    """Param -> names of the other rules of the profile that read it."""
    with context.database.read() as connection:
        effective = effective_rules(connection, context.library)
    found: dict[str, list[str]] = {}
    for rule in context.library[target.profile].rules:
        if rule.id != target.rule:
            for param in read_rule(effective, place.id, target.profile, rule.id).params:
                found.setdefault(param.name, []).append(rule.name.in_(reader.language))
    return found


def _explained(connection: Connection, context: Context, place: Site, rule: str, device: str) -> list[Any]:
    effective = effective_rules(connection, context.library)
    try:
        return explain(connection, effective, frozenset({place.id}), device, rule, context.clock.now())
    except NotFound:
        return []  # switched off here


def _profiles(connection: Connection, site: str) -> dict[str, str]:
    query = select(devices.c.id, devices.c.profile).where(devices.c.site == site, devices.c.retired_at.is_(None))
    return {row.id: row.profile for row in connection.execute(query)}


def _of_profile(connection: Connection, site: str, profile: str, reader: Reader) -> dict[str, str]:
    """Device -> name, of a profile here."""
    query = (
        select(devices.c.id, devices.c.name_zh, devices.c.name_en)
        .where(devices.c.site == site, devices.c.profile == profile, devices.c.retired_at.is_(None))
        .order_by(devices.c.id)
    )
    return {row.id: row.name_zh if reader.language == "zh" else row.name_en for row in connection.execute(query)}


def _when(reader: Reader, place: Site) -> view.When:
    zone = zone_of(place.timezone)
    return lambda at: fmt.moment(at, zone, reader.t.locale, now=reader.now)


def _address(target: Target, place: Site, below: str = "") -> str:
    query = urlencode({"site": place.id, **({"device": target.device} if target.device else {})})
    tail = f"/{below}" if below else ""
    return f"/rules/{quote(target.profile)}/{quote(target.rule)}{tail}?{query}"
