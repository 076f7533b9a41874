"""A site file into the database: read it, say every mistake at once with its line, make the tables agree with it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from device_profiles.schema import (
    ChildKind,
    Clear,
    DeviceProfile,
    Flapping,
    Grade,
    ResidentWording,
    Scalar,
    Schedule,
    Source,
    TicketTemplate,
)
from device_profiles.yaml_lines import Document, YamlMistake, read_yaml
from gateway.reading import DeviceEntry, child_id, child_kind
from services.database import Database
from services.groups import check as rule_check
from services.sites.model import (
    BuildingEntry,
    Member,
    Recipient,
    RuleMembers,
    SiteDevice,
    SiteFile,
    SiteRule,
    Supply,
    UnitEntry,
    UnitRef,
)
from services.sites.params import param_mistake
from services.sites.sync import ImportReport, adopted_ids, foreign_owners, sync

Where = tuple[str | int, ...]
Library = Mapping[str, DeviceProfile]


@dataclass(frozen=True)
class SiteMistake:
    """One thing to mend in the file."""

    file: str
    line: int
    where: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.where}: found {self.found}, expected {self.expected}"


class SiteMistakes(Exception):
    """The file is not imported; nothing has changed."""

    def __init__(self, mistakes: Sequence[SiteMistake]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in mistakes))


def import_site(database: Database, path_or_text: Path | str, library: Library, now: datetime) -> ImportReport:
    """Bring one site up to its file, in one transaction; a second import of the same file changes nothing.

    A device that is gone from the file is retired: it leaves the pages and keeps its history. Raises SiteMistakes.
    """
    file, text = _source(path_or_text)
    document = _parse(file, text)
    site = _checked(file, document, library)
    with database.write() as connection:
        check = _Check(file, document, library, site)
        taken = check.taken(foreign_owners(connection, site)) + check.renamed(adopted_ids(connection, site))
        if taken:
            raise SiteMistakes(taken)
        return sync(connection, site, expanded_members(site, library), now)


def read_site(path_or_text: Path | str, library: Library) -> SiteFile:
    """Read and check a site file without a database; raises SiteMistakes with every mistake at once.

    A text of one line is taken for a path.
    """
    file, text = _source(path_or_text)
    return _checked(file, _parse(file, text), library)


def device_entries(site: SiteFile) -> list[DeviceEntry]:
    """The devices as a gateway (or the simulator) must know them."""
    return [
        DeviceEntry(
            id=device.id,
            profile=device.profile,
            address=device.wire_address,
            site=site.site,
            timezone=site.timezone,
            params=site.params_of(device),
            parent=device.parent or "",
            building=device.building or "",
        )
        for device in site.devices
    ]


def expanded_members(site: SiteFile, library: Library) -> dict[str, list[Member]]:
    """Members per supply, "port:*" written out as port:1, port:2, …"""
    devices = _with_all_params(site)
    return {
        supply.id: [one for member in supply.members for one in expand(member, devices[member.device], library)]
        for supply in site.supplies
    }


def _with_all_params(site: SiteFile) -> dict[str, SiteDevice]:
    """The devices, each with the params that the file gives its profile here."""
    return {one.id: one.model_copy(update={"params": site.params_of(one)}) for one in site.devices}


def expand(member: Member, device: SiteDevice, library: Library) -> Iterator[Member]:
    kind, _, key = member.child.partition(":")
    if key != "*":
        yield member
        return
    profile = library[device.profile]
    child = profile.children[kind]
    for number in range(child_count(profile, child, device) or 0):
        yield member.model_copy(update={"child": child_id(kind, child.start + number)})


def child_count(profile: DeviceProfile, child: ChildKind, device: SiteDevice) -> int | None:
    """How many children of a kind the device has; None where only messages tell."""
    if isinstance(child.count, str):
        value = device.params.get(child.count, profile.params[child.count].default)
        return int(value) if isinstance(value, int | float) else None
    return child.count


def _source(path_or_text: Path | str) -> tuple[str, str]:
    if isinstance(path_or_text, str) and "\n" in path_or_text:
        return "site.yaml", path_or_text
    try:
        return str(path_or_text), Path(path_or_text).read_text(encoding="utf-8")
    except OSError as error:
        problem = error.strerror or str(error)
        raise SiteMistakes([SiteMistake(str(path_or_text), 1, "file", problem.lower(), "a readable file")]) from None
    except UnicodeDecodeError:
        raise SiteMistakes([SiteMistake(str(path_or_text), 1, "file", "other bytes", "UTF-8 text")]) from None


def _parse(file: str, text: str) -> Document:
    try:
        document = read_yaml(text)
    except YamlMistake as mistake:
        raise SiteMistakes([SiteMistake(file, mistake.line, "YAML", mistake.problem, mistake.expected)]) from None
    if not isinstance(document.data, dict):
        raise SiteMistakes([SiteMistake(file, 1, "file", "no keys", "a site file that begins with `site:`")])
    return document


def _checked(file: str, document: Document, library: Library) -> SiteFile:
    try:
        site = SiteFile.model_validate(document.data)
    except ValidationError as error:
        shape = [_shape_mistake(file, document, one) for one in error.errors()]
        raise SiteMistakes(_by_line(shape + _early_words(file, document, library))) from None
    mistakes = _Check(file, document, library, site).mistakes()
    if mistakes:
        raise SiteMistakes(mistakes)
    return site


def _by_line(mistakes: Iterable[SiteMistake]) -> list[SiteMistake]:
    return sorted(set(mistakes), key=lambda one: (one.line, one.where))


def _shape_mistake(file: str, document: Document, error: ErrorDetails) -> SiteMistake:
    where = tuple(error["loc"])
    line = document.line(where)
    if error["type"] == "extra_forbidden":
        known = _siblings(where)
        expected = nearest(str(where[-1]), known)
        return SiteMistake(file, line, _words(where[:-1]) or "file", f"unknown key {where[-1]!r}", expected)
    if error["type"] == "missing":
        return SiteMistake(file, line, _words(where), "nothing", "a value")
    return SiteMistake(file, line, _words(where), _short(error["input"]), _expected(error))


def _expected(error: ErrorDetails) -> str:
    """What pydantic expects, in the words of somebody who writes a site file."""
    if error["type"] == "string_pattern_mismatch":
        if error["loc"][-1:] == ("digest",):
            return "a time of day such as 08:00"
        return "letters, digits, '_', '.' and '-' only, with a letter or digit first"
    if error["type"] == "string_type" and type(error["input"]) in (int, float):
        return "a text: write quotes around it, as it is printed on the device"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ").removeprefix("String should ")
    words = message.split(", unable to")[0]
    for theirs, ours in (
        ("a valid integer", "a whole number"),
        ("a valid string", "a text"),
        ("a valid list", "a list"),
    ):
        words = words.replace(theirs, ours)
    return words


def _siblings(where: Where) -> list[str]:
    """The keys that the model at this place knows."""
    model: Any = SiteFile
    for part in where[:-1]:
        if isinstance(part, str):
            model = _MODELS.get((model.__name__, part), model)
    return [field.alias or name for name, field in model.model_fields.items()]


_MODELS: dict[tuple[str, str], Any] = {
    ("SiteFile", "buildings"): BuildingEntry,
    ("BuildingEntry", "units"): UnitEntry,
    ("SiteFile", "devices"): SiteDevice,
    ("SiteFile", "supplies"): Supply,
    ("Supply", "members"): Member,
    ("Supply", "units"): UnitRef,
    ("SiteFile", "rules"): SiteRule,
    ("SiteRule", "of"): RuleMembers,
    ("SiteRule", "clear"): Clear,
    ("SiteRule", "grades"): Grade,
    ("SiteRule", "schedule"): Schedule,
    ("SiteRule", "flapping"): Flapping,
    ("SiteRule", "source"): Source,
    ("SiteRule", "ticket"): TicketTemplate,
    ("SiteRule", "residents"): ResidentWording,
    ("SiteFile", "recipients"): Recipient,
}


def _early_words(file: str, document: Document, library: Library) -> list[SiteMistake]:
    """Unknown profiles, said also where the file's shape is wrong elsewhere: every mistake at once."""
    devices = document.data.get("devices")
    found = []
    for number, device in enumerate(devices if isinstance(devices, list) else []):
        name = device.get("profile") if isinstance(device, dict) else None
        if isinstance(name, str) and name not in library:
            where = ("devices", number, "profile")
            found.append(SiteMistake(file, document.line(where), _words(where), repr(name), nearest(name, library)))
    return found


