"""Two sets of rules over the same devices, split so that what is the same in both is judged once.

Each device has up to three states: one that judges the rules both sides share (`BOTH`), and where rules differ one for
the old and one for the new ones. A rule differs where its text does, or the value of a param that it reads.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from device_profiles.schema import DeviceProfile, Rule
from gateway.reading import Millis, Reading, Value
from services.backtest.place import SIDES, Lane, Place, RuleKey, Yard
from services.backtest.several import OverSeveral, counted_together, joined, over_several, without_rules
from services.rules.automaton import FOREVER
from services.rules.book import Misfit, RuleBook
from services.rules.compiled import CompiledProfile, CompiledRule, Read, Source, compile_profile
from services.rules.effective import BookInForce, Effective
from services.rules.state import DeviceState

Library = Mapping[str, DeviceProfile]
_SHORTEST_WARM_UP: Millis = 10 * 60_000


class Variant(NamedTuple):
    """One side: the profiles, and what the site's rule book changes about them."""

    library: Library
    book: RuleBook


class Focus(NamedTuple):
    """Which rules are judged. `affected`: those that differ, and what they suppress or are suppressed by."""

    extent: Literal["all", "affected"] = "all"
    rule: RuleKey | None = None
    """Only this one, and what suppresses it."""


EVERYTHING = Focus()


class Fit(NamedTuple):
    """A device's profile and params on one side."""

    profile: DeviceProfile
    params: Mapping[str, Value]


@dataclass(slots=True, kw_only=True)
class Judged:
    """One device in one lane."""

    lane: Lane
    state: DeviceState
    names: frozenset[str]
    """Values that can move one of its rules."""
    by_silence: bool
    """One of its rules asks how long something was not heard."""
    each_word: bool = False
    """A rule over several devices asks for how long it has said nothing."""
    waiting: Reading | None = None
    """The newest reading that moved none, until the next look."""


@dataclass(frozen=True, kw_only=True)
class Lanes:
    judged: Mapping[str, tuple[Judged, ...]]
    """Device -> its lanes; those without any rule in question are left out."""
    sides: Mapping[Lane, Mapping[str, DeviceState]]
    """OLD and NEW -> device -> a state with all judged rules of that side, for the calm layer to look up."""
    changed: frozenset[RuleKey]
    """Where the sides differ, on some device."""
    rules: Mapping[RuleKey, Rule]
    """Those that are reported, as the new side has them; as the old one where the new has none."""
    judged_rules: frozenset[RuleKey]
    misfits: tuple[Misfit, ...]
    warm_up: Millis
    """How long before the beginning windows and delays must be fed."""
    names: frozenset[str]
    """Everything that is looked at."""
    over_several: OverSeveral
    """The rules over several devices that are judged."""
    silence_matters: bool
    """A reading without any of these values still says something: that its device is there."""

    @property
    def by_silence(self) -> frozenset[RuleKey]:
        """Judged rules that ask how long something was not heard."""
        profiles = [one.state.profile for some in self.judged.values() for one in some if one.state.profile is not None]
        return frozenset(
            (profile.id, id)
            for profile in {id(one): one for one in profiles}.values()
            for id, rule in profile.rules.items()
            if rule.timed or rule.aging
        )

    @property
    def reach(self) -> dict[RuleKey, Millis]:
        """Judged rules -> how long it takes until what happened can no longer be felt: what they look back at, and how
        long their conditions must hold. Rules that ask for silence are not among them: that is as long as they say."""
        profiles = {id(one.state.profile): one.state.profile for some in self.judged.values() for one in some}
        found: dict[RuleKey, Millis] = {}
        for profile in profiles.values():
            for id_, rule in profile.rules.items() if profile is not None else ():
                looks = max((one.stretch.length for one in (*rule.watched, *rule.watched_of_members)), default=0)
                felt = looks + max(rule.delays + rule.calm)
                if profile is not None and not (rule.timed or rule.aging):
                    found[profile.id, id_] = max(felt, found.get((profile.id, id_), 0))
        return found

    @property
    def moments(self) -> frozenset[str]:
        """Events that judged rules count."""
        profiles = {id(one.state.profile): one.state.profile for some in self.judged.values() for one in some}
        return frozenset(
            look.look.moment
            for profile in profiles.values()
            if profile is not None
            for rule in profile.rules.values()
            for look in (*rule.watched, *rule.watched_of_members)
            if look.look.moment
        ).union(self.over_several.moments)

    def only(self, devices: Iterable[str]) -> Lanes:
        """The same for some of the devices."""
        chosen = frozenset(devices)
        return Lanes(**{**self.__dict__, "judged": {id: some for id, some in self.judged.items() if id in chosen}})


