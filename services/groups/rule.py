"""A rule of a site file, compiled: what is asked of each member, and the rule over what was counted.

A member is a device (`number(device, presence == offline)`) or a child of one (`share(port, port_state == idle)`). Its
condition uses the names that a rule of its profile would, and `alarm.<rule>`: whether that rule has an alarm active on
it. Several profiles may belong to one rule; each reads the condition in its own names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from device_profiles.expression import (
    AgeLimit,
    Condition,
    Expression,
    ExpressionError,
    Members,
    Names,
    Type,
    names_of,
    parse,
)
from device_profiles.expression.node import mentioned
from device_profiles.schema import DeviceProfile
from services.rules.automaton import FOREVER
from services.rules.compiled import (
    DEVICE,
    PARENT,
    CompiledLook,
    CompiledMembers,
    CompiledProfile,
    CompiledRule,
    Read,
    Source,
    compile_members,
    compile_profile,
)
from services.rules.effective import SITE_RULES
from services.sites.model import SiteRule

__all__ = ["ALARM", "SITE_RULES", "WATCHER", "Asked", "GroupRule", "RuleMistake", "Where", "compile_rule"]

WATCHER = "site:"
"""Before the id of a rule under which devices remember what it looks back at; rules of profiles have no colon."""
ALARM = "alarm."
_OFTEN, _SELDOM, _LOOKS = 1000, 60_000, 60
"""Milliseconds, and how often a stretch of time is looked at while it passes."""
_STEADY = (Source.PRESENCE, Source.SILENCE, Source.PARAM)
_BOOLEAN = Type("boolean")

Where = tuple[str | int, ...]


class RuleMistake(ValueError):
    """A condition that cannot be read: where in the rule, what was found, what was expected."""

    def __init__(self, where: Where, found: str, expected: str) -> None:
        super().__init__(f"{'.'.join(map(str, where))}: found {found}, expected {expected}")
        self.where = where
        self.found = found
        self.expected = expected


class Drift(NamedTuple):
    """A mean that is compared with something."""

    look: CompiledLook
    limits: tuple[Condition, ...]
    """What it is compared with: none of it moves by time alone."""


class Asked(NamedTuple):
    """What is asked of the members of one profile by one function of a rule."""

    kind: str
    """DEVICE, or a kind of child."""
    holds: Condition
    reads: tuple[Read, ...]
    steady: tuple[Read, ...]
    """Those of them that can be told of a device which is not there: its presence, silence and params."""
    alarms: tuple[tuple[str, str], ...]
    """(name as it is written, rule)"""
    looks: tuple[CompiledLook, ...] = ()
    """What looks back at each of them."""
    turning: tuple[CompiledLook, ...] = ()
    """Of these the ones that change at moments which can be told."""
    limits: tuple[AgeLimit, ...] = ()
    """At which ages it can change."""
    limited: bool = False
    """It asks for ages."""
    rest: int = 0
    """Milliseconds after which it is asked again by time alone, where no single moment can be said; 0: never."""
    drifts: tuple[Drift, ...] = ()
    """All that moves so, where each of these can be told to stay where it is for a while: it need not be asked then."""
    moved_by: frozenset[str] = frozenset()
    """Names and events of the device, or of such children, that can change the answer."""
    by_silence: bool = False
    """Each word of the device can."""
    ageing: tuple[Read, ...] = ()
    """Of `reads` those that count for a while only."""
    moves_by_time: bool = False
    """The answer can change although nothing is heard."""


@dataclass(frozen=True, kw_only=True)
class GroupRule:
    """One rule of a site, ready to be judged."""

    site: str
    rule: SiteRule
    profile: CompiledProfile
    """With this rule alone, over what is told under the keys of its functions."""
    functions: tuple[tuple[str, str], ...]
    """(key, "number" or "share") of everything it counts."""
    asked: Mapping[str, tuple[Asked, ...]]
    """Profile -> what is asked of its devices, in the order of `functions`."""

    by_silence: frozenset[str]
    """Keys of the functions that ask who is not heard."""
    watchers: Mapping[str, CompiledRule]
    """Profile -> what its devices remember for this rule, where it looks back at them."""
    feeds: frozenset[str] | None = None
    """The ids of the only feeds for which it is judged; None: of all."""

    def moved_by(self, profile: str) -> tuple[frozenset[str], bool, bool]:
        """Names and events that can change the answer of a device of this profile; whether its alarms can, and whether
        each of its words can."""
        return self._moved_by[profile]

    @cached_property
    def _moved_by(self) -> dict[str, tuple[frozenset[str], bool, bool]]:
        return {
            profile: (
                frozenset().union(*(one.moved_by for one in asked)),
                any(one.alarms for one in asked),
                any(one.by_silence for one in asked),
            )
            for profile, asked in self.asked.items()
        }

    @property
    def watcher_id(self) -> str:
        return f"{WATCHER}{self.rule.id}"

    @cached_property
    def compiled(self) -> CompiledRule:
        return self.profile.rules[self.rule.id]


def compile_rule(site: str, rule: SiteRule, profiles: Sequence[DeviceProfile]) -> GroupRule:
    """`profiles` are those of its members, at least one. Raises RuleMistake."""
    known = names_of_members(profiles)
    read = {id: _read_all(rule, names, id if len(profiles) > 1 else "") for id, names in known.items()}
    first = next(iter(read.values()))
    functions = {one.key: one.function for expression in first for one in expression.groups}
    compiled = compile_profile(_as_profile(rule), next(iter(known.values())))
    by_id = {profile.profile: profile for profile in profiles}
    members = {id: _members(by_id[id], expressions, functions) for id, expressions in read.items()}
    watcher = compiled.rules[rule.id]
    return GroupRule(
        site=site,
        rule=rule,
        profile=compiled,
        functions=tuple(functions.items()),
        by_silence=frozenset(one.key for each in read.values() for one in _of_all(each) if _is_by_silence(one)),
        asked={id: tuple(_ask(by_id[id], one) for one in some) for id, some in members.items()},
        watchers={id: _watcher(watcher, some) for id, some in members.items() if any(one.looks for one in some)},
    )


def _of_all(expressions: Sequence[Expression]) -> list[Members]:
    return [one for expression in expressions for one in expression.groups]


def _is_by_silence(members: Members) -> bool:
    return not members.condition.names.isdisjoint({"presence", "silence"}) or members.condition.ages


def _watcher(rule: CompiledRule, members: tuple[CompiledMembers, ...]) -> CompiledRule:
    """The rule as a device remembers for it."""
    own = rule.rule.model_copy(update={"id": f"{WATCHER}{rule.rule.id}"})
    return replace(rule, rule=own, members=members)


def names_of_members(profiles: Sequence[DeviceProfile]) -> dict[str, Names]:
    """Profile -> the names of a rule over its devices. A kind of child that only others have is read as they have it:
    of this profile there are no such members."""
    own = {profile.profile: _kinds(profile) for profile in profiles}
    everybody: dict[str, Names] = {}
    for kinds in reversed(own.values()):
        everybody |= kinds
    hints = {name: _around(kind) for kind, names in everybody.items() for name in names.types}
    return {id: Names({}, elsewhere=hints, groups={**everybody, **kinds}, windows=False) for id, kinds in own.items()}


def _around(kind: str) -> str:
    return f"number({kind}, …) or share({kind}, …) around it"


def _kinds(profile: DeviceProfile) -> dict[str, Names]:
    children = {kind: _of_member(profile, kind) for kind in profile.children}
    return {**children, DEVICE: _of_member(profile, None)}


def _of_member(profile: DeviceProfile, scope: str | None) -> Names:
    alarms = {f"{ALARM}{rule.id}": _BOOLEAN for rule in profile.rules if rule.scope == scope}
    names = names_of(profile, scope)
    return replace(names, types={**names.types, **alarms}, groups={})


def _read_all(rule: SiteRule, names: Names, profile: str) -> list[Expression]:
    texts: list[tuple[Where, str]] = [(("when",), rule.when)]
    texts += [(("clear", "when"), rule.clear.when)] if rule.clear.when is not None else []
    texts += [(("grades", i, "when"), one.when) for i, one in enumerate(rule.grades) if one.when is not None]
    return [_read(where, text, names, profile) for where, text in texts]


def _read(where: Where, text: str, names: Names, profile: str) -> Expression:
    of = f" (read for {profile})" if profile else ""
    try:
        found = parse(text, names)
    except ExpressionError as error:
        raise RuleMistake(where, f"{error.found} at column {error.column} of {text!r}{of}", error.expected) from None
    looks = (look for group in found.groups for look in group.condition.windows)
    for name in (name for look in looks for name in look.names if name.startswith(ALARM)):
        raise RuleMistake(where, f"{name} within count(…) in {text!r}{of}", "a condition on values")
    return found


def _members(
    profile: DeviceProfile, expressions: Sequence[Expression], functions: Mapping[str, str]
) -> tuple[CompiledMembers, ...]:
    """What is asked of the members of a profile, in the order of `functions`."""
    found = {one.key: one for one in _of_all(expressions)}
    return tuple(_compiled(profile, found[key]) for key in functions)


def _compiled(profile: DeviceProfile, members: Members) -> CompiledMembers:
    if members.kind != DEVICE and members.kind not in profile.children:
        return CompiledMembers(members, members.condition.compile(), (), plain=False)  # it has no such members
    return compile_members(profile, _without_alarms(members))


def _without_alarms(members: Members) -> Members:
    """Whether a member has an alarm is not measured: it is looked up."""
    condition = members.condition
    names = frozenset(name for name in condition.names if not name.startswith(ALARM))
    return replace(members, condition=replace(condition, names=names))


def _ask(profile: DeviceProfile, members: CompiledMembers) -> Asked:
    kind, reads = members.of.kind, members.reads
    assert members.condition is not None
    if kind != DEVICE and kind not in profile.children:
        return Asked(kind, members.condition, (), (), ())
    condition = members.of.condition
    limits = condition.age_limits()
    alarms = sorted(name for name in mentioned(condition.root, "name") if name.startswith(ALARM))
    rests = [_OFTEN] if limits is None else []
    turning = tuple(one for one in members.looks if one.look.function != "mean")
    means = tuple(one for one in members.looks if one.look.function == "mean")
    rests += [min(_SELDOM, max(_OFTEN, one.stretch.length // _LOOKS)) for one in means]
    moments = {one.look.moment.removeprefix(PARENT) for one in members.looks} - {""}
    ageing = tuple(one for one in reads if one.source in (Source.OWN, Source.PARENT) and one.fresh_for < FOREVER)
    return Asked(
        kind,
        members.condition,
        reads,
        steady=tuple(one for one in reads if one.source in _STEADY),
        alarms=tuple((name, name.removeprefix(ALARM)) for name in alarms),
        looks=members.looks,
        turning=turning,
        limits=limits or (),
        limited=condition.ages,
        rest=min(rests, default=0),
        drifts=() if limits is None else _drifts(condition, means),
        moved_by=frozenset(moments | {one.key for one in reads if one.source in (Source.OWN, Source.PARENT)}),
        by_silence="silence" in condition.names,
        ageing=ageing,
        moves_by_time=bool(ageing or limits or alarms or rests or turning),
    )


def _drifts(condition: Expression, means: Sequence[CompiledLook]) -> tuple[Drift, ...]:
    """Each mean and what it is compared with; none, where one is used in another way."""
    limits = condition.look_limits({one.key for one in means}) or ()
    return tuple(Drift(one, tuple(limit.value for limit in limits if limit.key == one.key)) for one in means if limits)


def _as_profile(rule: SiteRule) -> DeviceProfile:
    return DeviceProfile(
        profile=SITE_RULES,
        family="site",
        name=rule.name,
        availability={"period": "1m"},
        bindings=(),
        rules=(rule.as_rule(),),
        tickets={} if rule.ticket is None else {rule.id: rule.ticket},
        residents={} if rule.residents is None else {rule.id: rule.residents},
    )
