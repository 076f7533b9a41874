"""An alarm that explains itself: condition, values, since when, and where its threshold comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from device_profiles.schema import DeviceProfile, Metric, State
from services.clock import from_millis
from services.rules.store import Alarm, Decision
from services.web.i18n import N_, Language, Translations
from services.web.pages import format as fmt
from services.web.views.rule_words import RuleWords

_LOOK = re.compile(r"(rate|delta|mean|changed)\((.+), (\w+)\)")
_GROUP = re.compile(r"(number|share)\((\w+), (.+)\)( at most| met by| unknown of| not met by| last heard)?")
_GROUPS = {
    ("number", ""): N_("%(kind)s with %(condition)s"),
    ("number", " at most"): N_("%(kind)s with %(condition)s, at most: some are unknown"),
    ("share", ""): N_("Share of %(kind)s with %(condition)s"),
}
_WHO = {
    " met by": N_("Which of them"),
    " unknown of": N_("Not known of"),
    " not met by": N_("Not so for"),
    " last heard": N_("Last heard"),
}
_LOOKS = {
    "rate": N_("%(name)s, change per second over %(stretch)s"),
    "delta": N_("%(name)s, change over %(stretch)s"),
    "mean": N_("%(name)s, mean over %(stretch)s"),
    "changed": N_("%(name)s changed within %(stretch)s"),
}


@dataclass(frozen=True)
class Because:
    """One value that met the condition, in words."""

    key: str
    name: str
    text: str


@dataclass(frozen=True)
class Explained:
    condition: str
    values: tuple[Because, ...]
    cleared_by: tuple[Because, ...]
    """The values that ended it."""
    since: datetime | None
    held_for: timedelta
    clears_when: str
    clears_after: timedelta
    source_kind: str
    source_ref: str


def steps_with_nobody(decisions: Iterable[Decision]) -> list[int]:
    """The steps on which nobody heard that it was not acknowledged."""
    return [one.data["step"] for one in decisions if one.kind == "step" and not one.data.get("told")]


def explain(
    alarm: Alarm, profile: DeviceProfile | None, t: Translations, member: DeviceProfile | None = None
) -> Explained:
    """`member`: in whose names the condition of a rule over several devices can be read."""
    reason = alarm.reason
    rule = next((one for one in profile.rules if one.id == alarm.rule), None) if profile else None
    values = values_said(reason, profile or member, t)
    ended: Mapping[str, Any] = reason.get("cleared") or {}
    source: Mapping[str, Any] = reason.get("source") or (rule.source.model_dump() if rule else {})
    return Explained(
        condition=str(reason.get("condition") or (rule.when if rule else "")),
        values=values,
        cleared_by=values_said(ended, profile or member, t),
        since=_time(reason.get("since")) or alarm.pending_since,
        held_for=timedelta(seconds=reason.get("for_seconds") or 0),
        clears_when=str(reason.get("clear") or ""),
        clears_after=rule.clear_after if rule else timedelta(0),
        source_kind=str(source.get("kind", "")),
        source_ref=str(source.get("ref", "")),
    )


def values_said(reason: Mapping[str, Any], profile: DeviceProfile | None, t: Translations) -> tuple[Because, ...]:
    return tuple(_because(name, value, profile, t) for name, value in dict(reason.get("values") or {}).items())


def _because(name: str, value: Any, profile: DeviceProfile | None, t: Translations) -> Because:
    declared = name.removeprefix("parent.")
    entry = (profile.metrics.get(declared) or profile.states.get(declared)) if profile else None
    if name == "presence":
        return Because(name, t.gettext("Presence"), t.gettext(str(value).capitalize()))
    if name == "silence":
        return Because(name, t.gettext("Silent for"), fmt.duration(timedelta(seconds=float(value)), t))
    if counted := _GROUP.fullmatch(name):
        return _because_of_members(name, counted, value, profile, t)
    if (looked := _LOOK.fullmatch(name)) and profile is not None:
        return _because_of_past(name, looked[1], looked[2], looked[3], value, profile, t)
    if profile is not None and (param := profile.params.get(name)) is not None:
        said = param.name.in_(t.language) if param.name else name
        return Because(name, said, RuleWords(profile, {}, t).param(name, value))
    if entry is None:
        event = profile.events.get(declared) if profile else None
        return Because(name, event.name.in_(t.language) if event else name, _yes_or_no(value, t))
    return Because(name, entry.name.in_(t.language), value_text(entry, value, t.language))


def _because_of_members(
    key: str, counted: re.Match[str], value: Any, profile: DeviceProfile | None, t: Translations
) -> Because:
    """What was counted over members, in words."""
    function, kind, condition, about = (part or "" for part in counted.groups())
    child = profile.children.get(kind) if profile is not None else None
    called = child.name.in_(t.language) if child else t.gettext("Devices") if kind == "device" else kind
    if about in _WHO:
        return Because(key, t.gettext(_WHO[about]), fmt.plain(value))
    condition = RuleWords(profile, {}, t).condition(condition) if profile is not None else condition
    words = t.gettext(_GROUPS[function, about]) % {"kind": called, "condition": condition}
    if function == "share" and isinstance(value, int | float):
        return Because(key, words, fmt.with_unit(fmt.number(100 * float(value), 0), "%"))
    return Because(key, words, fmt.number(float(value), 0) if isinstance(value, int | float) else fmt.plain(value))


def _because_of_past(
    key: str, function: str, name: str, stretch: str, value: Any, profile: DeviceProfile, t: Translations
) -> Because:
    """What looked back, in words."""
    declared = name.removeprefix("parent.")
    named = profile.metrics.get(declared) or profile.states.get(declared) or profile.events.get(declared)
    words = t.gettext(_LOOKS[function]) % {"name": named.name.in_(t.language) if named else name, "stretch": stretch}
    metric = profile.metrics.get(declared)
    if isinstance(value, bool) or metric is None or not isinstance(value, int | float):
        return Because(key, words, _yes_or_no(value, t))
    uom = f"{metric.uom}/s" if function == "rate" and metric.uom else metric.uom
    decimals = max(metric.decimals, 5) if function == "rate" else metric.decimals
    return Because(key, words, fmt.with_unit(fmt.number(float(value), decimals), uom))


def _yes_or_no(value: Any, t: Translations) -> str:
    return (t.gettext("yes") if value else t.gettext("no")) if isinstance(value, bool) else fmt.plain(value)


def value_text(entry: Metric | State, value: Any, language: Language) -> str:
    if isinstance(entry, State):
        found = entry.values.get(str(value))
        return str(getattr(found, language)) if found else fmt.plain(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return fmt.with_unit(fmt.number(float(value), entry.decimals), entry.uom)
    return fmt.plain(value)


def _time(raw: object) -> datetime | None:
    if isinstance(raw, (int, float)):
        return from_millis(int(raw))
    return datetime.fromisoformat(raw) if isinstance(raw, str) and raw else None
