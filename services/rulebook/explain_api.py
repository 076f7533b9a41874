"""Why there is an alarm, and why there is none: the explanations of the pages as JSON, in both languages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path

from device_profiles.schema import Text
from gateway.reading import Value
from services.rulebook.alarm_record import AlarmRecord, OutageOf, ParamThen, Said, alarm_record
from services.rulebook.device_rules import DeviceRules, device_rules
from services.rules.explaining import Counted, Stretch, lines_of, met_at, stood_still, stretches
from services.rules.store import Alarm
from services.rules.trial_store import Correction
from services.sites import store as sites
from services.web.i18n import Translations
from services.web.pages import format as fmt
from services.web.pages.render import translations
from services.web.problems import not_found
from services.web.security import ContextOf, Crew
from services.web.views import alarm_story as stories
from services.web.views.decisions import timeline

router = APIRouter()
Id = Annotated[str, Path(max_length=64)]


@dataclass(frozen=True, kw_only=True)
class ConditionThen:
    """A condition as it stood when the alarm was raised."""

    text: str
    said: Text | None
    """With names instead of ids, and params as the values they had; null where its profile is not known."""
    for_seconds: float


@dataclass(frozen=True, kw_only=True)
class ValueThen:
    name: str
    value: Value
    at_onset: Value
    """Of a metric: the first value measured since the condition began to hold; null where there is none."""


@dataclass(frozen=True, kw_only=True)
class ThresholdLine:
    """`metric sign value` raises it (or clears it)."""

    metric: str
    sign: str
    value: float
    uom: str
    look: str
    """Where not the value itself is compared: "mean(level, 10m)"."""
    params: tuple[str, ...]
    clears: bool


@dataclass(frozen=True, kw_only=True)
class DecisionSaid:
    at: datetime
    kind: str
    """pending, suppressed, raised, folded, count, severity, flapping, acknowledged, snoozed, unsnoozed, step, cause or
    cleared."""
    what: Text
    why: Text
    names: str
    """The address of what it names on the pages, such as the alarm that is its cause; "" where it names none."""


@dataclass(frozen=True, kw_only=True)
class MemberThen:
    device: str
    child: str
    counted: Counted
    """Whether it met the condition, was known not to, or nobody could tell."""


@dataclass(frozen=True, kw_only=True)
class Ordered:
    """A command that the alarm sent."""

    id: str
    command: str
    state: str
    asked_at: datetime


@dataclass(frozen=True, kw_only=True)
class AlarmExplained:
    """Why there is an alarm, and what became of it."""

    alarm: Alarm
    sentence: Text
    """What held, for how long, with which values; empty where the condition's profile is not known."""
    condition: ConditionThen
    clear: ConditionThen
    """Of one without a clear condition of its own: the opposite of the condition."""
    needs: Literal["good", "any"] | None
    """Which readings its rule trusts."""
    source: dict[str, Any]
    values: tuple[ValueThen, ...]
    """What met the condition, params included."""
    params: tuple[ParamThen, ...]
    """Its thresholds, and who says them."""
    changed_by: Said | None
    """The version of the rule book that had changed the rule."""
    thresholds: tuple[ThresholdLine, ...]
    pending_since: datetime | None
    met_at: datetime
    """When its delay was over; `raised_at` of the alarm is later where it was suppressed first."""
    stood_still_seconds: float
    """For how long its delay did not run, because data were missing or could not be trusted."""
    life: tuple[Stretch, ...]
    decisions: tuple[DecisionSaid, ...]
    members: tuple[MemberThen, ...]
    """Of a rule that counts: who was counted, as far as they are named."""
    folded: int
    """How many alarms are folded under it: GET /alarms?under=<id> lists them."""
    outages: tuple[OutageOf, ...]
    commands: tuple[Ordered, ...]
    corrections: tuple[Correction, ...]
    """What late data said of its rule, around its time: they raise and clear nothing."""


