"""Why a rule says what it says about a device now: its parts, what they read, what is unknown, what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, select

from device_profiles.expression import ExpressionError, Names, names_of, parse
from device_profiles.schema import DeviceProfile
from gateway.reading import Millis, Value
from services.clock import from_millis, to_millis
from services.rulebook.live import children_of, device_now, progress_of
from services.rulebook.parts import parts_of, within_brackets
from services.rules.automaton import FOREVER, IDLE, Mark, Phase
from services.rules.compiled import PARENT, CompiledRule, Read, Source
from services.rules.effective import Effective
from services.rules.evaluation import applies_at
from services.rules.seen import NEVER_TRUSTED, ages, valid_until, values_of
from services.rules.state import DeviceState
from services.scope import NotFound, Scope
from services.tables import alarms

How = Literal["known", "param", "never_sent", "stale", "untrusted", "unknown"]
_RAISING = (Phase.IDLE, Phase.PENDING)


@dataclass(frozen=True, kw_only=True)
class NameNow:
    """One name that a rule reads."""

    name: str
    value: Value
    how: How
    measured_at: datetime | None = None
    flag: str = ""
    """Of `untrusted`: why."""

    @property
    def is_known(self) -> bool:
        return self.how in ("known", "param")


@dataclass(frozen=True, kw_only=True)
class PartNow:
    """One part of a condition. `holds` None: unknown."""

    text: str
    holds: bool | None


@dataclass(frozen=True, kw_only=True)
class BranchNow:
    """A condition with every part of it, down to those that are not joined."""

    text: str
    holds: bool | None
    joined_by: str = ""
    """`or`, `and`, or "" where it has no branches."""
    branches: tuple[BranchNow, ...] = ()

    def against(self) -> tuple[BranchNow, ...]:
        """The branches because of which it does not hold: of an `or` each that does not, of an `and` the first."""
        if self.joined_by == "or":
            return tuple(one for branch in self.branches for one in branch.against())
        if self.joined_by == "and":
            return next((found for branch in self.branches if (found := branch.against())), ())
        return (self,) if self.holds is False else ()


@dataclass(frozen=True, kw_only=True)
class RuleNow:
    """One rule on one device or part of it."""

    device: str
    child: str
    at: datetime
    """Event time up to which the device's gateway has seen time pass."""
    phase: str
    """idle | pending | active | clearing"""
    applies: bool
    """By its schedule."""
    joined_by: str
    parts: tuple[PartNow, ...]
    """Of the condition that counts in this phase: for raising, or for clearing."""
    branches: BranchNow
    """The same condition, taken apart to the end."""
    holds: bool | None
    names: tuple[NameNow, ...]
    since: datetime | None
    """When what it waits for began to hold; or when the alarm was raised."""
    ends_at: datetime | None
    """When it raises or clears, if what holds now goes on."""
    frozen: bool
    """The delay does not count: data are missing or too old."""
    alarm: str | None
    """The episode that is not over."""
    suppressed: bool
    flaps: int

    @property
    def unknown(self) -> tuple[NameNow, ...]:
        return tuple(one for one in self.names if not one.is_known)


def explain(
    connection: Connection, effective: Effective, scope: Scope, device: str, rule: str, now: datetime
) -> list[RuleNow]:
    """Of each part of the device that the rule judges. Raises NotFound for a device or a rule that is not there."""
    state = device_now(connection, effective, scope, device)
    if state.profile is None:
        raise NotFound("profile", state.profile_id)
    compiled = state.profile.rules.get(rule)
    if compiled is None:
        raise NotFound("rule that runs on this device", rule)
    return explained(state, compiled, effective.library[state.profile_id], *moment_of(connection, state, now))


Episodes = Mapping[tuple[str, str], tuple[str, bool]]
"""(child, rule) -> the alarm that is not over, and whether it is suppressed."""


def moment_of(connection: Connection, state: DeviceState, now: datetime) -> tuple[Millis, Episodes]:
    """The event time of a device, and its alarms."""
    query = select(alarms.c.child, alarms.c.rule, alarms.c.id, alarms.c.state).where(
        alarms.c.device == state.id, alarms.c.state != "cleared"
    )
    standing = {(row.child, row.rule): (row.id, row.state == "suppressed") for row in connection.execute(query)}
    return state.event_now(progress_of(connection, state) or to_millis(now)), standing


