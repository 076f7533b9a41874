"""Rules over several devices as pages show them: in words, for which places, how their members stand now."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from device_profiles.schema import DeviceProfile
from services.rulebook.problems import RuleProblem
from services.rulebook.several import CountNow, SeveralRule
from services.rules.book_words import read_grades, read_schedule
from services.web.i18n import N_, Translations
from services.web.pages.words import Mark
from services.web.views.rule_words import RuleWords
from services.web.views.rules import MODES, GradeSaid, When, grades, hours, problem

ORIGINS = {
    "site_file": N_("from the site file"),
    "built_in": N_("built in, by the feeds of the site file"),
}
PER = {
    "site": N_("the whole site"),
    "building": N_("each building"),
    "parent": N_("each device that others hang on"),
    "feed": N_("each feed"),
    "": N_("none"),
}
_MET = N_("%(met)s of %(members)s")
_NAMED = 20


@dataclass(frozen=True)
class SeveralRow:
    rule: SeveralRule
    name: str
    mode: Mark
    condition: str
    clears: str
    clears_for: timedelta
    hours: str
    grades: tuple[GradeSaid, ...]
    origin: str
    per: str
    places: str
    profiles: str
    problems: tuple[str, ...]


@dataclass(frozen=True)
class CountSaid:
    place: str
    what: str
    met: str
    who: str
    unknown: int


def profile_of(rule: SeveralRule, library: Mapping[str, DeviceProfile]) -> DeviceProfile | None:
    """In whose names the condition reads best: the one of its devices that knows most of them."""
    words = set(re.findall(r"\w+", rule.when))
    known = [library[id] for id in rule.profiles if id in library]
    return max(known, key=lambda one: len(words & _names(one)), default=None)


def _names(profile: DeviceProfile) -> set[str]:
    return {*profile.metrics, *profile.states, *profile.events, *profile.children, *(one.id for one in profile.rules)}


def row(rule: SeveralRule, library: Mapping[str, DeviceProfile], t: Translations, when: When) -> SeveralRow:
    profile = profile_of(rule, library)
    words = RuleWords(profile, {}, t) if profile is not None else None
    held = timedelta(seconds=rule.for_seconds)
    comma = t.gettext(", ")
    return SeveralRow(
        rule=rule,
        name=rule.name.in_(t.language),
        mode=MODES[rule.mode],
        condition=words.clause(rule.when, held) if words else "",
        clears=words.condition(rule.clear_when) if words and rule.clear_when else "",
        clears_for=timedelta(seconds=rule.clear_for_seconds),
        hours="; ".join(hours(read_schedule(rule.schedule), t)),
        grades=tuple(grades(read_grades(rule.grades), words, t)) if words else (),
        origin=t.gettext(ORIGINS[rule.origin]),
        per=t.gettext(PER[rule.per]),
        places=comma.join(one.in_(t.language) for one in rule.places.values()),
        profiles=comma.join(library[id].name.in_(t.language) for id in rule.profiles if id in library),
        problems=tuple(_problem(one, t, when) for one in rule.problems),
    )


def rows(
    rules: Iterable[SeveralRule], library: Mapping[str, DeviceProfile], t: Translations, when: When
) -> list[SeveralRow]:
    return [row(one, library, t, when) for one in rules]


def _problem(one: RuleProblem, t: Translations, when: When) -> str:
    if one.kind == "broken":
        return t.gettext("It is not judged: %(found)s", found=one.found)
    return problem(one, None, t, when)


def counts(
    rule: SeveralRule, found: Iterable[CountNow], library: Mapping[str, DeviceProfile], t: Translations
) -> list[CountSaid]:
    profile = profile_of(rule, library)
    words = RuleWords(profile, {}, t) if profile is not None else None
    return [
        CountSaid(
            place=rule.places[one.place].in_(t.language),
            what=words.condition(one.function) if words else one.function,
            met=t.gettext(_MET, met=len(one.met), members=one.members),
            who=t.gettext(", ").join(one.met[:_NAMED]) + (" …" if len(one.met) > _NAMED else ""),
            unknown=one.unknown,
        )
        for one in found
    ]


def matches(rule: SeveralRule, kind: str | None, words: str) -> bool:
    """Whether somebody who looks for a kind of rules, or some words, wants to see it."""
    text = " ".join((rule.id, rule.name.zh, rule.name.en)).casefold()
    if not all(word in text for word in words.casefold().split()):
        return False
    return kind is None or rule.is_kind(kind)
