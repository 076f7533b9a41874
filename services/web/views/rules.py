"""Rules as pages show them: in words, with their thresholds and who says these, and what keeps them from running."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from device_profiles.schema import DeviceProfile, Rule, Severity
from device_profiles.schema.behaviour import Grade, Schedule
from services.rulebook.edit import PARAM, shown
from services.rulebook.explain import NameNow, RuleNow
from services.rulebook.looking import Active, Kind, is_kind, waiting_of
from services.rulebook.problems import RuleProblem
from services.rulebook.rules import ParamValue, SiteRule
from services.rulebook.several import SeveralRule
from services.rules.book_words import read_schedule
from services.web.i18n import N_, Translations
from services.web.pages import format as fmt
from services.web.pages.words import SEVERITY, Mark
from services.web.views.alarms import value_text
from services.web.views.mistake_words import mistake_said
from services.web.views.rule_words import RuleWords

MODES = {
    "live": Mark("live", N_("In force"), "ok", "ok"),
    "shadow": Mark("shadow", N_("On trial"), "active", "clock"),
    "off": Mark("off", N_("Switched off"), "idle", "cancel"),
}
PROBLEMS = {
    "misfit": N_("A change in the rule book cannot be made; the profile's own rule stands: %(found)s"),
    "broken": N_("The profile's rule cannot be evaluated: %(found)s"),
    "no_profile": N_("The profile of these devices is not loaded, so none of their rules runs."),
    "benched": N_("%(device)s could not be judged and is left out until services start again or the site changes."),
    "never_sent": N_("No device here has ever sent %(found)s, so this is unknown since %(since)s."),
}
ORIGINS = {
    "profile": N_("the profile's default"),
    "site_file": N_("the site file"),
    "site_file_device": N_("the site file, for this device"),
    "book": N_("the rule book"),
    "book_device": N_("the rule book, for this device"),
}
PHASES = {
    "idle": Mark("idle", N_("At rest"), "ok", "ok"),
    "pending": Mark("pending", N_("Waiting to raise"), "warn", "clock"),
    "active": Mark("active", N_("Active"), "bad", "octagon"),
    "clearing": Mark("clearing", N_("Waiting to clear"), "active", "clock"),
}
HOW = {
    "never_sent": N_("never sent"),
    "stale": N_("too old"),
    "untrusted": N_("not trusted"),
    "unknown": N_("unknown"),
}
HOLDS = {
    True: Mark("yes", N_("holds"), "warn", "check"),
    False: Mark("no", N_("does not hold"), "ok", "ok"),
    None: Mark("unknown", N_("unknown"), "unknown", "unknown"),
}
WEEKDAYS = {
    "mon": N_("Mon"),
    "tue": N_("Tue"),
    "wed": N_("Wed"),
    "thu": N_("Thu"),
    "fri": N_("Fri"),
    "sat": N_("Sat"),
    "sun": N_("Sun"),
}


@dataclass(frozen=True)
class Threshold:
    name: str
    label: str
    text: str
    origin: str
    differing: int


@dataclass(frozen=True)
class Row:
    """One rule in a list."""

    rule: SiteRule
    name: str
    mode: Mark
    condition: str
    hours: str
    """When it applies; "" where it does at all times."""
    thresholds: tuple[Threshold, ...]
    problems: tuple[str, ...]
    """What somebody must mend."""
    waiting: tuple[str, ...]
    """Sentences about values that no device here sends."""
    waits_for: str
    """What these are called."""


@dataclass(frozen=True)
class Group:
    """The rules of one profile."""

    profile: str
    name: str
    devices: int
    rows: tuple[Row, ...]


LOOKS: dict[Kind, str] = {
    "changed": N_("Changed here"),
    "shadow": N_("On trial"),
    "problems": N_("Cannot be evaluated"),
    "waiting": N_("Waits for values"),
    "active": N_("Alarm is active now"),
}
NOTHING = {
    "changed": N_("Every rule is as its profile says."),
    "shadow": N_("No rule is on trial."),
    "problems": N_("Nothing is broken."),
    "waiting": N_("All that rules read has been sent here."),
    "active": N_("No alarm of these rules is active."),
}
"""What it means that none is of a kind."""


@dataclass(frozen=True)
class Choice:
    """One way to look at the rules."""

    key: str
    word: str
    href: str
    count: int


def choices(
    site: str, rules: list[SiteRule], several: list[SeveralRule], words: str, active: Active, t: Translations
) -> list[Choice]:
    """All, and each kind, with how many of them have the words."""
    kept = {"site": site, **({"q": words} if words else {})}
    kinds = [
        Choice(kind, t.gettext(word), f"?{urlencode({**kept, 'show': kind})}", _count(rules, several, kind, active))
        for kind, word in LOOKS.items()
    ]
    return [Choice("", t.gettext("All"), f"?{urlencode(kept)}", len(rules) + len(several)), *kinds]


def _count(rules: list[SiteRule], several: list[SeveralRule], kind: Kind, active: Active) -> int:
    return sum(is_kind(one, kind, active) for one in rules) + sum(one.is_kind(kind) for one in several)


When = Callable[[datetime], str]
"""A moment on the clock of the site, in the reader's language."""


