"""The rules of a site over several devices: those of its site file, and the built-in one on what feeds devices.

They stand in no rule book: who wants one otherwise changes the site file and imports it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError
from sqlalchemy import Connection, select

from device_profiles.schema import Severity, Text
from services.groups import feeds as built_in
from services.groups.counting import Count, counted
from services.groups.names import names_of_places
from services.groups.places import Placed, feed_place, members_of, places_of
from services.groups.rule import SITE_RULES, GroupRule
from services.groups.store import read_placed, read_rules, rules_of_feeds
from services.rulebook.counts import Counts, Key
from services.rulebook.explain import moment_of
from services.rulebook.live import device_now
from services.rulebook.problems import RuleProblem
from services.rules.book_words import words_of
from services.rules.effective import Library
from services.rules.in_force import effective_rules
from services.sites.model import Feed
from services.sites.model import SiteRule as FileRule
from services.tables import alarms, sites

MOST_COUNTED = 200
"""Of more devices it is not said on a page how they stand now: each is read anew."""


@dataclass(frozen=True, kw_only=True)
class SeveralRule:
    """One rule over several devices, as the site has it."""

    site: str
    rule: str
    origin: Literal["site_file", "built_in"]
    name: Text
    mode: Literal["live", "shadow"]
    severity: Severity | None
    """None, likewise "" and 0 below, of one that cannot be read."""
    per: str
    when: str
    for_seconds: float
    clear_when: str | None
    clear_for_seconds: float
    grades: str
    """As they are typed, see services.rules.book_words; likewise `schedule`."""
    schedule: str
    ticket: bool
    profiles: tuple[str, ...]
    """Of the devices that it counts."""
    devices: int
    places: Mapping[str, Text]
    """For what it is judged, each by its name."""
    counts: Counts
    active: Mapping[str, str]
    """Place -> its alarm that is active now."""
    problems: tuple[RuleProblem, ...]

    @property
    def id(self) -> str:
        return f"{SITE_RULES}/{self.rule}"

    def is_kind(self, kind: str) -> bool:
        """See services.rulebook.looking: no rule book changes it, and what it waits for is not told."""
        found = {"shadow": self.mode == "shadow", "problems": bool(self.problems), "active": bool(self.active)}
        return found.get(kind, False)


class CountNow(NamedTuple):
    """How the members of one place stand now."""

    place: str
    function: str
    met: tuple[str, ...]
    members: int
    unknown: int


def several_of(
    connection: Connection,
    library: Library,
    site: str,
    counts: Mapping[Key, Counts],
    problems: Iterable[RuleProblem] = (),
) -> list[SeveralRule]:
    """In the order of the site file, the built-in ones last."""
    row = connection.execute(select(sites.c.rules, sites.c.feeds).where(sites.c.id == site)).one_or_none()
    if row is None or not (row.rules or row.feeds):
        return []
    here = [one for one in read_placed(connection, library) if one.site == site]
    reader = _Reader(connection, site, here, counts, [one for one in problems if one.profile == SITE_RULES])
    return [*map(reader.of_file, row.rules or ()), *_built_in(reader, row.feeds or (), here, library)]


def _built_in(
    reader: _Reader, entries: Iterable[Mapping[str, Any]], here: list[Placed], library: Library
) -> Iterator[SeveralRule]:
    telling = {one.id for one in here if not library[one.profile].availability.event_driven}
    for rule, feeds in built_in.rules_of(map(Feed.model_validate, entries), telling):
        yield reader.read(rule, frozenset(feed_place(reader.site, id) for id in feeds))


class _Reader:
    def __init__(
        self,
        connection: Connection,
        site: str,
        here: list[Placed],
        counts: Mapping[Key, Counts],
        problems: list[RuleProblem],
    ) -> None:
        self.site = site
        self._connection = connection
        self._here = here
        self._counts = counts
        self._problems = problems

    def of_file(self, entry: Mapping[str, Any]) -> SeveralRule:
        try:
            return self.read(FileRule.model_validate(entry))
        except ValidationError:  # it stands among the problems
            return self._unreadable(entry)

    def read(self, rule: FileRule, only: frozenset[str] | None = None) -> SeveralRule:
        """`only`: for these places alone."""
        members = members_of(rule.of, self._here)
        found = {place for one in members for place in places_of(one, rule.per)}
        places = sorted(found if only is None else found & only)
        names = names_of_places(self._connection, places)
        own, words = rule.as_rule(), words_of(rule.as_rule())
        return SeveralRule(
            site=self.site,
            rule=rule.id,
            origin="site_file" if only is None else "built_in",
            name=rule.name,
            mode=rule.mode,
            severity=rule.severity,
            per=rule.per,
            when=rule.when,
            for_seconds=rule.for_.total_seconds(),
            clear_when=rule.clear.when,
            clear_for_seconds=own.clear_after.total_seconds(),
            grades=words["grades"],
            schedule=words["schedule"],
            ticket=rule.ticket is not None,
            profiles=tuple(sorted({one.profile for one in members})),
            devices=len(members),
            places={one: names[one].name if one in names else Text(zh=one, en=one) for one in places},
            counts=self._counts.get((SITE_RULES, rule.id)) or Counts(),
            active={place: id for place, id in self._active(rule.id).items() if only is None or place in only},
            problems=self._of(rule.id),
        )

    def _unreadable(self, entry: Mapping[str, Any]) -> SeveralRule:
        id = str(entry.get("id", ""))
        return SeveralRule(
            site=self.site, rule=id, origin="site_file", name=Text(zh=id, en=id), mode="live", severity=None, per="",
            when=str(entry.get("when", "")), for_seconds=0.0, clear_when=None, clear_for_seconds=0.0, grades="none",
            schedule="always", ticket=False, profiles=(), devices=0, places={},
            counts=self._counts.get((SITE_RULES, id)) or Counts(), active=self._active(id), problems=self._of(id),
        )  # fmt: skip

    def _of(self, id: str) -> tuple[RuleProblem, ...]:
        return tuple(one for one in self._problems if one.rule == id)

    def _active(self, id: str) -> dict[str, str]:
        query = select(alarms.c.device, alarms.c.id).where(
            alarms.c.site == self.site, alarms.c.profile == SITE_RULES, alarms.c.rule == id, alarms.c.state == "active"
        )
        return {row.device: row.id for row in self._connection.execute(query)}


def counted_now(connection: Connection, library: Library, rule: SeveralRule, now: datetime) -> list[CountNow]:
    """By place and function. Empty where it looks back at its devices, where it cannot be read, and of very many."""
    group, here = _compiled(connection, library, rule)
    if group is None or group.watchers or rule.devices > MOST_COUNTED:
        return []
    effective = effective_rules(connection, library)
    found: dict[str, list[tuple[Count, ...]]] = {place: [] for place in rule.places}
    for member in members_of(group.rule.of, here):
        device = device_now(connection, effective, frozenset({rule.site}), member.id)
        at, _ = moment_of(connection, device, now)
        counts = counted(group, device, at).counts
        for place in places_of(member, rule.per):
            if place in found and counts:
                found[place].append(counts)
    return [
        _sum(place, key, [each[number] for each in some])
        for place, some in found.items()
        for number, (key, _) in enumerate(group.functions)
    ]


def _sum(place: str, function: str, some: list[Count]) -> CountNow:
    unknown = sum(len(one.unknown) for one in some)
    known = sum(len(one.met) + len(one.other) for one in some)
    return CountNow(place, function, tuple(name for one in some for name in one.met), known + unknown, unknown)


def _compiled(connection: Connection, library: Library, rule: SeveralRule) -> tuple[GroupRule | None, list[Placed]]:
    row = connection.execute(select(sites.c.rules, sites.c.feeds).where(sites.c.id == rule.site)).one()
    here = [one for one in read_placed(connection, library) if one.site == rule.site]
    if rule.origin == "site_file":
        read: Iterable[Any] = read_rules(rule.site, row.rules or (), here, library)
    else:
        read = rules_of_feeds(rule.site, row.feeds or (), here, library)
    groups = (one for one in read if isinstance(one, GroupRule))
    return next((one for one in groups if (one.rule.id, one.rule.name) == (rule.rule, rule.name)), None), here
