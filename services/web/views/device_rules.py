"""Why there is no alarm, as a page shows it: each rule of a device, and what it waits for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from device_profiles.schema import DeviceProfile
from gateway.reading import child_kind
from services.rulebook.device_rules import DeviceRules, PartNow, RuleOnDevice
from services.rulebook.explain import NameNow, RuleNow
from services.web.i18n import N_, Translations
from services.web.pages import words
from services.web.pages.words import Mark
from services.web.views.devices import child_label
from services.web.views.rule_words import RuleWords
from services.web.views.rules import HOW
from services.web.views.rules import names as names_said

STATES = {
    "quiet": Mark("quiet", N_("Quiet"), "ok", "ok"),
    "pending": Mark("pending", N_("Pending"), "warn", "clock"),
    "active": Mark("active", N_("Active"), "bad", "octagon"),
    "clearing": Mark("clearing", N_("Waiting to clear"), "active", "clock"),
    "suppressed": Mark("suppressed", N_("Suppressed"), "idle", "clock"),
    "unknown": Mark("unknown", N_("Unknown"), "unknown", "unknown"),
    "outside": Mark("outside", N_("Outside its hours"), "idle", "clock"),
    "shadow": Mark("shadow", N_("On trial"), "active", "clock"),
    "off": Mark("off", N_("Switched off"), "idle", "cancel"),
    "broken": Mark("broken", N_("Cannot be evaluated"), "bad", "octagon"),
    "unheard": Mark("unheard", N_("Never heard"), "unknown", "unknown"),
}
_ORDER = ("active", "suppressed", "pending", "clearing", "unknown", "outside", "quiet")
_FROZEN = N_("Its delay does not run on: data are missing or too old.")

When = Callable[[datetime], str]
"""A moment on the clock of the site."""


@dataclass(frozen=True)
class PartSaid:
    """One part of a device, or several that are alike."""

    mark: Mark
    label: str
    """"" for the device itself."""
    text: str
    alarm: str


@dataclass(frozen=True)
class RuleSaid:
    rule: str
    name: str
    severity: Mark
    mark: Mark
    """The worst of its parts."""
    condition: str
    note: str
    parts: tuple[PartSaid, ...]


def said(found: DeviceRules, profile: DeviceProfile, t: Translations, when: When) -> list[RuleSaid]:
    """In the order of the profile."""
    return [_rule(one, profile, t, when) for one in found.rules]


def _rule(one: RuleOnDevice, profile: DeviceProfile, t: Translations, when: When) -> RuleSaid:
    params = {name.name: name.value for part in one.parts for name in part.now.names if name.how == "param"}
    kinds = [part.state for part in one.parts]
    state = "off" if one.mode == "off" else "broken" if one.broken else _worst(kinds)
    return RuleSaid(
        rule=one.rule,
        name=one.name.in_(t.language),
        severity=words.SEVERITY[one.severity.value],
        mark=STATES["shadow" if one.mode == "shadow" else state],
        condition=RuleWords(profile, params, t).condition(one.condition),
        note=_note(one, t),
        parts=tuple(_parts(one.parts, profile, t, when)),
    )


def _worst(states: Iterable[str]) -> str:
    return min(states, key=_ORDER.index, default="unheard")


def _note(one: RuleOnDevice, t: Translations) -> str:
    """What is to be said of the rule as a whole."""
    notes = [one.broken] if one.broken else []
    if one.mode == "shadow":
        notes.append(t.gettext("It is judged, and raises nothing."))
    if one.version is not None:
        notes.append(t.gettext("Rule book, version %(n)s", n=one.version))
    return " · ".join(notes)


def _parts(parts: tuple[PartNow, ...], profile: DeviceProfile, t: Translations, when: When) -> Iterable[PartSaid]:
    """Children that are alike are one line: those that are quiet, and those of which the same is to be said."""
    groups: dict[tuple[str, str, str], list[tuple[PartNow, str]]] = {}
    for one in parts:
        text = _text(one, profile, t, when)
        key = (one.state, "" if one.state == "quiet" else text, one.now.alarm or "")
        groups.setdefault(key, []).append((one, text))
    for (state, _, _), alike in groups.items():
        first, text = alike[0]
        label = (
            child_label(profile.children.get(child_kind(first.child)), first.child, t.language) if first.child else ""
        )
        if len(alike) > 1:
            label = t.ngettext("%(n)s part", "%(n)s parts", len(alike))
        yield PartSaid(STATES[state], label, text, first.now.alarm or "")


def _text(one: PartNow, profile: DeviceProfile, t: Translations, when: When) -> str:
    if one.state in ("pending", "clearing") and one.frozen:
        return t.gettext(_FROZEN)
    if one.state == "pending":
        return _pending(one, t, when)
    if one.state == "clearing" and one.until is not None:
        return t.gettext("It clears at %(at)s if this goes on.", at=when(one.until))
    if one.state == "outside" and one.until is not None:
        return t.gettext("It does not apply until %(at)s.", at=when(one.until))
    if one.now.holds is None and one.state in ("unknown", "quiet"):
        missing = t.gettext(", ").join(_unknown(name, profile, t, when) for name in one.now.unknown)
        return " · ".join(part for part in (missing, _against(one.now, profile, t)) if part)
    return _against(one.now, profile, t) if one.state == "quiet" else ""


def _pending(one: PartNow, t: Translations, when: When) -> str:
    if one.until is None or one.now.since is None:
        return t.gettext("It holds; the next reading decides.")
    return t.gettext(
        "It holds since %(since)s and raises at %(at)s if it goes on.", since=when(one.now.since), at=when(one.until)
    )


def _unknown(name: NameNow, profile: DeviceProfile, t: Translations, when: When) -> str:
    """Which name, and why: never sent, too old since, not trusted and its flag."""
    what = RuleWords(profile, {}, t).name(name.name)
    if name.how == "never_sent" and name.name.endswith("_command"):
        return t.gettext("%(name)s (%(why)s)", name=what, why=t.gettext("not given yet"))
    why = t.gettext(HOW[name.how]) if name.how in HOW else ""
    if name.how == "stale" and name.measured_at is not None:
        why = t.gettext("too old, last measured %(at)s", at=when(name.measured_at))
    if name.flag:
        why = t.gettext(words.QUALITIES.get(name.flag, name.flag))
    return t.gettext("%(name)s (%(why)s)", name=what, why=why)


def _against(now: RuleNow, profile: DeviceProfile, t: Translations) -> str:
    """Each branch that does not hold, and the values behind it."""
    values = {one.now.name: one for one in names_said(now, profile, t)}
    ends = RuleWords(profile, {name: one.now.value for name, one in values.items() if one.now.how == "param"}, t)
    said = []
    for branch in now.branches.against():
        text = t.gettext("not so: %(condition)s", condition=ends.condition(branch.text))
        read = [f"{one.name} {one.text}" for name, one in values.items() if _is_read(name, one.now, branch.text)]
        said.append(f"{text} ({t.gettext(', ').join(read)})" if read else text)
    return " · ".join(said)


def _is_read(name: str, now: NameNow, text: str) -> bool:
    return now.how == "known" and re.search(rf"(?<![\w.]){re.escape(name)}\b", text) is not None