def groups(rules: Iterable[SiteRule], library: Mapping[str, DeviceProfile], t: Translations, when: When) -> list[Group]:
    by_profile: dict[str, list[SiteRule]] = {}
    for rule in rules:
        by_profile.setdefault(rule.profile, []).append(rule)
    return [
        Group(
            profile=profile,
            name=of_profile[0].profile_name.in_(t.language),
            devices=of_profile[0].devices,
            rows=tuple(row(one, library[profile], t, when) for one in of_profile),
        )
        for profile, of_profile in by_profile.items()
    ]


def row(rule: SiteRule, profile: DeviceProfile, t: Translations, when: When) -> Row:
    words = words_of(rule, profile, t)
    return Row(
        rule=rule,
        name=rule.name.in_(t.language),
        mode=MODES[rule.mode],
        condition=words.clause(rule.when, timedelta(seconds=rule.for_seconds)),
        hours="; ".join(hours(read_schedule(rule.schedule), t)),
        thresholds=tuple(_threshold(one, words, t) for one in rule.params),
        problems=tuple(problem(one, profile, t, when) for one in rule.broken),
        waiting=tuple(problem(one, profile, t, when) for one in rule.problems if not one.is_hard),
        waits_for=t.gettext(", ").join(map(words.name, rule.waits_for)),
    )


def words_of(rule: SiteRule, profile: DeviceProfile, t: Translations) -> RuleWords:
    return RuleWords(profile, {one.name: one.value for one in rule.params}, t)


def _threshold(one: ParamValue, words: RuleWords, t: Translations) -> Threshold:
    return Threshold(
        name=one.name,
        label=one.label.in_(t.language),
        text=words.param(one.name, one.value),
        origin=t.gettext(ORIGINS[one.origin]),
        differing=one.differing_devices,
    )


def problem(one: RuleProblem, profile: DeviceProfile | None, t: Translations, when: When) -> str:
    """In words; of a value that nobody sends, its name, and since when the devices have been there at least."""
    found = one.found
    if one.kind == "never_sent" and profile is not None:
        found = RuleWords(profile, {}, t).name(one.found)
    since = when(one.since) if one.since is not None else t.gettext("the beginning")
    return t.gettext(PROBLEMS[one.kind], found=found, device=one.device, since=since)


class Broken(NamedTuple):
    """What somebody must mend."""

    place: str
    """Of what: a rule, a profile, a device; "" of the rule book."""
    rule: SiteRule | None
    """To look at, where it is about one."""
    text: str


def broken(found: Iterable[RuleProblem], rules: Iterable[SiteRule], t: Translations, when: When) -> list[Broken]:
    """Everything at the site that must be mended: of rules, of the book, of a whole profile, of a device."""
    by_id = {(one.profile, one.rule): one for one in rules}
    said = []
    for one in found:
        if one.is_hard:
            rule = by_id.get((one.profile, one.rule))
            name = rule.name.in_(t.language) if rule is not None else " ".join(filter(None, (one.profile, one.rule)))
            place = " ".join(part for part in (name, one.device) if part)
            said.append(Broken(place, rule, problem(one, None, t, when)))
    return said


class Missing(NamedTuple):
    """A value that no device of a profile sends, and the names of the rules that wait for it."""

    profile: str
    name: str
    rules: str


