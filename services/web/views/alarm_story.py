"""An alarm that explains itself: the sentence, the thresholds and who says them, its life, and what is drawn of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from device_profiles.schema import DeviceProfile
from gateway.reading import Value
from gateway.telemetry import TelemetryStore, TelemetryUnavailable
from services.calm.names import STORMS
from services.clock import to_millis
from services.rulebook.alarm_record import AlarmRecord, ParamThen
from services.rules.explaining import Stretch, lines_of, stretches
from services.rules.store import Alarm
from services.rules.thresholds import Threshold
from services.web.i18n import N_, Language, Translations
from services.web.pages import format as fmt
from services.web.pages.words import SEVERITY, Mark
from services.web.views.alarms import value_text
from services.web.views.clauses import Clauses, amount, counted_sentence, length
from services.web.views.rule_words import RuleWords
from services.web.views.rules import ORIGINS

STRETCHES = {
    "pending": Mark("pending", N_("Pending"), "warn", "clock"),
    "suppressed": Mark("suppressed", N_("Suppressed"), "idle", "clock"),
    "active": Mark("active", N_("Active"), "bad", "octagon"),
}
_FEW = 20
_MARGIN = timedelta(minutes=30)
_LONGEST_SHOWN = timedelta(hours=12)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_STORM = N_("%(n)s alarms of one rule within %(time)s")
_SAID = N_("the rule book, version %(n)s by %(who)s")
_SAID_DEVICE = N_("the rule book, version %(n)s by %(who)s, for this device")
_SINCE = N_("changed since")
_RAISES = N_("raises: %(rule)s")
_CLEARS = N_("clears: %(rule)s")

When = Callable[[datetime], str]
"""A moment on the clock of the site."""


@dataclass(frozen=True)
class ParamSaid:
    name: str
    label: str
    text: str
    origin: str
    now: str
    """What it is now, where that is something else; else ""."""


@dataclass(frozen=True)
class Line:
    """A threshold to draw. `dashed` is the clear condition's."""

    metric: str
    value: float
    text: str
    tone: str
    clears: bool


@dataclass(frozen=True)
class StretchSaid:
    mark: Mark
    start: datetime
    end: datetime | None
    text: str
    """How long it lasted; "" while it goes on."""


@dataclass(frozen=True)
class Story:
    sentence: str
    """"" where the condition cannot be put into words."""
    condition: str
    """With names instead of ids and the values that params had; "" where the profile is unknown."""
    clears: str
    params: tuple[ParamSaid, ...]
    changed_by: str
    """The version of the rule book that had changed the rule; "" where none had."""
    lines: tuple[Line, ...]
    life: tuple[StretchSaid, ...]
    needs: str
    """Which readings the rule trusts."""


def story(record: AlarmRecord, names: Mapping[str, str], t: Translations, when: When) -> Story:
    """`names`: what logins are called; `when` says moments."""
    profile, rule = record.profile, record.rule
    words = RuleWords(profile, values_then(record), t) if profile is not None else None
    if profile is None and record.member_profile is not None:
        return _of_several(record, record.member_profile, t, when)
    return Story(
        sentence=sentence(record, t, when),
        condition=words.condition(rule.when) if words and rule else "",
        clears=words.condition(rule.clear.when) if words and rule and rule.clear.when else "",
        params=tuple(_param(one, profile, names, t) for one in record.params) if profile else (),
        changed_by=_by(record.changed_by, _SAID, names, t) if record.changed_by else "",
        lines=lines(record, t),
        life=tuple(_stretch(one, t) for one in stretches(record.alarm, record.decisions)),
        needs="" if rule is None else t.gettext(_NEEDS[rule.needs]),
    )


def _of_several(record: AlarmRecord, member: DeviceProfile, t: Translations, when: When) -> Story:
    """Of a rule over several devices, in the names of one of them."""
    reason, words = record.alarm.reason, RuleWords(member, {}, t)
    return Story(
        sentence=sentence(record, t, when),
        condition=words.condition(str(reason.get("condition") or "")),
        clears=words.condition(str(reason.get("clear") or "")),
        params=(),
        changed_by="",
        lines=(),
        life=tuple(_stretch(one, t) for one in stretches(record.alarm, record.decisions)),
        needs="",
    )


_NEEDS = {
    "good": N_("good ones only: what is late, suspect or called faulty counts as unknown"),
    "any": N_("also those that failed an integrity check"),
}


def sentence(record: AlarmRecord, t: Translations, when: When) -> str:
    """What held, for how long, and with which values."""
    alarm, reason = record.alarm, record.alarm.reason
    if alarm.profile == STORMS:
        storm = reason.get("storm") or {}
        time = length(float(storm.get("within_seconds") or 0), t)
        return t.gettext(_STORM, n=storm.get("count", ""), time=time)
    if record.profile is None or record.rule is None:
        return counted_sentence(reason.get("values") or {}, record.member_profile, t)
    clauses = Clauses(record.profile, record.rule.scope, values_then(record), t)
    measured = reason.get("measured_at")
    at = when(datetime.fromisoformat(measured)) if isinstance(measured, str) else ""
    return clauses.sentence(record.rule.when, timedelta(seconds=reason.get("for_seconds") or 0), at)