def explained(
    state: DeviceState, rule: CompiledRule, profile: DeviceProfile, at: Millis, standing: Episodes
) -> list[RuleNow]:
    """Of each part of the device that the rule judges."""
    return [
        _explained(profile, state, child, rule, at, standing.get((child, rule.rule.id), (None, False)))
        for child in children_of(state, rule.rule.scope)
    ]


def _explained(
    profile: DeviceProfile,
    device: DeviceState,
    child: str,
    rule: CompiledRule,
    at: Millis,
    episode: tuple[str | None, bool],
) -> RuleNow:
    mark = device.marks.get((child, rule.rule.id), IDLE)
    raising = mark.phase in _RAISING or rule.rule.clear.when is None
    text = rule.rule.when if raising else rule.rule.clear.when or ""
    joined_by, texts = parts_of(text)
    values, past = values_of(device, child, rule, at), device.past.get((child, rule.rule.id))
    names, age = names_of(profile, rule.rule.scope), ages(device, child, at)
    ends_at, frozen = _ends(device, child, rule, mark, at)
    return RuleNow(
        device=device.id,
        child=child,
        at=from_millis(at),
        phase=mark.phase.value,
        applies=applies_at(device, rule, at),
        joined_by=joined_by,
        parts=tuple(PartNow(text=one, holds=_judged(one, names, values, age)) for one in texts),
        branches=branches_of(text, lambda one: _judged(one, names, values, age)),
        holds=_judged(text, names, values, age),
        names=tuple(_name(device, child, rule, read, at) for read in rule.reads),
        since=from_millis(mark.since) if mark.phase is not Phase.IDLE and mark.since else None,
        ends_at=ends_at,
        frozen=frozen,
        alarm=episode[0],
        suppressed=episode[1],
        flaps=past.flaps if past is not None else 0,
    )


def branches_of(text: str, judged: Callable[[str], bool | None]) -> BranchNow:
    """Taken apart to the end; `judged` says of a part whether it holds."""
    joined_by, texts = parts_of(within_brackets(text))
    below = tuple(branches_of(one, judged) for one in texts) if joined_by else ()
    return BranchNow(text=text, holds=judged(text), joined_by=joined_by, branches=below)


def _judged(text: str, names: Names, values: dict[str, Value], age: object) -> bool | None:
    try:
        found = parse(text, names).compile()(values, age)  # type: ignore[arg-type]
    except ExpressionError:
        return None  # a part that only makes sense within the whole
    return found if isinstance(found, bool) else None


def _ends(device: DeviceState, child: str, rule: CompiledRule, mark: Mark, at: Millis) -> tuple[datetime | None, bool]:
    """When its delay is over, and whether it does not count now."""
    if mark.phase not in (Phase.PENDING, Phase.CLEARING):
        return None, False
    past = device.past.get((child, rule.rule.id))
    delays = rule.calm if past is not None and past.flaps else rule.delays
    delay = delays.raise_after if mark.phase is Phase.PENDING else delays.clear_after
    over = mark.at + max(0, delay - mark.held)
    fresh_until = valid_until(device, child, rule) if mark.valid_until < FOREVER else FOREVER
    frozen = not mark.counting or max(mark.valid_until, fresh_until) < min(over, at)
    return (None, True) if frozen else (from_millis(over), False)


def _name(device: DeviceState, child: str, rule: CompiledRule, read: Read, at: Millis) -> NameNow:
    name, source, key, fresh_for = read
    if source is Source.PARAM:
        return NameNow(name=name, value=device.params.get(key), how="param")
    if source is Source.PRESENCE:
        presence = device.presence_of(child)
        return NameNow(name=name, value=presence, how="unknown" if presence == "unknown" else "known")
    if source is Source.SILENCE:
        return NameNow(name=name, value=device.silence_seconds, how="known" if device.silence_seconds else "unknown")
    state = device.children.get("" if name.startswith(PARENT) else child)
    if state is None or key not in state.times:
        return NameNow(name=name, value=None, how="never_sent")
    value, measured = state.values.get(key), from_millis(state.times[key])
    flag = state.flags.get(key)
    if flag is not None and (rule.rule.needs != "any" or flag in NEVER_TRUSTED):
        return NameNow(name=name, value=value, how="untrusted", measured_at=measured, flag=flag.value)
    if at - state.times[key] > fresh_for:
        return NameNow(name=name, value=value, how="stale", measured_at=measured)
    return NameNow(name=name, value=value, how="known", measured_at=measured)
