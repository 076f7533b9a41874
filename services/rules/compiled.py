"""Profiles compiled for the engine: rules as closures, indexed by the names that touch them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from device_profiles.expression import BUILTINS, Condition, Expression, Look, names_of, parse
from device_profiles.schema import Availability, DeviceProfile, ResidentWording, Rule, TicketTemplate
from gateway.presence import Voices, voices_of
from gateway.reading import Millis, Value
from services.rules.automaton import FOREVER, Delays
from services.rules.windows import Stretch, Watch, watch

PARENT = "parent."
_LOOKS_PER_STRETCH = 60
_LONGEST_REST: Millis = 60_000
_FRESH_PERIODS = 3
"""A metric's value may be trusted for this many of its periods."""


class Source(Enum):
    """Where a name's value stands."""

    OWN = "own"  # a metric or state of what the rule runs on
    PARENT = "parent"  # of the device, for a rule on its child
    PARAM = "param"
    PRESENCE = "presence"
    SILENCE = "silence"


class Read(NamedTuple):
    name: str
    source: Source
    key: str
    """The name where it stands: without "parent."."""
    fresh_for: Millis


class CompiledLook(NamedTuple):
    """One function of a rule that looks back."""

    look: Look
    stretch: Stretch
    condition: Condition | None
    """What `count` counts."""
    reads: tuple[Read, ...]
    """What that condition reads."""

    @property
    def key(self) -> str:
        return self.look.key

    def watch(self, kept: Any = None) -> Watch:
        """Its memory: a new one, or the one that was stored."""
        return watch(self.look.function, self.stretch, of_events=bool(self.look.moment), kept=kept)


@dataclass(frozen=True, kw_only=True)
class CompiledRule:
    rule: Rule
    condition: Condition
    clear: Condition | None
    reads: tuple[Read, ...]
    """What the two conditions read."""
    delays: Delays
    fresh_for: Mapping[str, Millis]
    """How long the value of a name may be trusted. FOREVER: as long as its device is heard."""
    timed: bool
    """It can change without a reading: presence, silence, age()."""
    aging: bool
    """It can change with every moment that passes: silence, age()."""
    parent_names: frozenset[str]
    """Names of the device that a child's rule reads, without "parent."."""
    looks: tuple[CompiledLook, ...]
    rest: Millis
    """Between two readings it need not be judged more often than this: a stretch of time moves slowly."""
    template: TicketTemplate | None
    wording: ResidentWording | None


@dataclass(frozen=True, kw_only=True)
class CompiledProfile:
    """One profile's rules. Scope "" is the device itself."""

    id: str
    availability: Availability
    voices: Voices
    stale_after: Millis
    """How long a device that says nothing counts as heard; FOREVER where silence is normal."""
    rules: Mapping[str, CompiledRule]
    touched: Mapping[str, Mapping[str, tuple[CompiledRule, ...]]]
    """Scope -> name -> the rules a new value of it can move."""
    by_parent: Mapping[str, tuple[CompiledRule, ...]]
    """Name of the device -> rules of its children that read it."""
    timed: Mapping[str, tuple[CompiledRule, ...]]
    aging: Mapping[str, tuple[CompiledRule, ...]]
    params: Mapping[str, Value]
    """Defaults."""
    fed: Mapping[str, Mapping[str, tuple[Feed, ...]]]
    """Scope -> name or event of that scope -> the rules that watch it."""
    fed_by_parent: Mapping[str, tuple[Feed, ...]]
    """Name or event of the device -> rules of its children that watch it."""
    fed_by_presence: Mapping[str, tuple[Feed, ...]]
    """Scope -> rules that count by presence."""


class Feed(NamedTuple):
    """A rule, and one of its functions that watches something."""

    rule: CompiledRule
    look: CompiledLook


def compile_profile(profile: DeviceProfile) -> CompiledProfile:
    """Raises ExpressionError where a rule cannot be read (a loaded profile has been checked)."""
    rules = {rule.id: compile_rule(profile, rule) for rule in profile.rules}
    touched: dict[str, dict[str, list[CompiledRule]]] = defaultdict(lambda: defaultdict(list))
    timed: dict[str, list[CompiledRule]] = defaultdict(list)
    aging: dict[str, list[CompiledRule]] = defaultdict(list)
    by_parent: dict[str, list[CompiledRule]] = defaultdict(list)
    for compiled in rules.values():
        scope = compiled.rule.scope or ""
        moments = {one.look.moment for one in compiled.looks} - {""}
        for name in {*compiled.fresh_for, *moments}:
            if not name.startswith(PARENT):
                touched[scope][name].append(compiled)
        for name in compiled.parent_names | {name.removeprefix(PARENT) for name in moments if name.startswith(PARENT)}:
            by_parent[name].append(compiled)
        if compiled.timed:
            timed[scope].append(compiled)
        if compiled.aging:
            aging[scope].append(compiled)
    availability = profile.availability
    fed, fed_by_parent, fed_by_presence = _feeds(rules.values())
    return CompiledProfile(
        id=profile.id,
        availability=availability,
        voices=voices_of(profile),
        stale_after=FOREVER if availability.event_driven else millis(availability.stale_after.total_seconds()),
        rules=rules,
        touched={scope: _frozen(names) for scope, names in touched.items()},
        by_parent=_frozen(by_parent),
        timed=_frozen(timed),
        aging=_frozen(aging),
        params={name: param.default for name, param in profile.params.items()},
        fed={scope: {name: tuple(feeds) for name, feeds in names.items()} for scope, names in fed.items()},
        fed_by_parent={name: tuple(feeds) for name, feeds in fed_by_parent.items()},
        fed_by_presence={scope: tuple(feeds) for scope, feeds in fed_by_presence.items()},
    )