@router.get("/alarms/{alarm}/explain", tags=["alarms"], summary="Why there is an alarm, and what was decided about it")
def explain_alarm(context: ContextOf, principal: Crew, alarm: Id) -> AlarmExplained:
    """Sentences in both languages; moments in them are on the clock of the site."""
    with context.database.read() as connection:
        record = alarm_record(connection, context.library, principal.scope, alarm)
        site = sites.get_site(connection, principal.scope, record.alarm.site) if record is not None else None
    if record is None:
        raise not_found("alarm", alarm)
    zone = ZoneInfo(site.timezone if site is not None else "UTC")
    onset = stories.values_at_onset(context.telemetry, record.alarm, stories.drawn(record))
    return explained(record, zone, context.clock.now(), onset)


@router.get("/devices/{device}/rules", tags=["devices"], summary="Why there is no alarm: what every rule waits for")
def list_device_rules(context: ContextOf, principal: Crew, device: Id) -> DeviceRules:
    """Each rule on the device and its children: quiet, pending, active, clearing, suppressed, unknown, or outside its
    hours; those that are on trial, off or broken are named as such."""
    with context.database.read() as connection:
        return device_rules(connection, context.library, principal.scope, device, context.clock.now())


def explained(record: AlarmRecord, zone: ZoneInfo, now: datetime, onset: Mapping[str, Value]) -> AlarmExplained:
    """`onset`: the first values since the condition began to hold."""
    alarm, reason, rule = record.alarm, record.alarm.reason, record.rule
    told = {language: stories.story(record, {}, t, partial(_moment, zone, now, t)) for language, t in _languages()}
    standing = stood_still(alarm, record.decisions)
    return AlarmExplained(
        alarm=alarm,
        sentence=Text(zh=told["zh"].sentence, en=told["en"].sentence),
        condition=ConditionThen(
            text=str(reason.get("condition") or ""),
            said=_text(told, lambda one: one.condition),
            for_seconds=float(reason.get("for_seconds") or 0),
        ),
        clear=ConditionThen(
            text=str(reason.get("clear") or ""),
            said=_text(told, lambda one: one.clears),
            for_seconds=float(reason.get("clear_for_seconds") or 0),
        ),
        needs=rule.needs if rule is not None else None,
        source=dict(reason.get("source") or {}),
        values=tuple(
            ValueThen(name=name, value=value, at_onset=onset.get(name))
            for name, value in dict(reason.get("values") or {}).items()
        ),
        params=record.params,
        changed_by=record.changed_by,
        thresholds=_lines(record),
        pending_since=alarm.pending_since,
        met_at=met_at(alarm, record.decisions),
        stood_still_seconds=standing / timedelta(seconds=1),
        life=stretches(alarm, record.decisions),
        decisions=_decisions(record, zone, now),
        members=tuple(MemberThen(device=one.device, child=one.child, counted=one.counted) for one in record.members),
        folded=record.folded_count,
        outages=record.outages,
        commands=tuple(
            Ordered(id=one.id, command=one.command, state=one.state, asked_at=one.asked_at) for one in record.commands
        ),
        corrections=record.corrections,
    )


def _languages() -> list[tuple[str, Translations]]:
    return [(str(language), t) for language, t in translations().items()]


def _moment(zone: ZoneInfo, now: datetime, t: Translations, at: datetime) -> str:
    return fmt.moment(at, zone, t.locale, now=now)


def _text(told: Mapping[str, stories.Story], of: Callable[[stories.Story], str]) -> Text | None:
    found = Text(zh=of(told["zh"]), en=of(told["en"]))
    return found if found.en else None


def _lines(record: AlarmRecord) -> tuple[ThresholdLine, ...]:
    if record.profile is None or record.rule is None:
        return ()
    metrics = record.profile.metrics
    return tuple(
        ThresholdLine(
            metric=one.metric,
            sign=one.sign,
            value=one.value,
            uom=metrics[one.metric.removeprefix("parent.")].uom,
            look=one.look,
            params=one.params,
            clears=clears,
        )
        for one, clears in lines_of(record.profile, record.rule, stories.values_then(record))
    )


def _decisions(record: AlarmRecord, zone: ZoneInfo, now: datetime) -> tuple[DecisionSaid, ...]:
    told = {language: timeline(record, {}, t, partial(_moment, zone, now, t)) for language, t in _languages()}
    return tuple(
        DecisionSaid(
            at=en.at,
            kind=en.kind,
            what=Text(zh=zh.what, en=en.what),
            why=Text(zh=zh.why, en=en.why),
            names=en.href,
        )
        for zh, en in zip(told["zh"], told["en"], strict=True)
    )