def build(yard: Yard, old: Variant, new: Variant, focus: Focus = EVERYTHING) -> Lanes:
    return _Builder(yard, {Lane.OLD: old, Lane.NEW: new}, focus).build()


def families(yard: Yard) -> list[list[str]]:
    """Devices that look at each other together: one hangs on the other, or one rule counts both."""
    return joined(_branches(yard), counted_together(yard))


def _branches(yard: Yard) -> list[list[str]]:
    """What hangs on each other."""
    above = {place.id: place.parent for place in yard.places}
    found: dict[str, list[str]] = defaultdict(list)
    for place in yard.places:
        top, seen = place.id, {place.id}
        while above.get(top) in above and above[top] not in seen:
            top = above[top]
            seen.add(top)
        found[top].append(place.id)
    return list(found.values())


class _Builder:
    def __init__(self, yard: Yard, variants: Mapping[Lane, Variant], focus: Focus) -> None:
        self._yard = yard
        self._variants = variants
        self._focus = focus
        self._effective = {
            lane: Effective(side.library, {yard.site: BookInForce(0, side.book)}, {yard.site: yard.site_params})
            for lane, side in variants.items()
        }
        self._fitted: dict[tuple[Lane, str, str], DeviceProfile] = {}
        self._differing: dict[tuple[int, int, frozenset[str]], frozenset[str]] = {}
        self._compiled: dict[tuple[int, frozenset[str]], tuple[DeviceProfile, CompiledProfile]] = {}
        self._names: dict[int, frozenset[str]] = {}
        self._silent: frozenset[str] = frozenset()
        """Devices whose silence rules over several of them ask for."""

    def build(self) -> Lanes:
        fits = {place.id: {lane: self._fit(lane, place) for lane in SIDES} for place in self._yard.places}
        differing = {id: self._differ(found[Lane.OLD], found[Lane.NEW]) for id, found in fits.items()}
        changed = {(place.profile, rule) for place in self._yard.places for rule in differing[place.id]}
        every = {
            (place.profile, rule.id): rule
            for lane in SIDES
            for place in self._yard.places
            for rule in _rules(fits[place.id][lane])
        }
        several = over_several(
            self._yard,
            {lane: side.library for lane, side in self._variants.items()},
            differing,
            {id: _params_that_differ(found[Lane.OLD], found[Lane.NEW]) for id, found in fits.items()},
        )
        causes: dict[RuleKey, set[str]] = defaultdict(set)
        for lane in SIDES:
            for place in self._yard.places:
                for rule in _rules(fits[place.id][lane]):
                    causes[place.profile, rule.id].update(rule.suppressed_by)
        shown, wanted = _chosen(every, causes, changed, self._focus)
        several = several.chosen(self._focus.extent, self._focus.rule)
        self._silent = several.by_silence
        wanted |= several.alarms
        judged: dict[str, tuple[Judged, ...]] = {}
        sides: dict[Lane, dict[str, DeviceState]] = {lane: {} for lane in SIDES}
        related = {id for family in _branches(self._yard) if len(family) > 1 for id in family} | several.members
        for place in self._yard.places:
            found = fits[place.id]
            mine = {lane: _wanted(place.profile, found[lane], wanted) for lane in SIDES}
            for lane in SIDES:
                sides[lane][place.id] = self._state(place, found[lane], mine[lane])
            apart = differing[place.id]
            if apart and place.id in several.members:
                apart = mine[Lane.OLD] | mine[Lane.NEW]  # what counts it looks at one state, with all of its alarms
            lanes = [(lane, mine[lane] & apart) for lane in SIDES if mine[lane] & apart]
            shared = mine[Lane.OLD] & mine[Lane.NEW] - apart
            if shared or place.id in related:
                lanes.insert(0, (Lane.BOTH, shared))
            judged[place.id] = tuple(
                self._judged(
                    lane, place, found[Lane.NEW if lane is Lane.NEW else Lane.OLD], rules, several.names_of(place)
                )
                for lane, rules in lanes
            )
        judged = {id: some for id, some in judged.items() if some}
        alone = not any(one.state.profile and one.state.profile.rules for some in judged.values() for one in some)
        if alone and not several:
            judged = {}
        profiles = list({id(one.state.profile): one.state.profile for some in judged.values() for one in some}.values())
        known = [profile for profile in profiles if profile is not None]
        return Lanes(
            judged=judged,
            sides=sides,
            changed=frozenset(changed) | several.changed,
            rules={key: rule for key, rule in every.items() if key in shown} | several.shown,
            judged_rules=frozenset(wanted),
            misfits=tuple(self._misfits()),
            warm_up=max([_SHORTEST_WARM_UP, several.warm_up, *map(warm_up_of, (*known, *several.profiles))]),
            names=several.names.union(*(self._names_of(profile) for profile in known)),
            over_several=several,
            silence_matters=bool(related) or any(map(_waits_for_silence, known)),
        )

    def _misfits(self) -> Iterator[Misfit]:
        yield from self._effective[Lane.NEW].misfits(
            self._yard.site, {place.id: place.profile for place in self._yard.places}
        )

    def _fit(self, lane: Lane, place: Place) -> Fit | None:
        effective, site = self._effective[lane], self._yard.site
        if place.profile not in effective.library:
            return None
        own = place.id if place.id in self._variants[lane].book.devices else ""
        key = (lane, place.profile, own)
        if key not in self._fitted:
            fitted = effective.schema(site, place.profile, own)
            assert fitted is not None, "its profile is in the library"
            self._fitted[key] = fitted
        return Fit(self._fitted[key], effective.params(site, place.profile, place.id, dict(place.own_params)))

    def _differ(self, old: Fit | None, new: Fit | None) -> frozenset[str]:
        """Ids of rules that may say something else on the two sides."""
        if old is None or new is None:
            return frozenset(rule.id for found in (old, new) for rule in _rules(found))
        params = _params_that_differ(old, new)
        key = (id(old.profile), id(new.profile), params)
        if key not in self._differing:
            self._differing[key] = _differing(old.profile, new.profile, params)
        return self._differing[key]

    def _judged(
        self, lane: Lane, place: Place, found: Fit | None, rules: frozenset[str], counted: frozenset[str]
    ) -> Judged:
        """`counted`: values that rules over several devices read of it."""
        state = self._state(place, found, rules)
        profile = state.profile
        if profile is None:
            return Judged(lane=lane, state=state, names=frozenset(), by_silence=False)
        by_silence = bool(profile.timed or profile.aging)
        names = self._names_of(profile) | counted
        return Judged(
            lane=lane,
            state=state,
            names=names,
            by_silence=by_silence or bool(counted),
            each_word=place.id in self._silent,
        )

    def _state(self, place: Place, found: Fit | None, rules: frozenset[str]) -> DeviceState:
        return DeviceState(
            id=place.id,
            site=self._yard.site,
            profile_id=place.profile,
            profile=None if found is None else self._compile(found.profile, rules),
            params={} if found is None else found.params,
            zone=self._yard.timezone,
            parent=place.parent,
            gateway=place.gateway,
        )

    def _compile(self, profile: DeviceProfile, rules: frozenset[str]) -> CompiledProfile:
        key = (id(profile), rules)
        if key not in self._compiled:
            kept = tuple(rule for rule in profile.rules if rule.id in rules)
            # The profile is kept with it: an id is only good as long as what it is of lives.
            self._compiled[key] = (profile, compile_profile(profile.model_copy(update={"rules": kept})))
        return self._compiled[key][1]

    def _names_of(self, profile: CompiledProfile) -> frozenset[str]:
        if id(profile) not in self._names:
            self._names[id(profile)] = frozenset(_names(profile))
        return self._names[id(profile)]