_Feeds = dict[str, list[Feed]]


def _feeds(rules: Iterable[CompiledRule]) -> tuple[dict[str, _Feeds], _Feeds, _Feeds]:
    """Who watches what: by scope and name, by name of the device for its children, and by presence."""
    own: dict[str, _Feeds] = defaultdict(lambda: defaultdict(list))
    parent: _Feeds = defaultdict(list)
    presence: _Feeds = defaultdict(list)
    for rule in rules:
        for look in rule.looks:
            feed, scope = Feed(rule, look), rule.rule.scope or ""
            for name in look.look.names | ({look.look.moment} if look.look.moment else set()):
                if name == "presence":
                    presence[scope].append(feed)
                elif name.startswith(PARENT):
                    parent[name.removeprefix(PARENT)].append(feed)
                else:
                    own[scope][name].append(feed)
    return own, parent, presence


def compile_rule(profile: DeviceProfile, rule: Rule) -> CompiledRule:
    """Raises ExpressionError where its conditions cannot be read on this profile."""
    known = names_of(profile, rule.scope)
    when = parse(rule.when, known)
    clear = parse(rule.clear.when, known) if rule.clear.when is not None else None
    conditions = [when] if clear is None else [when, clear]
    names = frozenset(name for one in conditions for name in one.names)
    data = {name for name in names if name not in BUILTINS and name not in profile.params}
    looks = compile_looks(profile, conditions)
    return CompiledRule(
        rule=rule,
        condition=when.compile(),
        clear=clear.compile() if clear else None,
        reads=tuple(_read(profile, name) for name in sorted(names - _aged_only(conditions))),
        delays=Delays(millis(rule.for_.total_seconds()), millis(rule.clear.for_.total_seconds())),
        fresh_for={name: _fresh_for(profile, name) for name in data},
        timed=any(one.timed for one in conditions),
        aging=any(one.aging for one in conditions),
        parent_names=frozenset(name.removeprefix(PARENT) for name in data if name.startswith(PARENT)),
        looks=looks,
        rest=_rest(looks, names, conditions),
        template=profile.tickets[rule.ticket] if rule.ticket else None,
        wording=profile.residents[rule.residents] if rule.residents else None,
    )


def compile_looks(profile: DeviceProfile, conditions: Iterable[Expression]) -> tuple[CompiledLook, ...]:
    """What must be watched for these conditions, each once."""
    looks = {look.key: look for one in conditions for look in one.windows}
    return tuple(_compile_look(profile, look) for look in looks.values())


def _compile_look(profile: DeviceProfile, look: Look) -> CompiledLook:
    metric = profile.metrics.get(look.name.removeprefix(PARENT))
    availability = profile.availability
    hold = FOREVER if availability.event_driven else millis(availability.stale_after.total_seconds())
    if metric is not None and metric.period is not None:
        hold = _fresh_for(profile, look.name)
    counter = metric is not None and metric.kind == "counter"
    wrap = metric.counter.wrap if metric is not None and metric.counter is not None else None
    return CompiledLook(
        look=look,
        stretch=Stretch(millis(look.seconds), hold, counter, wrap),
        condition=look.condition.compile() if look.condition is not None else None,
        reads=tuple(_read(profile, name) for name in sorted(look.condition.names)) if look.condition else (),
    )


def _rest(looks: tuple[CompiledLook, ...], names: frozenset[str], conditions: Iterable[Expression]) -> Millis:
    """Nothing, where something else in the rule moves with every moment or with presence."""
    if not looks or not names.isdisjoint(BUILTINS) or any(one.ages for one in conditions):
        return 0
    return min(_LONGEST_REST, *(look.stretch.length // _LOOKS_PER_STRETCH for look in looks))


def _aged_only(conditions: Iterable[Expression]) -> frozenset[str]:
    """Names whose age alone matters: such a rule waits for them to grow old, so their age must not freeze it."""
    read = frozenset(name for one in conditions for name in one.names - one.indirect)
    return frozenset(name for one in conditions for name in one.indirect) - read


def _read(profile: DeviceProfile, name: str) -> Read:
    key = name.removeprefix(PARENT)
    if name in BUILTINS:
        return Read(name, Source(name), name, FOREVER)
    if name in profile.params:
        return Read(name, Source.PARAM, name, FOREVER)
    return Read(name, Source.OWN if key == name else Source.PARENT, key, _fresh_for(profile, name))


def _fresh_for(profile: DeviceProfile, name: str) -> Millis:
    metric = profile.metrics.get(name.removeprefix(PARENT))
    if metric is None or metric.period is None:
        return FOREVER
    return millis(metric.period.total_seconds()) * _FRESH_PERIODS


def millis(seconds: float) -> Millis:
    return round(seconds * 1000)


def _frozen(lists: Mapping[str, Iterable[CompiledRule]]) -> dict[str, tuple[CompiledRule, ...]]:
    return {name: tuple(rules) for name, rules in lists.items()}
