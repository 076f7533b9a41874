"""What is wrong with the rules of a site file: whose devices they count, what they ask of them, whom they touch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from device_profiles.schema import DeviceProfile
from services.groups.feeds import FEED_DOWN
from services.groups.places import Placed, feeds_by_device, members_of, places_of
from services.groups.rule import RuleMistake, Where, compile_rule
from services.sites.model import SiteFile, SiteRule


class Mistake(NamedTuple):
    where: Where
    found: str
    expected: str
    known: tuple[str, ...] = ()
    """Instead of `expected`: the words of which one was meant."""


def placed(site: SiteFile, library: Mapping[str, DeviceProfile]) -> list[Placed]:
    """The devices of a file whose profiles are known."""
    feeds = feeds_by_device(site.feeds)
    return [
        Placed(
            id=device.id,
            site=site.site,
            profile=device.profile,
            family=library[device.profile].family,
            building=device.building or "",
            parent=device.parent or "",
            feeds=feeds.get(device.id, ()),
        )
        for device in site.devices
        if device.profile in library
    ]


def mistakes(site: SiteFile, library: Mapping[str, DeviceProfile]) -> Iterator[Mistake]:
    """Of all rules and feeds of a file."""
    devices = placed(site, library)
    yield from _feeds(site)
    for number, rule in enumerate(site.rules):
        where: Where = ("rules", number)
        if rule.id == FEED_DOWN:
            yield Mistake((*where, "id"), repr(FEED_DOWN), "another id: this is the built-in rule on feeds")
        named = [*_members(where, rule, site, devices)]
        yield from named
        if not named:
            yield from _conditions(where, rule, devices, library)
        yield from _supplies(where, rule, site)


_WANTED = {
    "building": "devices that stand in a building",
    "parent": "devices with a parent",
    "feed": "devices with a feed",
}


def _feeds(site: SiteFile) -> Iterator[Mistake]:
    devices = tuple(sorted(one.id for one in site.devices))
    buildings = tuple(sorted(one.id for one in site.buildings))
    for number, feed in enumerate(site.feeds):
        where: Where = ("feeds", number)
        if feed.building is not None and feed.building not in buildings:
            yield Mistake((*where, "building"), repr(feed.building), "", buildings)
        for i, id in enumerate(feed.devices):
            if id not in devices:
                yield Mistake((*where, "devices", i), repr(id), "", devices)
            elif id in feed.devices[:i]:
                yield Mistake((*where, "devices", i), repr(id), "each device once")


def _members(where: Where, rule: SiteRule, site: SiteFile, devices: Sequence[Placed]) -> Iterator[Mistake]:
    of, here = rule.of, (*where, "of")
    if not (of.families or of.profiles or of.devices):
        yield Mistake(here, "nobody", "families, profiles or devices whose members are counted")
        return
    unknown = list(_unknown(here, rule, site, devices))
    yield from unknown
    if unknown:
        return
    members = members_of(of, devices)
    if not members:
        yield Mistake((*here, "buildings"), "no such device there", "buildings in which these devices stand")
    elif not any(places_of(one, rule.per) for one in members):
        yield Mistake((*where, "per"), rule.per, f"{_WANTED[rule.per]}: none of these does")


def _unknown(here: Where, rule: SiteRule, site: SiteFile, devices: Sequence[Placed]) -> Iterator[Mistake]:
    known = {
        "families": {one.family for one in devices},
        "profiles": {one.profile for one in devices},
        "devices": {one.id for one in devices},
        "buildings": {one.id for one in site.buildings},
    }
    for field, words in known.items():
        for i, word in enumerate(getattr(rule.of, field)):
            if word not in words:
                yield Mistake((*here, field, i), repr(word), "", tuple(sorted(words)))


def _conditions(
    where: Where, rule: SiteRule, devices: Sequence[Placed], library: Mapping[str, DeviceProfile]
) -> Iterator[Mistake]:
    profiles = sorted({one.profile for one in members_of(rule.of, devices)})
    try:
        compile_rule("", rule, [library[id] for id in profiles])
    except RuleMistake as mistake:
        yield Mistake((*where, *mistake.where), mistake.found, mistake.expected)


def _supplies(where: Where, rule: SiteRule, site: SiteFile) -> Iterator[Mistake]:
    services = {one.id: one.service for one in site.supplies}
    for i, supply in enumerate(rule.supplies):
        here = (*where, "supplies", i)
        if supply not in services:
            yield Mistake(here, repr(supply), "", tuple(sorted(services)))
        elif rule.residents is not None and services[supply] != rule.residents.service:
            yield Mistake(
                here, f"a supply of {services[supply]}", f"one of {rule.residents.service}, as residents says"
            )
    if rule.residents is not None and not rule.supplies:
        yield Mistake((*where, "residents"), "no supplies", "supplies that are touched, beside what residents are told")
    if rule.supplies and rule.residents is None:
        yield Mistake((*where, "supplies"), "no residents", "residents beside it: what they lose, in their words")