def nearest(word: str, known: Iterable[str]) -> str:
    """The most similar known words first: "'pump' (or 'pumps')"; all of them where nothing is similar."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=3, cutoff=0.5)
    if close:
        return f"{close[0]!r}" + (f" (or {', '.join(map(repr, close[1:]))})" if close[1:] else "")
    return f"one of {', '.join(words[:12])}{', …' if len(words) > 12 else ''}" if words else "none: there are none"


def _words(where: Where) -> str:
    text = ""
    for part in where:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


class _Check:
    """Whether the names in a well-shaped file mean something."""

    def __init__(self, file: str, document: Document, library: Library, site: SiteFile) -> None:
        self._file = file
        self._document = document
        self._library = library
        self._site = site
        self._units = {building.id: {unit.id for unit in building.units} for building in site.buildings}
        self._devices = _with_all_params(site)

    def mistakes(self) -> list[SiteMistake]:
        return _by_line(
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
        return _by_line(found)

    def renamed(self, adopted: Mapping[tuple[str, str], str]) -> list[SiteMistake]:
        """Devices that were adopted under another id than the file gives them: an id never changes."""
        found = []
        for number, device in enumerate(self._site.devices):
            id = adopted.get((device.profile, device.wire_address), device.id)
            if id != device.id:
                expected = f"{id!r}, under which it was adopted (courtyard site export writes it as it is)"
                found.append(self._mistake(("devices", number, "id"), repr(device.id), expected))
        return _by_line(found)

    def _mistake(self, where: Where, found: str, expected: str) -> SiteMistake:
        return SiteMistake(self._file, self._document.line(where), _words(where), found, expected)

    def _unknown(self, where: Where, word: str, known: Iterable[str]) -> SiteMistake:
        return self._mistake(where, repr(word), nearest(word, known))

    def _timezone(self) -> Iterator[SiteMistake]:
        if self._site.timezone not in available_timezones():
            yield self._unknown(("timezone",), self._site.timezone, available_timezones())

    def _twice(self) -> Iterator[SiteMistake]:
        site = self._site
        lists: list[tuple[Where, Sequence[Any]]] = [
            (("buildings",), site.buildings),
            (("devices",), site.devices),
            (("supplies",), site.supplies),
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
                nearest(child_id(kind, key), known) if known else f"none: {device.profile} has no children",
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
            expected = nearest(one.found.strip("'"), one.known) if not one.expected else one.expected
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
