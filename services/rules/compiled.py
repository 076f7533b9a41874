"""Profiles compiled for the engine: rules as closures, indexed by the names that touch them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from device_profiles.expression import BUILTINS, Condition, Expression, Look, Members, Names, names_of, parse
from device_profiles.schema import Availability, DeviceProfile, Grade, ResidentWording, Rule, TicketTemplate
from gateway.presence import Voices, voices_of
from gateway.reading import Millis, Value
from services.rules.automaton import FOREVER, Delays
from services.rules.schedule import Timetable
from services.rules.windows import Stretch, Watch, watch

if TYPE_CHECKING:
    from services.rules.plans import Planned

PARENT = "parent."
DEVICE = "device"
"""What rules over several devices call a member that is a device, and no child of one."""
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
    """What that condition reads, or what is watched."""

    @property
    def key(self) -> str:
        return self.look.key

    def watch(self, kept: Any = None) -> Watch:
        """Its memory: a new one, or the one that was stored."""
        return watch(self.look.function, self.stretch, of_events=bool(self.look.moment), kept=kept)


class CompiledMembers(NamedTuple):
    """One function of a rule that counts members."""

    of: Members
    condition: Condition | None
    """What is asked of each child; None where the members are not children: they are counted elsewhere, and told."""
    reads: tuple[Read, ...]
    """What that condition reads of one child."""
    plain: bool
    """It can be asked about a child's values as they stand, while none of them is flagged."""
    looks: tuple[CompiledLook, ...] = ()
    """What must be watched of each child."""

    @property
    def scope(self) -> str:
        """What each of them is, as a rule on it would say: a kind of child, or "" for a device."""
        return "" if self.of.kind == DEVICE else self.of.kind


class CompiledGrade(NamedTuple):
    """A severity that an active alarm has while it fits."""

    severity: str
    condition: Condition | None
    after: Millis
    """How long the alarm must have been active."""


@dataclass(frozen=True, kw_only=True)
class CompiledRule:
    rule: Rule
    condition: Condition
    clear: Condition | None
    reads: tuple[Read, ...]
    """What the two conditions read."""
    delays: Delays
    calm: Delays
    """Its delays while it flaps: it clears after that much calm."""
    flapping_within: Millis
    grades: tuple[CompiledGrade, ...]
    grade_reads: tuple[Read, ...]
    """What the conditions of its grades read."""
    grade_looks: tuple[CompiledLook, ...]
    ages: tuple[Millis, ...]
    """Ages of an alarm at which another grade may fit, in order."""
    timetable: Timetable | None
    """When it applies; None: always."""
    touched_by: frozenset[str]
    """Names whose new values can move it or the severity of its alarm, as they are written."""
    fresh_for: Mapping[str, Millis]
    """How long the value of a name may be trusted. FOREVER: as long as its device is heard."""
    timed: bool
    """It can change without a reading: presence, silence, age()."""
    aging: bool
    """It can change with every moment that passes: silence, age()."""
    parent_names: frozenset[str]
    """Names of the device that a child's rule reads, without "parent."."""
    looks: tuple[CompiledLook, ...]
    """Of the two conditions."""
    members: tuple[CompiledMembers, ...]
    """Whom it counts."""
    rest: Millis
    """Between two readings it need not be judged more often than this: a stretch of time moves slowly."""
    template: TicketTemplate | None
    wording: ResidentWording | None

    @property
    def watched(self) -> tuple[CompiledLook, ...]:
        """Everything in it that looks back at what it runs on, each once."""
        own = {one.key for one in self.looks}
        return (*self.looks, *(one for one in self.grade_looks if one.key not in own))

    @property
    def watched_of_members(self) -> tuple[CompiledLook, ...]:
        """Everything in it that looks back at one of those it counts."""
        return tuple(look for one in self.members for look in one.looks)


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
    by_member: Mapping[str, Mapping[str, tuple[CompiledRule, ...]]]
    """Child kind -> name of such a child -> rules of the device that count by it."""
    timed: Mapping[str, tuple[CompiledRule, ...]]
    aging: Mapping[str, tuple[CompiledRule, ...]]
    scheduled: tuple[CompiledRule, ...]
    """Rules that do not apply at all times."""
    params: Mapping[str, Value]
    """Defaults."""
    fed: Mapping[str, Mapping[str, tuple[Feed, ...]]]
    """Scope -> name or event of that scope -> the rules that watch it."""
    fed_by_parent: Mapping[str, tuple[Feed, ...]]
    """Name or event of the device -> rules of its children that watch it."""
    fed_by_presence: Mapping[str, tuple[Feed, ...]]
    """Scope -> rules that count by presence."""
    watchers: Mapping[str, CompiledRule] = field(default_factory=dict)
    """Rules that are judged elsewhere, over several devices, by what is remembered here: see `with_watchers`."""
    plans: dict[tuple[str, tuple[str, ...]], tuple[Planned, ...]] = field(default_factory=dict)
    """What `services.rules.plans` has looked up."""

    def find(self, rule: str) -> CompiledRule | None:
        """A rule of the profile, or what its devices remember for one over several of them."""
        return self.rules.get(rule) or self.watchers.get(rule)


