"""What differs between two versions of a rule book, in words: the old value beside the new one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from device_profiles.schema import DeviceProfile, parse_duration
from services.rulebook.diff import Difference
from services.web.i18n import N_, Translations
from services.web.pages import format as fmt
from services.web.pages.words import SEVERITY
from services.web.views.clauses import length
from services.web.views.rules import MODES

FIELDS = {
    "mode": N_("Mode"),
    "severity": N_("Severity"),
    "when": N_("Condition"),
    "for": N_("Must hold for"),
    "clear_when": N_("Clears when"),
    "clear_for": N_("Clears after"),
    "grades": N_("Grades"),
    "schedule": N_("Applies"),
    "flapping": N_("Counts as flapping"),
    "acknowledge_within": N_("Goes a step up after"),
    "suppressed_by": N_("Suppressed by"),
    "note": N_("Note"),
}


@dataclass(frozen=True)
class DifferenceSaid:
    where: str
    field: str
    before: str
    after: str


Standing = Callable[[Difference], str | None]
"""What stands at a place where one of the two books says nothing; None where nothing does."""


def differences(
    found: Iterable[Difference],
    library: Mapping[str, DeviceProfile],
    devices: Mapping[str, str],
    t: Translations,
    before: Standing,
    after: Standing,
) -> list[DifferenceSaid]:
    """In words, the old value beside the new one. `devices`: id -> profile."""
    return [
        _difference(one, library.get(one.profile or devices.get(one.device, "")), t, before, after) for one in found
    ]


def _difference(
    one: Difference, profile: DeviceProfile | None, t: Translations, before: Standing, after: Standing
) -> DifferenceSaid:
    rule = next((rule for rule in profile.rules if rule.id == one.rule), None) if profile else None
    param = profile.params.get(one.field) if profile and not one.rule else None
    place = [
        profile.name.in_(t.language) if profile else one.profile,
        rule.name.in_(t.language) if rule else one.rule,
        one.device,
    ]
    label = t.gettext(FIELDS[one.field]) if one.rule and one.field in FIELDS else one.field
    if param is not None and param.name is not None:
        label = param.name.in_(t.language)
    uom = param.uom if param else ""
    sides = (
        _value_said(one, said, uom, t) if said is not None else _inherited(one, standing(one), uom, t)
        for said, standing in ((one.before, before), (one.after, after))
    )
    return DifferenceSaid(" · ".join(part for part in place if part), label, *sides)


def _inherited(one: Difference, value: str | None, uom: str, t: Translations) -> str:
    if one.field == "note":
        return t.gettext("none")
    if not value:
        return t.gettext("as the profile or the site file says")
    said = _value_said(one, value, uom, t)
    if one.device:
        return t.gettext("%(value)s (as for the whole site)", value=said)
    return t.gettext("%(value)s (as the profile or the site file says)", value=said)


def _value_said(one: Difference, value: str, uom: str, t: Translations) -> str:
    """A value of a book in words; conditions stay as they are written."""
    if one.rule and one.field in ("for", "clear_for"):
        return length(parse_duration(value).total_seconds(), t)
    if one.rule and one.field == "mode" and value in MODES:
        return t.gettext(MODES[value].word)
    if one.rule and one.field == "severity" and value in SEVERITY:
        return t.gettext(SEVERITY[value].word)
    return fmt.with_unit(value, uom)