def missing(rules: Iterable[SiteRule], library: Mapping[str, DeviceProfile], t: Translations) -> list[Missing]:
    found = []
    for profile, values in waiting_of(rules):
        words = RuleWords(library[profile], {}, t)
        for name, waiting in values.items():
            names = t.gettext(", ").join(one.name.in_(t.language) for one in waiting)
            found.append(Missing(library[profile].name.in_(t.language), words.name(name), names))
    return found


# --- one rule -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GradeSaid:
    severity: str
    text: str


def grades(found: Iterable[Grade], words: RuleWords, t: Translations) -> list[GradeSaid]:
    said = []
    for one in found:
        parts = [words.condition(one.when)] if one.when else []
        if one.after is not None:
            parts.append(t.gettext(N_("active for %(time)s"), time=fmt.duration(one.after, t)))
        said.append(GradeSaid(one.severity.value, ", ".join(parts)))
    return said


def hours(found: Iterable[Schedule], t: Translations) -> list[str]:
    return [
        f"{', '.join(t.gettext(WEEKDAYS[day]) for day in one.days)} {one.from_}\u2013{one.to}"
        if len(one.days) < len(WEEKDAYS)
        else f"{one.from_}\u2013{one.to}"
        for one in found
    ]


@dataclass(frozen=True)
class TestSaid:
    """A test of the profile: its steps, and what the rule must say then."""

    steps: tuple[str, ...]
    expect: str


EXPECTED = (N_("raised"), N_("quiet"), N_("cleared"))
"""What a test of a rule expects."""


def tests(rule: Rule, t: Translations) -> list[TestSaid]:
    return [TestSaid(tuple(_step(step) for step in test.given), _expected(test.expect, t)) for test in rule.tests]


def _expected(said: str | Mapping[Any, Severity], t: Translations) -> str:
    if isinstance(said, str):
        return t.gettext(said)
    return ", ".join(f"{t.gettext(what)} ({t.gettext(SEVERITY[severity].word)})" for what, severity in said.items())


def _step(step: Mapping[str, object]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in step.items())


@dataclass(frozen=True)
class NameSaid:
    name: str
    text: str
    why: str
    """Why it counts as unknown; "" where it is known."""
    now: NameNow


def names(found: RuleNow, profile: DeviceProfile, t: Translations) -> list[NameSaid]:
    words = RuleWords(profile, {one.name: one.value for one in found.names if one.how == "param"}, t)
    return [_name(one, words, profile, t) for one in found.names]


def _name(one: NameNow, words: RuleWords, profile: DeviceProfile, t: Translations) -> NameSaid:
    key = one.name.removeprefix("parent.")
    entry = profile.metrics.get(key) or profile.states.get(key)
    if one.how == "param":
        label, text = (profile.params[one.name].name or one.name), words.param(one.name, one.value)
        return NameSaid(label if isinstance(label, str) else label.in_(t.language), text, "", one)
    text = value_text(entry, one.value, t.language) if entry and one.value is not None else fmt.plain(one.value)
    why = t.gettext(HOW[one.how]) if one.how in HOW else ""
    return NameSaid(words.name(one.name), text, why, one)


def mistakes(found: Mapping[str, str], t: Translations) -> dict[str, str]:
    """Field -> what is wrong with it, in the reader's language."""
    return {field: mistake_said(text, t) for field, text in found.items()}


# --- the form -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ThresholdField:
    key: str
    label: str
    uom: str
    type: str
    min: float | None
    max: float | None
    hint: str


def threshold_fields(rule: SiteRule, others: Mapping[str, list[str]], t: Translations) -> Iterator[ThresholdField]:
    """`others`: param -> names of the other rules that read it."""
    for one in rule.params:
        if not one.editable:
            continue
        hint = t.gettext(
            "%(origin)s; default %(value)s", origin=t.gettext(ORIGINS[one.origin]), value=shown(one.default)
        )
        if others.get(one.name):
            hint += " · " + t.gettext("Also read by: %(rules)s", rules=", ".join(others[one.name]))
        yield ThresholdField(f"{PARAM}{one.name}", one.label.in_(t.language), one.uom, one.type, one.min, one.max, hint)
