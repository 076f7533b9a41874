"""Why there is no alarm: every rule of a device, and what keeps each from raising one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection

from device_profiles.schema import Rule, Severity, Text
from services.clock import from_millis, to_millis
from services.rulebook.explain import RuleNow, explained, moment_of
from services.rulebook.live import device_now
from services.rules.book import changes_of
from services.rules.compiled import CompiledRule
from services.rules.effective import Effective, Library
from services.rules.in_force import effective_rules
from services.rules.state import DeviceState
from services.rules.trial_store import Correction, corrections_of
from services.scope import NotFound, Scope

State = Literal["quiet", "pending", "active", "clearing", "suppressed", "unknown", "outside"]

_LATELY = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class PartNow:
    """One rule on the device ("") or one child."""

    child: str
    state: State
    """quiet: a part of its condition does not hold; unknown: what it reads is missing; outside: of its hours."""
    frozen: bool
    """Pending or clearing, and its delay does not run on: data are missing or too old."""
    until: datetime | None
    """Of pending: when it raises if this goes on, None where that is judged with the next reading; of clearing: when
    it clears; of outside: when its hours begin."""
    now: RuleNow


@dataclass(frozen=True, kw_only=True)
class RuleOnDevice:
    """One rule of the profile."""

    rule: str
    name: Text
    scope: str | None
    severity: Severity
    mode: Literal["live", "shadow", "off"]
    """shadow: judged, and raises nothing. off: not judged."""
    version: int | None
    """Of the rule book that changes it."""
    broken: str
    """Why it cannot be evaluated; "" where it can."""
    condition: str
    parts: tuple[PartNow, ...]
    """Empty of one that is off or broken, and of one whose parts have never been heard."""


@dataclass(frozen=True, kw_only=True)
class DeviceRules:
    device: str
    at: datetime
    """Event time up to which the device's gateway has seen time pass."""
    rules: tuple[RuleOnDevice, ...]
    corrections: tuple[Correction, ...]
    """What late data of the last days would have moved, the newest first."""


def device_rules(connection: Connection, library: Library, scope: Scope, device: str, now: datetime) -> DeviceRules:
    """In the order of the profile. Raises NotFound for a device that is not in service in the scope."""
    effective = effective_rules(connection, library)
    state = device_now(connection, effective, scope, device)
    profile = library.get(state.profile_id)
    if profile is None:
        raise NotFound("profile", state.profile_id)
    at, standing = moment_of(connection, state, now)
    found = []
    for own in profile.rules:
        compiled = state.profile.rules.get(own.id) if state.profile is not None else None
        parts = [] if compiled is None else explained(state, compiled, profile, at, standing)
        said = tuple(_part(one, state, compiled) for one in parts if compiled is not None)
        found.append(_rule(effective, state, own, compiled, said))
    late = corrections_of(connection, state.id, since=now - _LATELY)
    return DeviceRules(device=state.id, at=from_millis(at), rules=tuple(found), corrections=late)


def _rule(
    effective: Effective, state: DeviceState, own: Rule, compiled: CompiledRule | None, parts: tuple[PartNow, ...]
) -> RuleOnDevice:
    book = effective.book(state.site)
    change = changes_of(state.profile_id, book.book, state.id).get(own.id)
    off = change is not None and change.mode == "off"
    rule = own if compiled is None else compiled.rule
    broken = (
        "" if off else next((one.found for one in effective.broken.get(state.profile_id, ()) if one.rule == own.id), "")
    )
    return RuleOnDevice(
        rule=own.id,
        name=own.name,
        scope=own.scope,
        severity=rule.severity,
        mode="off" if off else rule.mode,
        version=book.version if change is not None else None,
        broken=broken,
        condition=rule.when,
        parts=parts,
    )


def _part(found: RuleNow, state: DeviceState, rule: CompiledRule) -> PartNow:
    word = state_word(found)
    until = found.ends_at
    if word == "outside" and rule.timetable is not None:
        until = from_millis(rule.timetable.in_zone(state.zone).edge_after(to_millis(found.at)))
    return PartNow(child=found.child, state=word, frozen=found.frozen, until=until, now=found)


def state_word(found: RuleNow) -> State:
    """What matters most: an alarm first, then whether it applies, then what its condition says. Pure."""
    if found.suppressed:
        return "suppressed"
    if found.phase == "clearing":
        return "clearing"
    if found.phase == "active" or found.alarm is not None:
        return "active"
    if not found.applies:
        return "outside"
    if found.phase == "pending" or found.holds is True:
        return "pending"
    return "unknown" if found.holds is None and not _waits_for_command(found) else "quiet"


def _waits_for_command(found: RuleNow) -> bool:
    """All that is missing is how a command fares which nobody has given."""
    return bool(found.unknown) and all(
        one.how == "never_sent" and one.name.endswith("_command") for one in found.unknown
    )
