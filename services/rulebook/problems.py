"""Rules that cannot be evaluated, and why. A rule that silently says nothing is worse than none."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection, func, or_, select

from device_profiles.schema import DeviceProfile
from services.groups.rule import SITE_RULES
from services.groups.store import broken_rules
from services.rules.compiled import PARENT, CompiledProfile
from services.rules.effective import Effective, Library
from services.rules.in_force import effective_rules
from services.scope import Scope, in_scope
from services.tables import device_states, devices, rule_books, set_aside, sites

Kind = Literal["misfit", "broken", "no_profile", "benched", "never_sent"]
KINDS: tuple[Kind, ...] = ("misfit", "broken", "no_profile", "benched", "never_sent")
HARD: frozenset[str] = frozenset({"misfit", "broken", "no_profile", "benched"})
"""Somebody has to mend something. `never_sent` may be a sensor that this site simply does not have."""
_FIRST_LOOK = 300
_LATELY = timedelta(days=1)
_Needed = dict[tuple[str, str], list[str]]
"""(child kind or "", name) -> rules that read it."""


@dataclass(frozen=True, kw_only=True)
class RuleProblem:
    """One reason why a rule, or all rules of a device, say nothing."""

    site: str
    kind: Kind
    profile: str
    rule: str
    """"" where it concerns all rules of the profile or device."""
    device: str
    """"" where it concerns all devices of the profile."""
    found: str
    """In words; of `never_sent`, the name that nobody has sent."""
    since: datetime | None = None
    """Of `never_sent`: since when at least the devices have been there without sending it."""

    @property
    def is_hard(self) -> bool:
        return self.kind in HARD


def problems_of(
    connection: Connection, library: Library, scope: Scope, benched: Collection[str] = (), site: str | None = None
) -> list[RuleProblem]:
    """Of the sites in scope (or the one of them), the worst kinds first."""
    effective = effective_rules(connection, library)
    in_service = _in_service(connection, scope, site)
    found: list[RuleProblem] = [one for one in _across_devices(connection, library) if one.site in in_service]
    for one, by_device in sorted(in_service.items()):
        found += _of_book(effective, one, by_device)
        found += _of_profiles(effective, one, by_device)
        found += _benched(one, by_device, benched)
        for profile in sorted(set(by_device.values())):
            compiled = effective.profile(one, profile, "")
            if compiled is not None:
                found += _never_sent(connection, one, library[profile], compiled)
    return sorted(found, key=lambda one: (one.site, KINDS.index(one.kind), one.profile, one.rule, one.device))


def benched_lately(connection: Connection, now: datetime) -> frozenset[str]:
    """What other processes cannot ask services for: devices that could not be judged within a day, and whose site has
    neither been imported nor got a new rule book since. With either all of its devices are tried again."""
    newest_book = select(func.max(rule_books.c.at)).where(rule_books.c.site == sites.c.id).scalar_subquery()
    failed_at = set_aside.c.at
    query = (
        select(set_aside.c.device)
        .join(devices, devices.c.id == set_aside.c.device)
        .join(sites, sites.c.id == devices.c.site)
        .where(set_aside.c.reading == "", failed_at >= now - _LATELY, failed_at >= sites.c.updated_at)
        .where(or_(newest_book.is_(None), failed_at >= newest_book))
    )
    return frozenset(connection.scalars(query))


def _in_service(connection: Connection, scope: Scope, site: str | None) -> dict[str, dict[str, str]]:
    """Site -> device -> profile."""
    query = select(devices.c.site, devices.c.id, devices.c.profile).where(
        devices.c.site.is_not(None), devices.c.retired_at.is_(None), in_scope(devices.c.site, scope)
    )
    if site is not None:
        query = query.where(devices.c.site == site)
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for row in connection.execute(query):
        found[row.site][row.id] = row.profile
    return found


def _of_book(effective: Effective, site: str, by_device: Mapping[str, str]) -> Iterator[RuleProblem]:
    for one in effective.misfits(site, by_device):
        found = f"{one.param}: {one.found}" if one.param else one.found
        yield RuleProblem(site=site, kind="misfit", profile=one.profile, rule=one.rule, device=one.device, found=found)


def _of_profiles(effective: Effective, site: str, by_device: Mapping[str, str]) -> Iterator[RuleProblem]:
    for profile, count in sorted(Counter(by_device.values()).items()):
        if effective.profile(site, profile, "") is None:
            found = f"the profile is not loaded; {count} devices have no rules at all"
            yield RuleProblem(site=site, kind="no_profile", profile=profile, rule="", device="", found=found)
        for one in effective.broken.get(profile, ()):
            yield RuleProblem(site=site, kind="broken", profile=profile, rule=one.rule, device="", found=one.found)


def _across_devices(connection: Connection, library: Library) -> Iterator[RuleProblem]:
    """Rules of the site files."""
    for one in broken_rules(connection, library):
        yield RuleProblem(site=one.site, kind="broken", profile=SITE_RULES, rule=one.rule, device="", found=one.found)


def _benched(site: str, by_device: Mapping[str, str], benched: Collection[str]) -> Iterator[RuleProblem]:
    for device in sorted(set(benched) & by_device.keys()):
        found = (
            "judging it failed, so it is left out until services start again, "
            "or its site is imported or gets a new rule book"
        )
        yield RuleProblem(site=site, kind="benched", profile=by_device[device], rule="", device=device, found=found)


def _never_sent(
    connection: Connection, site: str, profile: DeviceProfile, compiled: CompiledProfile
) -> Iterator[RuleProblem]:
    needed = _needed(profile, compiled)
    since = _cross_off(connection, site, profile.id, needed)
    for (_, name), rules in sorted(needed.items()):
        for rule in rules:
            yield RuleProblem(
                site=site, kind="never_sent", profile=profile.id, rule=rule, device="", found=name, since=since
            )


def _needed(profile: DeviceProfile, compiled: CompiledProfile) -> _Needed:
    """What devices must send for the rules to be known. What only happens now and then (events, commands) is not."""
    found: _Needed = defaultdict(list)
    for id, rule in compiled.rules.items():
        for name in rule.fresh_for:
            key = name.removeprefix(PARENT)
            if key in profile.metrics or key in profile.states:
                found["" if key != name else rule.rule.scope or "", key].append(id)
    return found


def _cross_off(connection: Connection, site: str, profile: str, needed: _Needed) -> datetime | None:
    """Take out what some device has sent; since when the devices are known at least. Most sites need but a glance."""
    query = (
        select(device_states.c.child, device_states.c.value_times, device_states.c.since)
        .join(devices, devices.c.id == device_states.c.device)
        .where(devices.c.site == site, devices.c.profile == profile, devices.c.retired_at.is_(None))
        .order_by(device_states.c.device, device_states.c.child)
    )
    since: datetime | None = None
    for part in (query.limit(_FIRST_LOOK), query.offset(_FIRST_LOOK)):
        if not needed:
            break
        for row in connection.execute(part):
            if row.since is not None:
                since = row.since if since is None else min(since, row.since)
            kind = row.child.partition(":")[0]
            for name in row.value_times or ():
                needed.pop((kind, name), None)
    return since
