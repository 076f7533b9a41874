"""Two sets of rules over the same devices, split so that what is the same in both is judged once.

Each device has up to three states: one that judges the rules both sides share (`BOTH`), and where rules differ one for
the old and one for the new ones. A rule differs where its text does, or the value of a param that it reads.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from device_profiles.schema import DeviceProfile, Rule
from gateway.reading import Millis, Value
from services.backtest.world import Place, World
from services.rules.automaton import FOREVER
from services.rules.book import Misfit, RuleBook
from services.rules.compiled import CompiledProfile, compile_profile
from services.rules.effective import BookInForce, Effective
from services.rules.state import DeviceState

Library = Mapping[str, DeviceProfile]
_SHORTEST_WARM_UP: Millis = 10 * 60_000


class Lane(IntEnum):
    BOTH = 0
    OLD = 1
    NEW = 2


class Variant(NamedTuple):
    """One side: the profiles, and what the site's rule book changes about them."""

    library: Library
    book: RuleBook


class Fit(NamedTuple):
    """A device's profile and params on one side."""

    profile: DeviceProfile
    params: Mapping[str, Value]


@dataclass(frozen=True, kw_only=True)
class Lanes:
    states: Mapping[str, tuple[tuple[Lane, DeviceState], ...]]
    """Device -> what judges its readings."""
    sides: Mapping[Lane, Mapping[str, DeviceState]]
    """OLD and NEW -> device -> a state with all rules of that side, for the calm layer to look up."""
    changed: frozenset[tuple[str, str]]
    """(profile, rule) where the sides differ, on some device."""
    rules: Mapping[tuple[str, str], Rule]
    """All that are judged, new before old."""
    misfits: tuple[Misfit, ...]
    warm_up: Millis
    """How long before the beginning windows and delays must be fed."""


def build(world: World, old: Variant, new: Variant, only: Collection[tuple[str, str]] = ()) -> Lanes:
    """`only`: judge these (profile, rule) and no others; empty: all."""
    return _Builder(world, old, new, frozenset(only)).build()


