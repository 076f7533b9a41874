"""The rules of a site as they run there: thresholds and who says them, how often each has raised, what is wrong."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, select

from device_profiles.expression import ExpressionError, names_of, parse
from device_profiles.schema import DeviceProfile, Rule, Severity, Text
from gateway.reading import Value
from services.rulebook.counts import Counts, Key, counts_of
from services.rulebook.problems import RuleProblem, problems_of
from services.rulebook.several import SeveralRule, several_of
from services.rules.book import RuleBook, changes_of, fit, structural
from services.rules.book_words import words_of
from services.rules.compiled import CompiledRule, compile_rule
from services.rules.effective import Effective, Library, sound
from services.rules.in_force import effective_rules
from services.tables import devices

Origin = Literal["profile", "site_file", "site_file_device", "book", "book_device"]


@dataclass(frozen=True, kw_only=True)
class ParamValue:
    """A threshold that a rule reads, and who says it."""

    name: str
    label: Text
    value: Value
    default: Value
    uom: str
    type: str
    min: float | None
    max: float | None
    origin: Origin
    editable: bool
    """Whether the rule book may change it."""
    differing_devices: int = 0
    """Of the site's devices, how many have another value."""


@dataclass(frozen=True, kw_only=True)
class SiteRule:
    """One rule of a profile as a site (or one device) has it."""

    site: str
    profile: str
    profile_name: Text
    device: str
    """"" for the site as a whole."""
    rule: str
    name: Text
    scope: str | None
    mode: Literal["live", "shadow", "off"]
    severity: Severity
    when: str
    for_seconds: float
    clear_when: str | None
    clear_for_seconds: float
    grades: str
    """As they are typed, see services.rules.book_words; likewise the next four. `none`: there are none."""
    schedule: str
    """`always`: at all times."""
    flapping: str
    acknowledge_within: str
    """"" where it is by its severity."""
    suppressed_by: str
    ticket: str | None
    params: tuple[ParamValue, ...]
    changed: tuple[str, ...]
    """What the rule book says about it: mode, when, for, clear_when, clear_for, severity, grades, …"""
    differing_devices: int
    """Devices that have changes of their own."""
    devices: int
    """Devices of the profile in service here."""
    counts: Counts
    problems: tuple[RuleProblem, ...]

    @property
    def id(self) -> str:
        return f"{self.profile}/{self.rule}"

    @property
    def broken(self) -> tuple[RuleProblem, ...]:
        """What somebody must mend before it can be evaluated."""
        return tuple(one for one in self.problems if one.is_hard)

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Names that it reads and that no device here has ever sent."""
        return tuple(dict.fromkeys(one.found for one in self.problems if not one.is_hard))


@dataclass(frozen=True)
class SiteRules:
    """All of a site, and what its pages need beside them."""

    effective: Effective
    version: int
    rules: tuple[SiteRule, ...]
    problems: tuple[RuleProblem, ...]
    """Every problem of the site, those of no single rule included."""
    several: tuple[SeveralRule, ...]
    """The rules over several devices, which stand in the site file."""


def rules_of(
    connection: Connection, library: Library, site: str, now: datetime, benched: Collection[str] = ()
) -> SiteRules:
    """Every rule of every profile that the site has devices of, by profile."""
    rows = _devices(connection, site)
    effective = effective_rules(connection, library)
    problems = problems_of(connection, library, frozenset({site}), benched, site)
    counts = counts_of(connection, site, now)
    by_profile: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        by_profile[row.profile].append(row)
    found = [
        rule
        for profile, of_profile in sorted(by_profile.items())
        if profile in library
        for rule in _Reader(effective, site, library[profile], of_profile, counts, problems).rules()
    ]
    several = several_of(connection, library, site, counts, problems)
    return SiteRules(effective, effective.book(site).version, tuple(found), tuple(problems), tuple(several))


def rule_at(found: SiteRules, rule: SiteRule, device: str, own: Mapping[str, Any]) -> SiteRule:
    """The same rule as one device has it; `own` are the params its site file gives it."""
    profile = found.effective.library[rule.profile]
    reader = _Reader(found.effective, rule.site, profile, [], {rule_key(rule): rule.counts}, found.problems)
    return reader.rule(next(one for one in profile.rules if one.id == rule.rule), device, own)


def rule_key(rule: SiteRule) -> Key:
    return rule.profile, rule.rule


def read_rule(
    effective: Effective, site: str, profile: str, rule: str, device: str = "", own: Mapping[str, Any] | None = None
) -> SiteRule:
    """One rule as some book has it, without counts and problems; raises KeyError where there is none."""
    known = effective.library[profile]
    found = next((one for one in known.rules if one.id == rule), None)
    if found is None:
        raise KeyError(rule)
    return _Reader(effective, site, known, [], {}, ()).rule(found, device, own)


class _Reader:
    """Reads the rules of one profile at one site."""

    def __init__(
        self,
        effective: Effective,
        site: str,
        profile: DeviceProfile,
        rows: list[Row[Any]],
        counts: Mapping[Key, Counts],
        problems: Iterable[RuleProblem],
    ) -> None:
        self._effective = effective
        self._site = site
        self._profile = profile
        self._rows = rows
        self._counts = counts
        self._problems = [one for one in problems if one.profile == profile.id]
        self._book: RuleBook = effective.book(site).book
        self._sound = sound(profile)[0]
        self._own = [row for row in rows if row.params or row.id in self._book.devices]

    def rules(self) -> list[SiteRule]:
        return [self.rule(rule) for rule in self._profile.rules]

    def rule(self, own: Rule, device: str = "", given: Mapping[str, Any] | None = None) -> SiteRule:
        fitted = fit(self._sound, self._book, device).profile
        rule = next((one for one in fitted.rules if one.id == own.id), own)
        change = changes_of(self._profile.id, self._book, device).get(own.id)
        off = change is not None and change.mode == "off"
        compiled = _compiled(self._profile, rule)
        said = change.model_dump(exclude_none=True, exclude={"note"}) if change is not None else {}
        return SiteRule(
            site=self._site,
            profile=self._profile.id,
            profile_name=self._profile.name,
            device=device,
            rule=own.id,
            name=own.name,
            scope=own.scope,
            mode="off" if off else rule.mode,
            severity=rule.severity,
            when=rule.when,
            for_seconds=rule.for_.total_seconds(),
            clear_when=rule.clear.when,
            clear_for_seconds=compiled.delays.clear_after / 1000 if compiled else 0.0,
            **words_of(rule),
            ticket=rule.ticket,
            params=tuple(self._param(name, device, given or {}) for name in params_read(self._profile, rule)),
            changed=tuple(name.removesuffix("_") for name in said),
            differing_devices=sum(1 for row in self._rows if self._differs(row.id, own.id)),
            devices=len(self._rows),
            counts=self._counts.get((self._profile.id, own.id)) or Counts(),
            problems=tuple(one for one in self._problems if one.rule in ("", own.id) and not one.device),
        )

    def _differs(self, device: str, rule: str) -> bool:
        return device in self._book.devices and rule in self._book.devices[device].rules

    def _param(self, name: str, device: str, given: Mapping[str, Any]) -> ParamValue:
        param = self._profile.params[name]
        value = self._effective.params(self._site, self._profile.id, device, given)[name]
        return ParamValue(
            name=name,
            label=param.name or Text(zh=name, en=name),
            value=value,
            default=param.default,
            uom=param.uom,
            type=param.type,
            min=param.min,
            max=param.max,
            origin=self._origin(name, device, given),
            editable=name not in structural(self._profile),
            differing_devices=sum(1 for row in self._own if self._of(row, name) != value),
        )

    def _of(self, row: Row[Any], name: str) -> Value:
        found: Value = self._effective.params(self._site, self._profile.id, row.id, row.params)[name]
        return found

    def _origin(self, name: str, device: str, given: Mapping[str, Any]) -> Origin:
        if device in self._book.devices and name in self._book.devices[device].params:
            return "book_device"
        if name in given:
            return "site_file_device"
        if name in self._book.params.get(self._profile.id, {}):
            return "book"
        return "site_file" if name in self._effective.of_site_file(self._site, self._profile.id) else "profile"


def params_read(profile: DeviceProfile, rule: Rule) -> list[str]:
    """The params that a rule's conditions read, as they are written; all of a rule that cannot be read by a look."""
    texts = [rule.when, rule.clear.when or "", *(grade.when or "" for grade in rule.grades)]
    try:
        read = {name for text in texts if text for name in parse(text, names_of(profile, rule.scope)).names}
    except ExpressionError:
        read = {word for text in texts for word in re.findall(r"\w+", text)}
    return [name for name in profile.params if name in read]


def _compiled(profile: DeviceProfile, rule: Rule) -> CompiledRule | None:
    try:
        return compile_rule(profile, rule)
    except ValueError:  # ExpressionError: it stands among the problems
        return None


def _devices(connection: Connection, site: str) -> list[Row[Any]]:
    query = select(devices.c.id, devices.c.profile, devices.c.params).where(
        devices.c.site == site, devices.c.retired_at.is_(None)
    )
    return list(connection.execute(query.order_by(devices.c.id)))
