"""Rules over several devices in a backtest: which are judged, what they read of whom, and the groups that count.

The site file has the same ones on both sides. They differ where the alarms or the thresholds do that they look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from device_profiles.schema import DeviceProfile, Rule
from gateway.reading import Millis
from services.backtest.place import SIDES, Lane, Place, RuleKey, Yard
from services.groups.feeds import FEED_DOWN
from services.groups.groups import Groups
from services.groups.places import Placed, feeds_by_device, members_of
from services.groups.rule import SITE_RULES, GroupRule
from services.groups.store import read_rules, rules_of_feeds
from services.rules.compiled import PARENT, CompiledLook, CompiledProfile, Source
from services.rules.state import DeviceState
from services.sites.model import Feed, SiteRule

Library = Mapping[str, DeviceProfile]


@dataclass(frozen=True, kw_only=True)
class OverSeveral:
    """The rules of both sides; false where there is none."""

    site: str
    zone: str
    rules: Mapping[Lane, tuple[GroupRule, ...]]
    placed: tuple[Placed, ...]
    differing: frozenset[str]
    """Ids of those that may say something else on the two sides."""
    unasked: frozenset[str] = frozenset()
    """Ids of those that are judged for what they explain, and not reported."""

    def __bool__(self) -> bool:
        return any(self.rules.values())

    def chosen(self, extent: str, rule: RuleKey | None) -> OverSeveral:
        """Those that are judged."""

        def wanted(id: str) -> bool:
            return rule == (SITE_RULES, id) if rule is not None else extent == "all" or id in self.differing

        def judged(id: str) -> bool:
            return wanted(id) or id == FEED_DOWN  # what others wait for

        kept = {lane: tuple(one for one in some if judged(one.rule.id)) for lane, some in self.rules.items()}
        return replace(self, rules=kept, unasked=frozenset() if wanted(FEED_DOWN) else frozenset({FEED_DOWN}))

    def alone(self, yard: Yard) -> Yard:
        """The site with none but these rules over several devices."""
        ids = {one.rule.id for one in self.every}
        rules = tuple(one for one in yard.site_rules if one.get("id") in ids)
        return yard._replace(site_rules=rules, feeds=yard.feeds if FEED_DOWN in ids else ())

    @property
    def every(self) -> tuple[GroupRule, ...]:
        return tuple(one for some in self.rules.values() for one in some)

    @property
    def shown(self) -> dict[RuleKey, Rule]:
        return {(SITE_RULES, one.rule.id): one.compiled.rule for one in self.every if one.rule.id not in self.unasked}

    @property
    def changed(self) -> frozenset[RuleKey]:
        return frozenset(key for key in self.shown if key[1] in self.differing)

    @property
    def profiles(self) -> list[CompiledProfile]:
        return [one.profile for one in self.every]

    @property
    def members(self) -> frozenset[str]:
        return frozenset(device.id for one in self.every for device in members_of(one.rule.of, self.placed))

    @property
    def alarms(self) -> frozenset[RuleKey]:
        """The rules of devices whose alarms they look at."""
        return frozenset(
            (profile, rule)
            for one in self.every
            for profile, some in one.asked.items()
            for asked in some
            for _, rule in asked.alarms
        )

    @property
    def moments(self) -> frozenset[str]:
        """Events that they count."""
        return frozenset(one.look.moment.removeprefix(PARENT) for one in self._looks) - {""}

    @property
    def warm_up(self) -> Millis:
        """How long before the beginning what looks back at members must be fed."""
        return max((one.stretch.length for one in self._looks), default=0)

    @property
    def _looks(self) -> list[CompiledLook]:
        return [look for one in self.every for some in one.asked.values() for asked in some for look in asked.looks]

    @property
    def by_silence(self) -> frozenset[str]:
        """Devices of which they ask for how long they have said nothing."""
        asking = [one for one in self.every if any(asked.by_silence for some in one.asked.values() for asked in some)]
        return frozenset(device.id for one in asking for device in members_of(one.rule.of, self.placed))

    @property
    def names(self) -> frozenset[str]:
        return frozenset().union(*(_names(one, profile) for one in self.every for profile in one.asked))

    def names_of(self, place: Place) -> frozenset[str]:
        """Values of a device that they read."""
        if place.id not in self.members:
            return frozenset()
        return frozenset().union(*(_names(one, place.profile) for one in self.every))

    def groups(self, lane: Lane, states: Mapping[str, DeviceState]) -> Groups:
        """Anew, over these devices."""
        return Groups(self.rules[lane], states, self.placed, {self.site: self.zone})


def over_several(
    yard: Yard,
    libraries: Mapping[Lane, Library],
    differing: Mapping[str, frozenset[str]],
    params: Mapping[str, frozenset[str]],
) -> OverSeveral:
    """`differing`: device -> its rules that may say something else on the two sides; `params`: device -> those of its
    params that have another value there."""
    placed = tuple(_placed(yard, {**libraries[Lane.OLD], **libraries[Lane.NEW]}))
    rules = {lane: tuple(_read(yard, placed, libraries[lane])) for lane in SIDES}
    differ = {
        one.rule.id
        for some in rules.values()
        for one in some
        if any(_differs(one, device, differing, params, libraries) for device in members_of(one.rule.of, placed))
    }
    return OverSeveral(site=yard.site, zone=yard.timezone, rules=rules, placed=placed, differing=frozenset(differ))


def counted_together(yard: Yard) -> list[list[str]]:
    """The devices of each rule: those of a family are, without its library, all of the site."""
    found = []
    for entry in yard.site_rules:
        of = entry.get("of") or {}
        profiles, named, every = of.get("profiles") or (), of.get("devices") or (), of.get("families")
        found.append([one.id for one in yard.places if every or one.profile in profiles or one.id in named])
    return [*found, *(list(feed["devices"]) for feed in yard.feeds)]


def joined(families: Sequence[Sequence[str]], together: Iterable[Iterable[str]]) -> list[list[str]]:
    """Families of which some devices belong together are one."""
    found = [list(one) for one in families]
    for some in together:
        wanted = set(some)
        meet = [one for one in found if not wanted.isdisjoint(one)]
        if len(meet) > 1:
            found = [one for one in found if wanted.isdisjoint(one)]
            found.append([id for one in meet for id in one])
    return found


def _read(yard: Yard, placed: Sequence[Placed], library: Library) -> Iterator[GroupRule]:
    known = [one for one in placed if one.profile in library]
    for found in read_rules(yard.site, yard.site_rules, known, library):
        if isinstance(found, GroupRule):
            yield found
    yield from rules_of_feeds(yard.site, yard.feeds, known, library)


def _placed(yard: Yard, library: Library) -> Iterator[Placed]:
    feeds = feeds_by_device(map(Feed.model_validate, yard.feeds))
    for one in yard.places:
        if one.profile in library:
            family, fed_by = library[one.profile].family, feeds.get(one.id, ())
            yield Placed(one.id, yard.site, one.profile, family, one.building, one.parent, fed_by)


def _differs(
    rule: GroupRule,
    device: Placed,
    differing: Mapping[str, frozenset[str]],
    params: Mapping[str, frozenset[str]],
    libraries: Mapping[Lane, Library],
) -> bool:
    asked = rule.asked.get(device.profile, ())
    alarms = {id for one in asked for _, id in one.alarms}
    read = {name.key for one in asked for name in one.reads if name.source is Source.PARAM}
    old, new = (libraries[lane].get(device.profile) for lane in SIDES)
    other = old is not new and (old is None or new is None or without_rules(old) != without_rules(new))
    return other or not alarms.isdisjoint(differing[device.id]) or not read.isdisjoint(params[device.id])


def without_rules(profile: DeviceProfile) -> DeviceProfile:
    return profile.model_copy(update={"rules": ()})


def _names(rule: GroupRule, profile: str) -> frozenset[str]:
    return frozenset().union(*(asked.moved_by for asked in rule.asked.get(profile, ())))


def ids_of_rules(yard: Yard) -> list[str]:
    """Of those that can be read."""
    found = [FEED_DOWN] if yard.feeds else []
    for entry in yard.site_rules:
        try:
            found.append(SiteRule.model_validate(entry).id)
        except ValidationError:
            continue
    return sorted(found)
