"""What a condition may speak of: the values, states and thresholds of a profile by name, and the functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from device_profiles.expression import Names, names_of
from device_profiles.schema import DeviceProfile
from services.rulebook.rules import SiteRule
from services.web.i18n import N_, Translations
from services.web.pages.words import PRESENCE
from services.web.views.rule_words import RuleWords

_FUNCTIONS = (
    ("age(NAME)", N_("how long ago it was last reported")),
    ("rate(NAME, 10m)", N_("change per second over that time")),
    ("delta(NAME, 1h)", N_("change over that time")),
    ("mean(NAME, 1h)", N_("mean over that time")),
    ("changed(NAME, 1h)", N_("whether it changed within that time")),
    ("count(CONDITION, 1h)", N_("how often it became true within that time")),
    ("min(…), max(…), abs(…)", N_("least, greatest, size without its sign")),
)
_MEMBERS = (
    ("number(%s, CONDITION)", N_("how many of them it holds for")),
    ("share(%s, CONDITION)", N_("for which share of them it holds, such as > 20 %")),
)
_SIGNS = "< <= > >= == != in (…) and or not ( ) + - * /"


class Word(NamedTuple):
    name: str
    """As it is written in a condition."""
    said: str


@dataclass(frozen=True)
class Chapter:
    title: str
    words: tuple[Word, ...]


def vocabulary_of(profile: DeviceProfile, rule: SiteRule, t: Translations) -> list[Chapter]:
    """Chapters with something in them."""
    names, words = names_of(profile, rule.scope), RuleWords(profile, {one.name: one.value for one in rule.params}, t)
    numbers, states = _measured(names, profile, words, t)
    events = [Word(name, words.name(name)) for name in sorted(names.moments)]
    functions = [Word(name, t.gettext(said)) for name, said in _FUNCTIONS]
    functions += [Word(name % kind, t.gettext(said)) for kind in sorted(names.groups) for name, said in _MEMBERS]
    found = [
        Chapter(t.gettext("Values"), tuple(numbers)),
        Chapter(t.gettext("States, with their words"), tuple(states)),
        Chapter(t.gettext("Thresholds"), tuple(_thresholds(profile, rule, words, t))),
        Chapter(t.gettext("Events, within count(…)"), tuple(events)),
        Chapter(t.gettext("Functions"), tuple(functions)),
        Chapter(t.gettext("Signs"), (Word(_SIGNS, t.gettext("such as: pressure < 0.3 MPa and state in (on, off)")),)),
    ]
    return [one for one in found if one.words]


def _measured(names: Names, profile: DeviceProfile, words: RuleWords, t: Translations) -> tuple[list[Word], list[Word]]:
    numbers, states = [], []
    for name, type_ in names.types.items():
        if name in profile.params:
            continue
        said = words.name(name)
        if type_.kind == "number":
            numbers.append(Word(name, f"{said} ({type_.uom})" if type_.uom else said))
        else:
            states.append(Word(name, f"{said}: {', '.join(_state_words(name, sorted(type_.words), profile, t))}"))
    return numbers, states


def _state_words(name: str, known: list[str], profile: DeviceProfile, t: Translations) -> list[str]:
    if name == "presence":
        return [f"{word} {t.gettext(PRESENCE[word].word)}" for word in known]
    state = profile.states.get(name.removeprefix("parent."))
    said = state.values if state is not None else {}
    shown = {word: getattr(said[word], t.language) if word in said else word for word in known}
    return [word if shown[word] == word else f"{word} {shown[word]}" for word in known]


def _thresholds(profile: DeviceProfile, rule: SiteRule, words: RuleWords, t: Translations) -> list[Word]:
    here = {one.name: one.value for one in rule.params}
    return [
        Word(
            name,
            f"{param.name.in_(t.language) if param.name else name}: {words.param(name, here.get(name, param.default))}",
        )
        for name, param in profile.params.items()
    ]