class Feed(NamedTuple):
    """A rule, and one of its functions that watches something."""

    rule: CompiledRule
    look: CompiledLook
    scope: str
    """What it watches: children of this kind, or the device itself ("")."""


def with_watchers(profile: CompiledProfile, watchers: Iterable[CompiledRule]) -> CompiledProfile:
    """The same profile, whose devices also remember what rules over several of them look back at."""
    known = {one.rule.id: one for one in watchers}
    fed, fed_by_parent, fed_by_presence = _feeds((*profile.rules.values(), *known.values()))
    return replace(
        profile,
        watchers=known,
        fed={scope: {name: tuple(feeds) for name, feeds in names.items()} for scope, names in fed.items()},
        fed_by_parent={name: tuple(feeds) for name, feeds in fed_by_parent.items()},
        fed_by_presence={scope: tuple(feeds) for scope, feeds in fed_by_presence.items()},
    )


def compile_profile(profile: DeviceProfile, known: Names | None = None) -> CompiledProfile:
    """Raises ExpressionError where a rule cannot be read (a loaded profile has been checked). `known`: the names that
    its rules may use instead of those of the profile, where their values are counted elsewhere and told."""
    rules = {rule.id: compile_rule(profile, rule, known) for rule in profile.rules}
    touched: dict[str, dict[str, list[CompiledRule]]] = defaultdict(lambda: defaultdict(list))
    timed: dict[str, list[CompiledRule]] = defaultdict(list)
    aging: dict[str, list[CompiledRule]] = defaultdict(list)
    by_parent: dict[str, list[CompiledRule]] = defaultdict(list)
    for compiled in rules.values():
        scope = compiled.rule.scope or ""
        moments = {one.look.moment for one in compiled.watched} - {""}
        for name in compiled.touched_by | moments:
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
        by_member=_by_member(rules.values()),
        timed=_frozen(timed),
        aging=_frozen(aging),
        scheduled=tuple(one for one in rules.values() if one.timetable is not None),
        params={name: param.default for name, param in profile.params.items()},
        fed={scope: {name: tuple(feeds) for name, feeds in names.items()} for scope, names in fed.items()},
        fed_by_parent={name: tuple(feeds) for name, feeds in fed_by_parent.items()},
        fed_by_presence={scope: tuple(feeds) for scope, feeds in fed_by_presence.items()},
    )


def _by_member(rules: Iterable[CompiledRule]) -> dict[str, dict[str, tuple[CompiledRule, ...]]]:
    found: dict[str, dict[str, list[CompiledRule]]] = defaultdict(lambda: defaultdict(list))
    for rule in rules:
        for members in rule.members:
            moments = {look.look.moment for look in members.looks} - {""}
            for name in moments | {read.key for read in members.reads if read.source is Source.OWN}:
                if rule not in found[members.of.kind][name]:
                    found[members.of.kind][name].append(rule)
    return {kind: _frozen(names) for kind, names in found.items()}


_Feeds = dict[str, list[Feed]]


def _feeds(rules: Iterable[CompiledRule]) -> tuple[dict[str, _Feeds], _Feeds, _Feeds]:
    """Who watches what: by scope and name, by name of the device for its children, and by presence."""
    own: dict[str, _Feeds] = defaultdict(lambda: defaultdict(list))
    parent: _Feeds = defaultdict(list)
    presence: _Feeds = defaultdict(list)
    for rule in rules:
        for scope, look in _watching(rule):
            feed = Feed(rule, look, scope)
            for name in look.look.names | ({look.look.moment} if look.look.moment else set()):
                if name == "presence":
                    presence[scope].append(feed)
                elif name.startswith(PARENT):
                    parent[name.removeprefix(PARENT)].append(feed)
                else:
                    own[scope][name].append(feed)
    return own, parent, presence


def _watching(rule: CompiledRule) -> Iterator[tuple[str, CompiledLook]]:
    """Everything in a rule that looks back, and at whom: what it runs on, or children of a kind."""
    yield from ((rule.rule.scope or "", look) for look in rule.watched)
    for members in rule.members:
        yield from ((members.scope, look) for look in members.looks)