# --- which rules ----------------------------------------


def _chosen(
    every: Collection[RuleKey], causes: Mapping[RuleKey, Collection[str]], changed: Iterable[RuleKey], focus: Focus
) -> tuple[frozenset[RuleKey], frozenset[RuleKey]]:
    """Those to report, and those to judge for it. `causes`: what suppresses a rule, on either side."""
    if focus.rule is not None:
        shown = frozenset({focus.rule})
    elif focus.extent == "affected":
        shown = frozenset(changed)
        names = {rule for _, rule in shown}
        shown |= {key for key in every if names.intersection(causes[key])}
    else:
        shown = frozenset(every)
    above = {cause for key in shown if key in causes for cause in causes[key]}
    return shown, shown | {key for key in every if key[1] in above}


def _params_that_differ(old: Fit | None, new: Fit | None) -> frozenset[str]:
    if old is None or new is None:
        return frozenset()
    return frozenset(name for name in {**old.params, **new.params} if old.params.get(name) != new.params.get(name))


def _wanted(profile: str, found: Fit | None, wanted: frozenset[RuleKey]) -> frozenset[str]:
    return frozenset(rule.id for rule in _rules(found) if (profile, rule.id) in wanted)


def _rules(found: Fit | None) -> Sequence[Rule]:
    return () if found is None else found.profile.rules


