"""A rule of a site file, compiled: what is asked of each member, and the rule over what was counted.

A member is a device (`number(device, presence == offline)`) or a child of one (`share(port, port_state == idle)`). Its
condition uses the names that a rule of its profile would, and `alarm.<rule>`: whether that rule has an alarm active on
it. Several profiles may belong to one rule; each reads the condition in its own names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from device_profiles.expression import Condition, Expression, ExpressionError, Names, Type, names_of, parse
from device_profiles.schema import DeviceProfile
from services.rules.compiled import CompiledProfile, CompiledRule, Read, Source, compile_profile, read_of
from services.sites.model import SiteRule

SITE_RULES = "courtyard_site_rules"
"""The profile of these alarms."""
DEVICE = "device"
ALARM = "alarm."
_BOOLEAN = Type("boolean")

Where = tuple[str | int, ...]


class RuleMistake(ValueError):
    """A condition that cannot be read: where in the rule, what was found, what was expected."""

    def __init__(self, where: Where, found: str, expected: str) -> None:
        super().__init__(f"{'.'.join(map(str, where))}: found {found}, expected {expected}")
        self.where = where
        self.found = found
        self.expected = expected


class Asked(NamedTuple):
    """What is asked of the members of one profile by one function of a rule."""

    kind: str
    """DEVICE, or a kind of child."""
    holds: Condition
    reads: tuple[Read, ...]
    steady: tuple[Read, ...]
    """Those of them that can be told of a device which is not there: its presence and params."""
    alarms: tuple[tuple[str, str], ...]
    """(name as it is written, rule)"""


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

    @property
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
    return GroupRule(
        site=site,
        rule=rule,
        profile=compiled,
        functions=tuple(functions.items()),
        asked={id: _asked(by_id[id], expressions, functions) for id, expressions in read.items()},
    )


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
    return replace(names, types={**names.types, **alarms}, groups={}, windows=False)


def _read_all(rule: SiteRule, names: Names, profile: str) -> list[Expression]:
    texts: list[tuple[Where, str]] = [(("when",), rule.when)]
    texts += [(("clear", "when"), rule.clear.when)] if rule.clear.when is not None else []
    texts += [(("grades", i, "when"), one.when) for i, one in enumerate(rule.grades) if one.when is not None]
    return [_read(where, text, names, profile) for where, text in texts]


def _read(where: Where, text: str, names: Names, profile: str) -> Expression:
    try:
        return parse(text, names)
    except ExpressionError as error:
        of = f" (read for {profile})" if profile else ""
        raise RuleMistake(where, f"{error.found} at column {error.column} of {text!r}{of}", error.expected) from None


def _asked(
    profile: DeviceProfile, expressions: Sequence[Expression], functions: Mapping[str, str]
) -> tuple[Asked, ...]:
    found = {one.key: one for expression in expressions for one in expression.groups}
    return tuple(_ask(profile, found[key].kind, found[key].condition) for key in functions)


def _ask(profile: DeviceProfile, kind: str, condition: Expression) -> Asked:
    if kind != DEVICE and kind not in profile.children:
        return Asked(kind, condition.compile(), (), (), ())  # it has no such members
    names = sorted(condition.names)
    reads = tuple(read_of(profile, name) for name in names if not name.startswith(ALARM))
    steady = tuple(one for one in reads if one.source in (Source.PRESENCE, Source.PARAM))
    alarms = tuple((name, name.removeprefix(ALARM)) for name in names if name.startswith(ALARM))
    return Asked(kind, condition.compile(), reads, steady, alarms)


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
