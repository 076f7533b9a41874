"""What the pages of rules have in common: the site, its rules, one rule as some book has it, addresses."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import Path, Query
from sqlalchemy import Connection, select

from services.context import Context
from services.rulebook.diff import Difference
from services.rulebook.edit import Target, shown, standing, without
from services.rulebook.rules import SiteRule, SiteRules, read_rule, rule_at, rules_of
from services.rules import book_store
from services.rules.book import RuleBook
from services.rules.book_store import Version
from services.rules.effective import BookInForce, Effective
from services.rules.in_force import effective_rules
from services.scope import NotFound
from services.sites import store
from services.sites.store import Site
from services.tables import devices
from services.web.pages import format as fmt
from services.web.pages.render import Reader, zone_of
from services.web.problems import not_found
from services.web.security import Principal
from services.web.views import rule_differences
from services.web.views import rules as view

SiteId = Annotated[str, Query(max_length=64)]
DeviceId = Annotated[str, Query(max_length=64)]
Id = Annotated[str, Path(max_length=64)]
SHOWN = 50
"""Rows on a page."""


def place_of(context: Context, principal: Principal, site: str) -> tuple[Site, dict[str, Site]]:
    """The site asked for, or the first; raises NotFound."""
    with context.database.read() as connection:
        sites = {one.id: one for one in store.list_sites(connection, principal.scope)}
    found = sites.get(site or next(iter(sites), ""))
    if found is None:
        raise NotFound("site", site)
    return found, sites


def rules_at(context: Context, place: Site) -> SiteRules:
    with context.database.read() as connection:
        return rules_of(connection, context.library, place.id, context.clock.now(), context.intake.benched)


def shown_of(context: Context, found: SiteRules, place: Site, target: Target) -> SiteRule:
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


def profile_of(context: Context, target: Target) -> Any:
    found = context.library.get(target.profile)
    if found is None or target.rule not in {rule.id for rule in found.rules}:
        raise not_found("rule", f"{target.profile}/{target.rule}")
    return found


def as_in(context: Context, place: Site, book: RuleBook, version: int, target: Target) -> SiteRule:
    """The rule as a book has it."""
    profile_of(context, target)
    with context.database.read() as connection:
        params = book_store.site_params(connection)
    effective = Effective(context.library, {place.id: BookInForce(version, book)}, params)
    given = _given(context, place, target)
    return read_rule(effective, place.id, target.profile, target.rule, target.device, given)


def without_change(context: Context, place: Site, newest: Version, target: Target) -> RuleBook:
    now = as_in(context, place, newest.book, newest.version, target)
    return without(newest.book, target, tuple(one.name for one in now.params if one.editable))


def also_read_by(context: Context, place: Site, target: Target, reader: Reader) -> dict[str, list[str]]:
    """Param -> names of the other rules of the profile that read it."""
    with context.database.read() as connection:
        effective = effective_rules(connection, context.library)
    found: dict[str, list[str]] = {}
    for rule in context.library[target.profile].rules:
        if rule.id != target.rule:
            for param in read_rule(effective, place.id, target.profile, rule.id).params:
                found.setdefault(param.name, []).append(rule.name.in_(reader.language))
    return found


def profiles_at(connection: Connection, site: str) -> dict[str, str]:
    query = select(devices.c.id, devices.c.profile).where(devices.c.site == site, devices.c.retired_at.is_(None))
    return {row.id: row.profile for row in connection.execute(query)}


def devices_of(connection: Connection, site: str, profile: str, reader: Reader) -> dict[str, str]:
    """Device -> name, of a profile here."""
    query = (
        select(devices.c.id, devices.c.name_zh, devices.c.name_en)
        .where(devices.c.site == site, devices.c.profile == profile, devices.c.retired_at.is_(None))
        .order_by(devices.c.id)
    )
    return {row.id: row.name_zh if reader.language == "zh" else row.name_en for row in connection.execute(query)}


def differences_at(
    context: Context, place: Site, old: RuleBook, new: RuleBook, found: list[Difference], reader: Reader
) -> list[rule_differences.DifferenceSaid]:
    """What differs between two books of a site, in words."""
    with context.database.read() as connection:
        by_device = profiles_at(connection, place.id)
        params = book_store.site_params(connection)
        query = select(devices.c.id, devices.c.params).where(devices.c.id.in_({one.device for one in found}))
        given = {row.id: row.params or {} for row in connection.execute(query)}

    def standing_in(book: RuleBook) -> rule_differences.Standing:
        effective = Effective(context.library, {place.id: BookInForce(0, book)}, params)

        def said(one: Difference) -> str | None:
            profile, own = one.profile or by_device.get(one.device, ""), given.get(one.device, {})
            known = context.library.get(profile)
            if known is None:
                return None
            if not one.rule:
                values = effective.params(place.id, profile, one.device, own)
                return shown(values[one.field]) if one.field in values else None
            if one.rule not in {rule.id for rule in known.rules}:
                return None
            return standing(read_rule(effective, place.id, profile, one.rule, one.device, own)).get(one.field)

        return said

    return rule_differences.differences(found, context.library, by_device, reader.t, standing_in(old), standing_in(new))


def when_of(reader: Reader, place: Site) -> view.When:
    zone = zone_of(place.timezone)
    return lambda at: fmt.moment(at, zone, reader.t.locale, now=reader.now)


def address_of(target: Target, place: Site, below: str = "") -> str:
    query = urlencode({"site": place.id, **({"device": target.device} if target.device else {})})
    tail = f"/{below}" if below else ""
    return f"/rules/{quote(target.profile)}/{quote(target.rule)}{tail}?{query}"
