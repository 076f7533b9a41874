"""Whether the names in a well-shaped site file mean something."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from zoneinfo import available_timezones

from device_profiles.schema import (
    DeviceProfile,
    Scalar,
)
from device_profiles.yaml_lines import Document
from gateway.reading import child_id, child_kind
from services.groups import check as rule_check
from services.sites.members import child_count, expand, with_all_params
from services.sites.mistakes import SiteMistake, Where, by_line, known_one, words
from services.sites.model import (
    Member,
    Recipient,
    SiteDevice,
    SiteFile,
    Supply,
)
from services.sites.params import param_mistake

Library = Mapping[str, DeviceProfile]


class Check:
    """Whether the names in a well-shaped file mean something."""

    def __init__(self, file: str, document: Document, library: Library, site: SiteFile) -> None:
        self._file = file
        self._document = document
        self._library = library
        self._site = site
        self._units = {building.id: {unit.id for unit in building.units} for building in site.buildings}
        self._devices = with_all_params(site)

    def mistakes(self) -> list[SiteMistake]:
        return by_line(
            [
                *self._timezone(),
                *self._twice(),
                *self._site_params(),
                *self._all_devices(),
                *self._all_supplies(),
                *self._rules(),
                *self._recipients(),
            ]
        )

    def taken(self, owners: Mapping[str, str]) -> list[SiteMistake]:
        """Ids and addresses that another site's devices have; `owners` maps "id:…" and "address:…" to the site."""
        found = []
        for number, device in enumerate(self._site.devices):
            for key, field, value in (
                (f"id:{device.id}", "id", device.id),
                (f"address:{device.profile}:{device.wire_address}", "address", device.wire_address),
            ):
                if key in owners:
                    expected = f"one that site {owners[key]!r} does not have"
                    found.append(self._mistake(("devices", number, field), repr(value), expected))
        return by_line(found)

    def renamed(self, adopted: Mapping[tuple[str, str], str]) -> list[SiteMistake]:
        """Devices that were adopted under another id than the file gives them: an id never changes."""
        found = []
        for number, device in enumerate(self._site.devices):
            id = adopted.get((device.profile, device.wire_address), device.id)
            if id != device.id:
                expected = f"{id!r}, under which it was adopted (courtyard site export writes it as it is)"
                found.append(self._mistake(("devices", number, "id"), repr(device.id), expected))
        return by_line(found)

    def _mistake(self, where: Where, found: str, expected: str) -> SiteMistake:
        return SiteMistake(self._file, self._document.line(where), words(where), found, expected)

    def _unknown(self, where: Where, word: str, known: Iterable[str]) -> SiteMistake:
        return self._mistake(where, repr(word), known_one(word, known))

    def _timezone(self) -> Iterator[SiteMistake]:
        if self._site.timezone not in available_timezones():
            yield self._unknown(("timezone",), self._site.timezone, available_timezones())

    def _twice(self) -> Iterator[SiteMistake]:
        site = self._site
        lists: list[tuple[Where, Sequence[Any]]] = [
            (("buildings",), site.buildings),
            (("devices",), site.devices),
            (("supplies",), site.supplies),
            (("feeds",), site.feeds),
            (("rules",), site.rules),
            (("recipients",), site.recipients),
            *((("buildings", number, "units"), one.units) for number, one in enumerate(site.buildings)),
        ]
        for where, entries in lists:
            yield from self._repeated(where, "id", [entry.id for entry in entries])
        addresses = [f"{device.profile}:{device.wire_address}" for device in site.devices]
        ids = [device.id for device in site.devices]
        if len(set(ids)) == len(ids):
            yield from self._repeated(("devices",), "address", addresses)

    def _repeated(self, where: Where, field: str, values: Sequence[str]) -> Iterator[SiteMistake]:
        first: dict[str, int] = {}
        for number, value in enumerate(values):
            if value in first:
                line = self._document.line((*where, first[value], field))
                yield self._mistake((*where, number, field), repr(value), f"one that is not taken (line {line} has it)")
            first.setdefault(value, number)

    def _all_devices(self) -> Iterator[SiteMistake]:
        for number, device in enumerate(self._site.devices):
            where: Where = ("devices", number)
            if device.building is not None and device.building not in self._units:
                yield self._unknown((*where, "building"), device.building, self._units)
            elif device.unit is not None and device.unit not in self._units.get(device.building or "", ()):
                yield self._unknown((*where, "unit"), device.unit, self._units.get(device.building or "", ()))
            if device.parent is not None and device.parent not in self._devices:
                yield self._unknown((*where, "parent"), device.parent, self._devices)
            if device.parent == device.id:
                yield self._mistake((*where, "parent"), repr(device.parent), "another device")
            profile = self._library.get(device.profile)
            if profile is None:
                yield self._unknown((*where, "profile"), device.profile, self._library)
            else:
                yield from self._params((*where, "params"), device.params, profile)

    def _site_params(self) -> Iterator[SiteMistake]:
        for id, values in self._site.params.items():
            profile = self._library.get(id)
            if profile is None:
                yield self._unknown(("params", id), id, self._library)
            else:
                yield from self._params(("params", id), values, profile)

    def _params(self, where: Where, values: Mapping[str, Scalar], profile: DeviceProfile) -> Iterator[SiteMistake]:
        for name, value in values.items():
            param = profile.params.get(name)
            if param is None:
                yield self._unknown((*where, name), name, profile.params)
            elif expected := param_mistake(param, value):
                yield self._mistake((*where, name), repr(value), expected)

    def _all_supplies(self) -> Iterator[SiteMistake]:
        for number, supply in enumerate(self._site.supplies):
            where: Where = ("supplies", number)
            yield from self._members(where, supply)
            for index, building in enumerate(supply.buildings):
                if building not in self._units:
                    yield self._unknown((*where, "buildings", index), building, self._units)
            for index, unit in enumerate(supply.units):
                if unit.building not in self._units:
                    yield self._unknown((*where, "units", index, "building"), unit.building, self._units)
                elif unit.unit not in self._units[unit.building]:
                    yield self._unknown((*where, "units", index, "unit"), unit.unit, self._units[unit.building])

    def _members(self, where: Where, supply: Supply) -> Iterator[SiteMistake]:
        mistakes = [
            mistake
            for index, member in enumerate(supply.members)
            for mistake in self._member((*where, "members", index), member)
        ]
        yield from mistakes
        if mistakes or supply.needs is None:
            return
        counted = sum(
            1
            for member in supply.members
            for one in expand(member, self._devices[member.device], self._library)
            if not one.vital
        )
        if supply.needs > counted:
            yield self._mistake((*where, "needs"), str(supply.needs), f"at most {counted}, the number of members")

    def _member(self, where: Where, member: Member) -> Iterator[SiteMistake]:
        device = self._devices.get(member.device)
        if device is None:
            yield self._unknown((*where, "device"), member.device, self._devices)
            return
        profile = self._library.get(device.profile)
        if profile is None or not member.child:
            return
        kind, separator, key = member.child.partition(":")
        if kind not in profile.children:
            known = {child_id(name, profile.children[name].start) for name in profile.children}
            yield self._mistake(
                (*where, "child"),
                repr(member.child),
                known_one(child_id(kind, key), known) if known else f"none: {device.profile} has no children",
            )
        elif not separator or not key:
            yield self._mistake((*where, "child"), repr(member.child), f"a key, such as {child_id(kind, 1)!r}")
        else:
            yield from self._child_key((*where, "child"), key, profile, device, child_kind(member.child))

    def _child_key(
        self, where: Where, key: str, profile: DeviceProfile, device: SiteDevice, kind: str
    ) -> Iterator[SiteMistake]:
        child = profile.children[kind]
        count = child_count(profile, child, device)
        if count is None:
            if key == "*":
                yield self._mistake(where, repr(f"{kind}:*"), "the key of one: only messages tell how many there are")
        elif key != "*" and not (key.isdigit() and child.start <= int(key) < child.start + count):
            last = child.start + count - 1
            yield self._mistake(where, repr(f"{kind}:{key}"), f"{kind}:{child.start} to {kind}:{last}")

    def _rules(self) -> Iterator[SiteMistake]:
        for one in rule_check.mistakes(self._site, self._library):
            expected = known_one(one.found.strip("'"), one.known) if not one.expected else one.expected
            yield self._mistake(one.where, one.found, expected)

    def _recipients(self) -> Iterator[SiteMistake]:
        for number, to in enumerate(self._site.recipients):
            for index, building in enumerate(to.buildings):
                if building not in self._units:
                    yield self._unknown(("recipients", number, "buildings", index), building, self._units)
            if expected := _target_mistake(to):
                yield self._mistake(("recipients", number, "to"), repr(to.to), expected)
            if to.audience == "residents" and set(to.about) - {"outage"}:
                yield self._mistake(("recipients", number, "about"), repr(list(to.about)), "[outage] for residents")
            for key in ("step", "digest"):
                if to.audience == "residents" and getattr(to, key):
                    expected = "nothing: residents hear of outages only"
                    yield self._mistake(("recipients", number, key), repr(getattr(to, key)), expected)


_TARGETS = {
    "email": (re.compile(r"[^@\s<>,;:\"]+@[^@\s<>,;:\"]+"), "an e-mail address, or env:NAME"),
    "webhook": (
        re.compile(r"https?://([^\s/?#\[\]:@]+|\[[0-9a-fA-F:.]+\])(:\d+)?([/?#]\S*)?"),
        "a URL that begins with https:// or http://, or env:NAME",
    ),
    "apprise": (re.compile(r"[a-z][a-z0-9+.-]*://\S+"), "an Apprise URL such as wecombot://KEY, or env:NAME"),
}


def _target_mistake(to: Recipient) -> str | None:
    """What was expected of a recipient's address, or None if its channel can use it.

    Said at import, and not at three in the morning when the notice fails.
    """
    form, expected = _TARGETS[to.channel]
    return None if to.to.startswith("env:") or form.fullmatch(to.to) else expected