def values_then(record: AlarmRecord) -> dict[str, Value]:
    """What the condition read then."""
    return {one.name: one.value for one in record.params} | dict(record.alarm.reason.get("values") or {})


# --- thresholds -----------------------------------------------------------------------------------------------------


def _param(one: ParamThen, profile: DeviceProfile, names: Mapping[str, str], t: Translations) -> ParamSaid:
    words = RuleWords(profile, {}, t)
    if one.said is not None:
        origin = _by(one.said, _SAID_DEVICE if one.origin == "book_device" else _SAID, names, t)
    else:
        origin = t.gettext(ORIGINS[one.origin] if one.origin is not None else _SINCE)
    now = words.param(one.name, one.now) if one.now != one.value else ""
    return ParamSaid(one.name, one.label.in_(t.language), words.param(one.name, one.value), origin, now)


def _by(said: Any, message: str, names: Mapping[str, str], t: Translations) -> str:
    return t.gettext(message, n=said.version, who=names.get(said.who, said.who))


def lines(record: AlarmRecord, t: Translations) -> tuple[Line, ...]:
    """The lines of its own rule over its own metrics, by what it had read then."""
    if record.profile is None or record.rule is None:
        return ()
    found = lines_of(record.profile, record.rule, values_then(record))
    return tuple(_line(one, clears, record, t) for one, clears in found if one.metric in record.profile.metrics)


def _line(one: Threshold, clears: bool, record: AlarmRecord, t: Translations) -> Line:
    assert record.profile is not None
    metric = record.profile.metrics[one.metric]
    value = f"{_SIGNS[one.sign]} {amount(one.value, metric.uom, metric.decimals, t)}"
    text = t.gettext(_CLEARS if clears else _RAISES, rule=value)
    return Line(one.metric, one.value, text, "ok" if clears else SEVERITY[record.alarm.severity].tone, clears)


_SIGNS = {"<": "<", "<=": "≤", ">": ">", ">=": "≥", "==": "=", "!=": "≠"}


def drawn(record: AlarmRecord) -> tuple[str, ...]:
    """Metrics to draw, those with a threshold first: of where the alarm is, and in one unit, so that one axis is true
    for all."""
    profile, rule = record.profile, record.rule
    if profile is None:
        return ()
    scope = rule.scope if rule else (record.alarm.child.partition(":")[0] or None)
    with_lines = [one.metric for one, _ in lines_of(profile, rule, values_then(record))] if rule else []
    read = _read(record)
    own = [name for name, metric in profile.metrics.items() if metric.scope == scope and name in (*with_lines, *read)]
    own.sort(key=lambda name: name not in with_lines)
    return tuple(name for name in own if profile.metrics[name].uom == profile.metrics[own[0]].uom)


def _read(record: AlarmRecord) -> set[str]:
    """The names that its condition reads, also those that look back."""
    return set(_NAME.findall(str(record.alarm.reason.get("condition") or "")))


# --- its life -------------------------------------------------------------------------------------------------------


def _stretch(one: Stretch, t: Translations) -> StretchSaid:
    text = fmt.duration(one.end - one.start, t) if one.end is not None else ""
    return StretchSaid(STRETCHES[one.kind], one.start, one.end, text)


def around(record: AlarmRecord, now: datetime) -> tuple[datetime, datetime]:
    """What the curve shows: from before its condition began to hold until after it cleared. Of one that goes on for
    long, its beginning."""
    alarm = record.alarm
    begin = alarm.pending_since or alarm.raised_at
    end = min(now, (alarm.cleared_at or now) + _MARGIN)
    return begin - _MARGIN, min(end, begin + _LONGEST_SHOWN)


def shades(record: AlarmRecord, now: datetime, t: Translations) -> list[dict[str, Any]]:
    """Its life as the chart script draws it."""
    return [
        {
            "start": to_millis(one.start),
            "end": to_millis(one.end or now),
            "tone": STRETCHES[one.kind].tone,
            "text": t.gettext(STRETCHES[one.kind].word),
        }
        for one in stretches(record.alarm, record.decisions)
    ]


# --- the readings that met it ---------------------------------------------------------------------------------------


def at_onset(
    telemetry: TelemetryStore, record: AlarmRecord, metrics: Sequence[str], language: Language
) -> dict[str, str]:
    """The first values measured since the condition began to hold; none where the store does not answer."""
    if record.profile is None:
        return {}
    found = values_at_onset(telemetry, record.alarm, metrics)
    return {name: value_text(record.profile.metrics[name], value, language) for name, value in found.items()}


def values_at_onset(telemetry: TelemetryStore, alarm: Alarm, metrics: Sequence[str]) -> dict[str, Value]:
    """The same as they are."""
    if alarm.pending_since is None or not metrics:
        return {}
    start, end = to_millis(alarm.pending_since), to_millis(alarm.raised_at)
    try:
        found = telemetry.range(
            device=alarm.device, child=alarm.child, metrics=metrics, start=start, end=max(end, start + 1), limit=_FEW
        )
    except TelemetryUnavailable:
        return {}
    return {name: points[0].value for name, points in found.items() if points and points[0].at <= end}


def names_of(record: AlarmRecord, metrics: Sequence[str], language: Language) -> dict[str, str]:
    """What metrics are called."""
    if record.profile is None:
        return {}
    return {name: record.profile.metrics[name].name.in_(language) for name in metrics}
