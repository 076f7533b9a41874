"""The rules of a site: what runs, why a rule says what it says, what it waits for."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from services.accounts.policy import Role
from services.context import Context
from services.rulebook.edit import Target
from services.rulebook.explain import explain
from services.rulebook.looking import Kind, active_now, is_kind, with_words
from services.rulebook.several import SeveralRule, counted_now
from services.rules import book_store
from services.rules.book_words import read_grades
from services.rules.effective import SITE_RULES
from services.rules.in_force import effective_rules
from services.rules.store import list_alarms
from services.scope import NotFound
from services.sites.store import Site
from services.web.pages.render import Reader, reader_of, render, zone_of
from services.web.pages.rule_place import (
    SHOWN,
    DeviceId,
    Id,
    SiteId,
    devices_of,
    place_of,
    rules_at,
    shown_of,
    when_of,
)
from services.web.problems import not_found
from services.web.security import ContextOf, Crew
from services.web.views import board
from services.web.views import rules as view
from services.web.views import several as several_view

router = APIRouter(prefix="/rules", include_in_schema=False)


@router.get("")
def rules(
    request: Request,
    context: ContextOf,
    principal: Crew,
    site: SiteId = "",
    q: Annotated[str, Query(max_length=100)] = "",
    show: Annotated[Literal["", "changed", "shadow", "problems", "waiting", "active"], Query()] = "",
    problems: bool = False,
) -> Response:
    """Every rule of a site by profile, or those with some words or of some kind. `problems`: as `show=problems`."""
    reader = reader_of(request, principal)
    place, sites = place_of(context, principal, site)
    found = rules_at(context, place)
    with context.database.read() as connection:
        active = active_now(connection, place.id)
    kind: Kind | None = "problems" if problems else show or None
    worded = with_words(found.rules, q)
    shown = [one for one in worded if kind is None or is_kind(one, kind, active)]
    several = [one for one in found.several if several_view.matches(one, kind, q)]
    worded_too = [one for one in found.several if several_view.matches(one, None, q)]
    return render(
        request,
        "rules.html",
        reader,
        site=place,
        sites=sites,
        zone=zone_of(place.timezone),
        version=found.version,
        groups=view.groups(shown, context.library, reader.t, when_of(reader, place)),
        active=active,
        q=q,
        show=kind or "",
        choices=view.choices(place.id, worded, worded_too, q, active, reader.t),
        nothing=view.NOTHING,
        found=len(shown) + len(several),
        all=len(found.rules) + len(found.several),
        several=several_view.rows(several, context.library, reader.t, when_of(reader, place)),
        broken=view.broken(found.problems, found.rules, reader.t, when_of(reader, place)),
        waiting=sum(bool(one.waits_for) for one in found.rules),
        missing=view.missing(found.rules, context.library, reader.t),
        may_edit=principal.may(Role.ENGINEER, place.id),
    )


@router.get("/{profile}/{rule}")
def rule(
    request: Request,
    context: ContextOf,
    principal: Crew,
    profile: Id,
    rule: Id,
    site: SiteId = "",
    device: DeviceId = "",
    shipped: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
) -> Response:
    """It explains itself: condition with its values, delays, where the threshold comes from, what it has raised."""
    reader = reader_of(request, principal)
    place, _ = place_of(context, principal, site)
    found = rules_at(context, place)
    if profile == SITE_RULES:
        return _several(request, context, reader, place, [one for one in found.several if one.rule == rule], rule)
    shown = shown_of(context, found, place, Target(profile, rule, device))
    schema = context.library[profile]
    own = next(one for one in schema.rules if one.id == rule)
    with context.database.read() as connection:
        here = devices_of(connection, place.id, profile, reader)
        episodes = list_alarms(
            connection,
            frozenset({place.id}),
            site=place.id,
            device=device or None,
            rule=(profile, rule),
            limit=SHOWN,
        )
        now = _explained(connection, context, place, rule, device) if device else []
        newest = book_store.newest(connection, place.id) if shipped is not None else None
    words = view.words_of(shown, schema, reader.t)
    return render(
        request,
        "rule.html",
        reader,
        site=place,
        zone=zone_of(place.timezone),
        target=Target(profile, rule, device),
        shipped=newest if newest is not None and newest.version == shipped else None,
        row=view.row(shown, schema, reader.t, when_of(reader, place)),
        rule=shown,
        own=own,
        rule_words=words,
        version=found.version,
        tests=view.tests(own, reader.t),
        clear_for=timedelta(seconds=shown.clear_for_seconds),
        clears=words.condition(shown.clear_when) if shown.clear_when else "",
        grades=view.grades(read_grades(shown.grades), words, reader.t),
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


def _several(
    request: Request, context: Context, reader: Reader, place: Site, rules: list[SeveralRule], id: str
) -> Response:
    """One rule over several devices; on feeds of power and of network there are two under one id."""
    if not rules:
        raise not_found("rule", f"{SITE_RULES}/{id}")
    with context.database.read() as connection:
        scope = frozenset({place.id})
        episodes = list_alarms(connection, scope, site=place.id, rule=(SITE_RULES, id), limit=SHOWN)
        now = {one.name: counted_now(connection, context.library, one, context.clock.now()) for one in rules}
    return render(
        request,
        "rule_several.html",
        reader,
        site=place,
        zone=zone_of(place.timezone),
        rows=several_view.rows(rules, context.library, reader.t, when_of(reader, place)),
        counts_of=lambda one: several_view.counts(one, now[one.name], context.library, reader.t),
        episodes=episodes,
    )


def _explained(connection: Connection, context: Context, place: Site, rule: str, device: str) -> list[Any]:
    effective = effective_rules(connection, context.library)
    try:
        return explain(connection, effective, frozenset({place.id}), device, rule, context.clock.now())
    except NotFound:
        return []  # switched off here