def compile_rule(profile: DeviceProfile, rule: Rule, known: Names | None = None) -> CompiledRule:
    """Raises ExpressionError where its conditions cannot be read on this profile, or with the names given."""
    known = names_of(profile, rule.scope) if known is None else known
    when = parse(rule.when, known)
    clear = parse(rule.clear.when, known) if rule.clear.when is not None else None
    grades = [parse(grade.when, known) for grade in rule.grades if grade.when is not None]
    conditions = [when] if clear is None else [when, clear]
    data = _measured_names(profile, conditions)
    looks, delays = compile_looks(profile, conditions), _delays(rule)
    within = millis(rule.flapping.within.total_seconds())
    grade_data = _measured_names(profile, grades)
    members = _members(profile, (*conditions, *grades))
    return CompiledRule(
        rule=rule,
        condition=when.compile(),
        clear=clear.compile() if clear else None,
        reads=_reads(profile, conditions),
        delays=delays,
        calm=delays._replace(clear_after=max(delays.clear_after, within)),
        flapping_within=within,
        grades=tuple(_grade(grade, known) for grade in rule.grades),
        grade_reads=_reads(profile, grades),
        grade_looks=compile_looks(profile, grades),
        ages=tuple(sorted({millis(one.after.total_seconds()) for one in rule.grades if one.after})),
        timetable=Timetable(rule.schedule) if rule.schedule else None,
        touched_by=data | grade_data | _touching(members),
        fresh_for={name: _fresh_for(profile, name) for name in data},
        timed=any(one.timed for one in (*conditions, *grades)),
        aging=any(one.aging for one in (*conditions, *grades)) or _grow_old(members),
        parent_names=frozenset(name.removeprefix(PARENT) for name in data | grade_data if name.startswith(PARENT)),
        looks=looks,
        members=members,
        rest=_rest((*looks, *(one for each in members for one in each.looks)), (*conditions, *grades)),
        template=profile.tickets[rule.ticket] if rule.ticket else None,
        wording=profile.residents[rule.residents] if rule.residents else None,
    )


def _members(profile: DeviceProfile, conditions: Iterable[Expression]) -> tuple[CompiledMembers, ...]:
    """Whom these conditions count, each function once."""
    found = {one.key: one for condition in conditions for one in condition.groups}
    return tuple(
        compile_members(profile, one) if one.kind in profile.children else CompiledMembers(one, None, (), plain=False)
        for one in found.values()
    )


def compile_members(profile: DeviceProfile, members: Members) -> CompiledMembers:
    """What is asked of each member that is a child of this profile, or a device with it."""
    condition = members.condition
    reads = tuple(read_of(profile, name) for name in sorted(condition.names))
    plain = not condition.aging and all(read.source is Source.OWN and read.fresh_for >= FOREVER for read in reads)
    return CompiledMembers(members, condition.compile(), reads, plain, compile_looks(profile, [condition]))


def _touching(members: Iterable[CompiledMembers]) -> frozenset[str]:
    """What of the device itself moves a count: its names that conditions on children read, or the count as told."""
    read = {read.key for one in members for read in one.reads if read.source is Source.PARENT}
    return frozenset(read | {one.of.key for one in members if one.condition is None})


def _grow_old(members: Iterable[CompiledMembers]) -> bool:
    """A value that is not trusted for ever may become unknown at any moment."""
    return any(read.fresh_for < FOREVER for one in members for read in one.reads)


def _measured_names(profile: DeviceProfile, conditions: Iterable[Expression]) -> frozenset[str]:
    """The names of some conditions that are measured."""
    return frozenset(name for one in conditions for name in one.names) - BUILTINS - profile.params.keys()


def _reads(profile: DeviceProfile, conditions: Sequence[Expression]) -> tuple[Read, ...]:
    names = frozenset(name for one in conditions for name in one.names)
    return tuple(read_of(profile, name) for name in sorted(names - _aged_only(conditions)))


def _delays(rule: Rule) -> Delays:
    return Delays(millis(rule.for_.total_seconds()), millis(rule.clear_after.total_seconds()))


def _grade(grade: Grade, known: Names) -> CompiledGrade:
    condition = None if grade.when is None else parse(grade.when, known).compile()
    return CompiledGrade(grade.severity.value, condition, millis(grade.after.total_seconds()) if grade.after else 0)


def compile_looks(profile: DeviceProfile, conditions: Iterable[Expression]) -> tuple[CompiledLook, ...]:
    """What must be watched for these conditions, each once."""
    looks = {look.key: look for one in conditions for look in one.windows}
    return tuple(_compile_look(profile, look) for look in looks.values())


def _compile_look(profile: DeviceProfile, look: Look) -> CompiledLook:
    names = look.names if look.condition is None else look.condition.names
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
        reads=tuple(read_of(profile, name) for name in sorted(names)),
    )


def _rest(looks: tuple[CompiledLook, ...], conditions: Sequence[Expression]) -> Millis:
    """Nothing, where something else in the rule moves with every moment or with presence."""
    every = (*conditions, *(group.condition for one in conditions for group in one.groups))
    if not looks or any(one.ages or not one.names.isdisjoint(BUILTINS) for one in every):
        return 0
    return min(_LONGEST_REST, *(look.stretch.length // _LOOKS_PER_STRETCH for look in looks))


def _aged_only(conditions: Iterable[Expression]) -> frozenset[str]:
    """Names whose age alone matters: such a rule waits for them to grow old, so their age must not freeze it."""
    read = frozenset(name for one in conditions for name in one.names - one.indirect)
    return frozenset(name for one in conditions for name in one.indirect) - read


def read_of(profile: DeviceProfile, name: str) -> Read:
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