class _Builder:
    def __init__(self, world: World, old: Variant, new: Variant, only: frozenset[tuple[str, str]]) -> None:
        self._world = world
        self._variants = {Lane.OLD: old, Lane.NEW: new}
        site_params = {world.site: world.site_params}
        self._effective = {
            lane: Effective(side.library, {world.site: BookInForce(0, side.book)}, site_params)
            for lane, side in self._variants.items()
        }
        self._only = only
        self._fitted: dict[tuple[Lane, str, str], DeviceProfile] = {}
        self._compiled: dict[tuple[int, frozenset[str]], tuple[DeviceProfile, CompiledProfile]] = {}

    def build(self) -> Lanes:
        states: dict[str, tuple[tuple[Lane, DeviceState], ...]] = {}
        sides: dict[Lane, dict[str, DeviceState]] = {Lane.OLD: {}, Lane.NEW: {}}
        changed: set[tuple[str, str]] = set()
        rules: dict[tuple[str, str], Rule] = {}
        for place in self._world.places:
            fits = {lane: self._fit(lane, place) for lane in self._variants}
            differing = _differing(fits[Lane.OLD], fits[Lane.NEW])
            wanted = {lane: self._wanted(found) for lane, found in fits.items()}
            for lane, found in fits.items():
                sides[lane][place.id] = self._state(place, found, wanted[lane])
                rules |= {(place.profile, rule.id): rule for rule in _rules(found) if rule.id in wanted[lane]}
            changed |= {(place.profile, rule) for rule in differing}
            shared = (wanted[Lane.OLD] & wanted[Lane.NEW]) - differing
            judged = [(Lane.BOTH, self._state(place, fits[Lane.OLD], shared))]
            judged += [
                (lane, self._state(place, fits[lane], wanted[lane] & differing))
                for lane in self._variants
                if wanted[lane] & differing
            ]
            states[place.id] = tuple(judged)
        devices = {place.id: place.profile for place in self._world.places}
        compiled = [state.profile for judged in states.values() for _, state in judged if state.profile is not None]
        return Lanes(
            states=states,
            sides=sides,
            changed=frozenset(changed),
            rules=rules,
            misfits=tuple(self._effective[Lane.NEW].misfits(self._world.site, devices)),
            warm_up=max([_SHORTEST_WARM_UP, *map(warm_up_of, {id(one): one for one in compiled}.values())]),
        )

    def _fit(self, lane: Lane, place: Place) -> Fit | None:
        effective = self._effective[lane]
        if place.profile not in effective.library:
            return None
        own = place.id if place.id in self._variants[lane].book.devices else ""
        key = (lane, place.profile, own)
        if key not in self._fitted:
            fitted = effective.schema(self._world.site, place.profile, own)
            assert fitted is not None, "its profile is in the library"
            self._fitted[key] = fitted
        return Fit(
            self._fitted[key], effective.params(self._world.site, place.profile, place.id, dict(place.own_params))
        )

    def _wanted(self, found: Fit | None) -> frozenset[str]:
        return frozenset(
            rule.id for rule in _rules(found) if not self._only or (_profile(found), rule.id) in self._only
        )

    def _state(self, place: Place, found: Fit | None, rules: frozenset[str]) -> DeviceState:
        compiled = None if found is None else self._compile(found.profile, rules)
        params = {} if found is None else found.params
        return DeviceState(
            id=place.id,
            site=self._world.site,
            profile_id=place.profile,
            profile=compiled,
            params=params,
            parent=place.parent,
        )

    def _compile(self, profile: DeviceProfile, rules: frozenset[str]) -> CompiledProfile:
        key = (id(profile), rules)
        if key not in self._compiled:
            kept = tuple(rule for rule in profile.rules if rule.id in rules)
            # The profile is kept with it: an id is only good as long as what it is of lives.
            self._compiled[key] = (profile, compile_profile(profile.model_copy(update={"rules": kept})))
        return self._compiled[key][1]


def _rules(found: Fit | None) -> tuple[Rule, ...]:
    return () if found is None else found.profile.rules


def _profile(found: Fit | None) -> str:
    return "" if found is None else found.profile.id


def _differing(old: Fit | None, new: Fit | None) -> frozenset[str]:
    """Ids of rules that may say something else on the two sides."""
    every = {rule.id for found in (old, new) for rule in _rules(found)}
    if old is None or new is None or _without_rules(old.profile) != _without_rules(new.profile):
        return frozenset(every)
    before, after = ({rule.id: rule for rule in found.profile.rules} for found in (old, new))
    params = {name for name in {**old.params, **new.params} if old.params.get(name) != new.params.get(name)}
    return frozenset(id for id in every if before.get(id) != after.get(id) or _names_any(before[id], params))


def _without_rules(profile: DeviceProfile) -> DeviceProfile:
    return profile.model_copy(update={"rules": ()})


def _names_any(rule: Rule, names: Iterable[str]) -> bool:
    """By its text: rather judge a rule twice than miss that a param moves it."""
    text = " ".join([rule.when, rule.clear.when or "", *(grade.when or "" for grade in rule.grades)])
    return any(re.search(rf"\b{re.escape(name)}\b", text) for name in names)


def warm_up_of(profile: CompiledProfile) -> Millis:
    """Until its windows are full, its delays over and its silences told."""
    needs = [profile.stale_after if profile.stale_after < FOREVER else 0]
    offline = profile.availability.offline_after
    needs.append(round(offline.total_seconds() * 1000) if offline else 0)
    for rule in profile.rules.values():
        back = max((look.stretch.length for look in rule.looks), default=0)
        fresh = max((one for one in rule.fresh_for.values() if one < FOREVER), default=0)
        flapping = round(rule.rule.flapping.within.total_seconds() * 1000)
        needs.append(max(back, fresh, flapping) + rule.delays.raise_after + rule.delays.clear_after)
    return max(needs)
