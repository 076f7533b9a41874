"""A site as a backtest needs it: its devices, people and rooms as they stand in the database, nothing of what goes on.

Only reads. What is under way (alarms, outages, commands) is left behind: a backtest begins with an empty desk.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from device_profiles.schema import Text
from services.backtest.place import Lane, Place, Yard
from services.backtest.several import OverSeveral
from services.calm.storms import Raises
from services.groups.names import names_of_places
from services.groups.places import behind_place, building_place, feed_place, site_place
from services.intake.loading import card_of_place, join_supplies, load
from services.intake.memory import Card, Memory, SiteState
from services.intake.standing import Standing
from services.intake.watch import home_of
from services.maintenance.store import load_windows
from services.maintenance.windows import Windows
from services.presence.branches import Branches
from services.presence.gateways import gateway_device, gateway_name
from services.rules.state import DeviceState
from services.tables import devices, sites


class NoSuchSite(ValueError):
    """Names those that are there."""

    def __init__(self, site: str, known: list[str]) -> None:
        there = ", ".join(known) or "none yet; courtyard site import makes one"
        super().__init__(f"there is no site {site!r}; expected one of: {there}")


@dataclass(frozen=True, kw_only=True)
class World:
    yard: Yard
    memory: Memory
    """Of this site alone, with nothing going on; copied for each side."""

    def empty_memory(self, states: Mapping[str, DeviceState], several: OverSeveral, lane: Lane) -> Memory:
        """A desk of its own with these devices, and the rules of this side over several of them."""
        sites = {id: _as_new(site) for id, site in self.memory.sites.items()}
        groups = several.groups(lane, states)
        join_supplies(sites, groups)
        states = dict(states)
        return replace(
            self.memory,
            devices=states,
            sites=sites,
            active=Standing(),
            orphans=[],
            also_told={},
            branches=Branches(states),
            groups=groups,
            raises=Raises(self.memory.raises.limits),
            shadows={},
            shadow_orphans=[],
            cause_rules=frozenset(
                cause
                for profile in {id(one.profile): one.profile for one in states.values()}.values()
                for rule in (profile.rules.values() if profile is not None else ())
                for cause in rule.rule.suppressed_by
            ),
        )


def _as_new(site: SiteState) -> SiteState:
    supplies, supplies_of = dict(site.supplies), dict(site.supplies_of)
    return replace(site, impairments=defaultdict(dict), outages={}, supplies=supplies, supplies_of=supplies_of)


def _cards_of_places(
    connection: Connection, site: str, devices: Iterable[Row[Any]], feeds: Iterable[str]
) -> dict[str, Card]:
    """What the places are called that rules over several devices can be judged for."""
    ids = {site_place(site), *feeds}
    for one in devices:
        ids |= {building_place(site, one.building)} if one.building else set()
        ids |= {behind_place(one.parent)} if one.parent else set()
    return {id: card_of_place(found) for id, found in names_of_places(connection, ids).items()}


def _card_of_gateway(id: str) -> Card:
    return Card(name=gateway_name(id), place=Text(zh="", en=""), building=None)


def windows_between(connection: Connection, start: datetime) -> Windows:
    """Those that were open at `start` or later, from when they were known: one that people entered too late covered
    nothing before."""
    found = load_windows(connection, start)
    return found.changed(lambda one: one if one.repeats else replace(one, starts_at=max(one.starts_at, one.created_at)))


def load_world(connection: Connection, site: str, start: datetime, end: datetime) -> World:
    """Raises NoSuchSite. With the maintenance windows of that stretch."""
    row = connection.execute(select(sites).where(sites.c.id == site)).one_or_none()
    if row is None:
        raise NoSuchSite(site, list(connection.scalars(select(sites.c.id).order_by(sites.c.id))))
    mine = connection.execute(
        select(devices).where(devices.c.site == site, devices.c.retired_at.is_(None)).order_by(devices.c.id)
    ).all()
    memory = load(connection, {}, end)  # without profiles: the sides compile their own
    ids = {one.id for one in mine}
    heard_by = {one.id: one.gateway or "" for one in memory.devices.values()}
    gateways = tuple(id for id in sorted(memory.gateways) if home_of(memory, id) == site)
    cards = {id: card for id, card in memory.cards.items() if id in ids}
    feeds = [feed_place(site, one["id"]) for one in row.feeds or ()]
    cards |= _cards_of_places(connection, site, mine, feeds) | {
        gateway_device(id): _card_of_gateway(id) for id in gateways
    }
    memory = replace(
        memory,
        devices={},
        cards=cards,
        windows=windows_between(connection, start),
        by_address={},
        retired=set(),
        unclaimed=0,
        sites={site: memory.sites[site]},
        gateways={},
        active=Standing(),
        orphans=[],
        commands=type(memory.commands)(),
    )
    return World(
        yard=Yard(
            site,
            row.timezone,
            row.params or {},
            tuple(
                Place(
                    id=one.id,
                    profile=one.profile,
                    parent=one.parent or "",
                    own_params=one.params or {},
                    name=Text(zh=one.name_zh, en=one.name_en),
                    building=one.building or "",
                    gateway=heard_by.get(one.id, ""),
                )
                for one in mine
            ),
            tuple(row.rules or ()),
            tuple(row.feeds or ()),
            gateways,
        ),
        memory=memory,
    )