def _differing(old: DeviceProfile, new: DeviceProfile, params: frozenset[str]) -> frozenset[str]:
    before, after = ({rule.id: rule for rule in profile.rules} for profile in (old, new))
    every = {**before, **after}
    if old is not new and without_rules(old) != without_rules(new):
        return frozenset(every)
    return frozenset(id for id in every if before.get(id) != after.get(id) or _names_any(before[id], params))


def _names_any(rule: Rule, names: Iterable[str]) -> bool:
    """By its text: rather judge a rule twice than miss that a param moves it."""
    text = " ".join([rule.when, rule.clear.when or "", *(grade.when or "" for grade in rule.grades)])
    return any(re.search(rf"\b{re.escape(name)}\b", text) for name in names)


# --- what rules look at ----------------------------------------


def _names(profile: CompiledProfile) -> Iterator[str]:
    for by_scope in (profile.touched, profile.fed, profile.by_member):
        for names in by_scope.values():
            yield from names
    yield from profile.by_parent
    yield from profile.fed_by_parent
    for rule in profile.rules.values():
        yield from (read.key for read in _reads(rule) if read.source in (Source.OWN, Source.PARENT))
        looks = (*rule.watched, *rule.watched_of_members)
        yield from (look.look.name.removeprefix("parent.") for look in looks if look.look.name)


def _reads(rule: CompiledRule) -> Iterator[Read]:
    yield from rule.reads
    yield from rule.grade_reads
    for look in (*rule.watched, *rule.watched_of_members):
        yield from look.reads
    for counted in rule.members:
        yield from counted.reads


def _waits_for_silence(profile: CompiledProfile) -> bool:
    """Whether it matters to a rule that a device was heard at all: it asks for it, or trusts a value for as long."""
    return any(
        rule.timed
        or any(read.fresh_for >= FOREVER and read.source in (Source.OWN, Source.PARENT) for read in _reads(rule))
        for rule in profile.rules.values()
    )


def warm_up_of(profile: CompiledProfile) -> Millis:
    """Until its windows are full, its delays over and its silences told."""
    needs = [profile.stale_after if profile.stale_after < FOREVER else 0]
    offline = profile.availability.offline_after
    needs.append(round(offline.total_seconds() * 1000) if offline else 0)
    for rule in profile.rules.values():
        back = max((look.stretch.length for look in (*rule.watched, *rule.watched_of_members)), default=0)
        fresh = max((one for one in rule.fresh_for.values() if one < FOREVER), default=0)
        needs.append(max(back, fresh, rule.flapping_within) + rule.delays.raise_after + rule.delays.clear_after)
    return max(needs)
