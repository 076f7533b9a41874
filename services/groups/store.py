"""The rules across devices as the database has them, ready to be judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection, select

from device_profiles.schema import DeviceProfile
from services.groups.feeds import rules_of
from services.groups.groups import Groups
from services.groups.places import Placed, feeds_by_device, members_of
from services.groups.rule import GroupRule, RuleMistake, compile_rule
from services.rules.state import DeviceState
from services.sites.model import Feed, SiteRule
from services.tables import devices, sites

log = structlog.get_logger("courtyard.groups")
Library = Mapping[str, DeviceProfile]


class Broken(NamedTuple):
    """A rule that is not judged, and why."""

    site: str
    rule: str
    found: str


class Loaded(NamedTuple):
    groups: Groups
    broken: tuple[Broken, ...]


def load_groups(connection: Connection, library: Library, states: Mapping[str, DeviceState]) -> Loaded:
    """Every rule of every site over the devices in service. One that cannot be read is left out, and said."""
    here = read_placed(connection, library)
    rows = connection.execute(select(sites.c.id, sites.c.timezone, sites.c.rules, sites.c.feeds)).all()
    rules: list[GroupRule] = []
    broken: list[Broken] = []
    for row in rows:
        placed = [one for one in here if one.site == row.id]
        for found in (
            *read_rules(row.id, row.rules or (), placed, library),
            *rules_of_feeds(row.id, row.feeds or (), placed, library),
        ):
            if isinstance(found, GroupRule):
                rules.append(found)
            else:
                broken.append(found)
    for one in broken:
        log.error("site_rule_not_judged", site=one.site, rule=one.rule, found=one.found)
    zones = {row.id: row.timezone for row in rows}
    return Loaded(Groups(rules, states, here, zones), tuple(broken))


def read_rules(
    site: str, entries: Iterable[Mapping[str, Any]], placed: Iterable[Placed], library: Library
) -> Iterator[GroupRule | Broken]:
    """The rules of one site; those without any member are passed over until there is one."""
    here = list(placed)
    for entry in entries:
        try:
            rule = SiteRule.model_validate(entry)
            profiles = sorted({one.profile for one in members_of(rule.of, here)})
            if profiles:
                yield compile_rule(site, rule, [library[id] for id in profiles])
        except (ValidationError, RuleMistake) as error:
            yield Broken(site, str(entry.get("id", "")), str(error))


def rules_of_feeds(
    site: str, entries: Iterable[Mapping[str, Any]], placed: Iterable[Placed], library: Library
) -> Iterator[GroupRule]:
    """The built-in rules about what several devices of a site are fed by."""
    here = list(placed)
    telling = {one.id for one in here if not library[one.profile].availability.event_driven}
    for rule, feeds in rules_of(map(Feed.model_validate, entries), telling):
        profiles = sorted({one.profile for one in members_of(rule.of, here)})
        if profiles:
            yield replace(compile_rule(site, rule, [library[id] for id in profiles]), feeds=feeds)


def broken_rules(connection: Connection, library: Library) -> list[Broken]:
    """Rules that are not judged: those that cannot be read, and those that count nobody here."""
    here, found = read_placed(connection, library), []
    for row in connection.execute(select(sites.c.id, sites.c.rules).order_by(sites.c.id)):
        placed = [one for one in here if one.site == row.id]
        read = list(read_rules(row.id, row.rules or (), placed, library))
        known = {one.rule if isinstance(one, Broken) else one.rule.id for one in read}
        ids = [str(entry.get("id", "")) for entry in row.rules or ()]
        found += [one for one in read if isinstance(one, Broken)]
        found += [
            Broken(row.id, id, "none of the devices that it counts is in service") for id in ids if id not in known
        ]
    return found


def read_placed(connection: Connection, library: Library) -> list[Placed]:
    """The devices in service whose profiles are known."""
    query = select(devices.c.id, devices.c.site, devices.c.profile, devices.c.building, devices.c.parent)
    rows = connection.execute(query.where(devices.c.retired_at.is_(None), devices.c.site.is_not(None)))
    feeds = _feeds(connection)
    return [
        Placed(
            row.id,
            row.site,
            row.profile,
            library[row.profile].family,
            row.building or "",
            row.parent or "",
            feeds.get(row.site, {}).get(row.id, ()),
        )
        for row in rows
        if row.profile in library
    ]


def _feeds(connection: Connection) -> dict[str, dict[str, tuple[str, ...]]]:
    """Site -> device -> its feeds."""
    rows = connection.execute(select(sites.c.id, sites.c.feeds))
    return {row.id: feeds_by_device(map(Feed.model_validate, row.feeds or ())) for row in rows}
