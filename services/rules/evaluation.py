"""One rule on one device or child: judged, and moved on by time.

Time passes before anything new is seen: a delay that is over, a schedule that begins or ends, an age at which the
severity changes. Each happens at its own moment with what was known then, so that a backlog read in one go tells the
same story as a clock that ticks in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.reading import Millis, Value, child_kind
from services.rules.automaton import FOREVER, IDLE, Delays, Outcome, Phase, Step, Verdict, advance, elapse
from services.rules.compiled import CompiledRule
from services.rules.firing import Firing
from services.rules.grading import flaps, forgotten_at, next_age, severity_at, with_onset
from services.rules.schedule import Hours
from services.rules.seen import ages, graded_by, valid_until, values_of
from services.rules.state import DeviceState, Evidence, Key, Past

_RAISING = frozenset({Phase.IDLE, Phase.PENDING})
_LONGEST_BACK: Millis = 2 * 86_400_000
"""How far back schedules are judged of a device that has just been read from the store, or whose clock has leapt."""


# --- one rule --------------------------------------------------------------------------------------------------------


def evaluate(device: DeviceState, child: str, rule: CompiledRule, at: Millis, *, retained: bool) -> list[Firing]:
    """Judge a rule by what is known now."""
    key = (child, rule.rule.id)
    mark = device.marks.get(key, IDLE)
    applies = applies_at(device, rule, at)
    if mark is IDLE and not applies:
        return []
    values = values_of(device, child, rule, at)
    age = ages(device, child, at)
    if mark is IDLE and rule.condition(values, age) is not True:
        return []

    def verdict(phase: Phase) -> Verdict:
        holds = holds_in(rule, phase, values, age) if applies else phase not in _RAISING
        if holds and phase in _RAISING:
            device.evidence[key] = Evidence(values, at)
            device.moved.add(key)  # of one millisecond there may be several, and the mark is as it was
        return holds

    fired = move_on(device, key, rule, at)
    mark = device.marks.get(key, IDLE)
    fresh_until = FOREVER if not applies else at if retained and rule.fresh_for else valid_until(device, child, rule)
    step = advance(mark, delays_of(device, key, rule), at, verdict, fresh_until)
    fired += _settle(device, key, rule, step, values)
    return fired + _regrade(device, key, rule, at) if rule.grades else fired


def applies_at(device: DeviceState, rule: CompiledRule, at: Millis) -> bool:
    return rule.timetable is None or rule.timetable.in_zone(device.zone).applies(at)


def holds_in(rule: CompiledRule, phase: Phase, values: dict[str, Value], age: Callable[[str], float | None]) -> Verdict:
    """Whether the condition of a phase holds: the rule's own, or that for clearing."""
    if phase in _RAISING:
        return _truth(rule.condition(values, age))
    if rule.clear is not None:
        return _truth(rule.clear(values, age))
    holds = _truth(rule.condition(values, age))
    return None if holds is None else not holds


def _truth(value: Value) -> Verdict:
    return None if value is None else value is True


def delays_of(device: DeviceState, key: Key, rule: CompiledRule) -> Delays:
    """Those of an alarm that flaps are longer."""
    past = device.past.get(key)
    return rule.calm if past is not None and past.flaps else rule.delays


def move_on(device: DeviceState, key: Key, rule: CompiledRule, at: Millis) -> list[Firing]:
    """Time passes for a delay that runs. While it is not over the mark stays as it is: the same time can be counted
    again, from the mark, at any later moment."""
    mark = device.marks.get(key)
    if mark is None:
        return []
    step = elapse(mark, delays_of(device, key, rule), at)
    if step.mark.phase is mark.phase:
        return []
    return _settle(device, key, rule, step, values_of(device, key[0], rule, step.transitions[-1].at))


def _settle(device: DeviceState, key: Key, rule: CompiledRule, step: Step, values: dict[str, Value]) -> list[Firing]:
    """Keep the automaton's new mark; what it raised or cleared on the way."""
    fired: list[Firing] = []
    for outcome, at, since in step.transitions:
        if outcome is Outcome.RAISED:
            fired += _raised(device, key, rule, at, since)
        elif outcome is Outcome.RELAPSED:
            fired += _onset(device, key, rule, at, since)
        elif outcome is Outcome.CLEARED:
            fired.append(_cleared(device, key, rule, at, since, Evidence(values, at)))
    device.set_mark(key, step.mark)
    return fired


# --- alarms: their severity, and how often they have begun -----------------------------------------------------------


def _raised(device: DeviceState, key: Key, rule: CompiledRule, at: Millis, since: Millis) -> list[Firing]:
    past = device.past.setdefault(key, Past())
    past.raised_at, past.severity, past.flaps = at, "", 0
    if rule.grades:
        child = key[0]
        past.severity = severity_at(rule, graded_by(device, child, rule, at), ages(device, child, at), 0)
        past.due = next_age(rule, at, at)
        device.due_at = min(device.due_at, past.due)
    raised = Firing(device, key[0], rule, Outcome.RAISED, at, since, device.evidence.get(key), past.severity)
    return [raised, *_onset(device, key, rule, at, since)]


def _onset(device: DeviceState, key: Key, rule: CompiledRule, at: Millis, since: Millis) -> list[Firing]:
    """It has begun, or come back. The first time that this makes it flap is said."""
    past = device.past.setdefault(key, Past(raised_at=at))
    past.onsets = with_onset(rule, past.onsets, at)
    device.moved.add(key)
    if past.flaps:
        past.flaps += 1
        return []
    if not flaps(rule, past.onsets):
        return []
    past.flaps = len(past.onsets)
    evidence = device.evidence.get(key)
    return [Firing(device, key[0], rule, Outcome.FLAPPING, at, since, evidence, past.severity, past.flaps)]


def _cleared(device: DeviceState, key: Key, rule: CompiledRule, at: Millis, since: Millis, last: Evidence) -> Firing:
    past = device.past.get(key, Past())
    firing = Firing(device, key[0], rule, Outcome.CLEARED, at, since, last, past.severity, past.flaps)
    forgotten = forgotten_at(rule, past.onsets)
    if forgotten <= at:
        past.onsets = ()
    else:
        device.due_at = min(device.due_at, forgotten)
    return firing


def _regrade(device: DeviceState, key: Key, rule: CompiledRule, at: Millis) -> list[Firing]:
    """Of an active alarm: another severity, where another grade fits now."""
    child, past = key[0], device.past.get(key)
    if past is None or past.raised_at is None or not rule.grades:
        return []
    values, now = graded_by(device, child, rule, at), past.severity or rule.rule.severity.value
    severity = severity_at(rule, values, ages(device, child, at), at - past.raised_at, now)
    if severity == now:
        return []
    past.severity = severity
    device.moved.add(key)
    return [Firing(device, child, rule, Outcome.SEVERITY, at, past.raised_at, Evidence(values, at), severity)]


# --- passing time ----------------------------------------------------------------------------------------------------


def pass_time(device: DeviceState, at: Millis) -> list[Firing]:
    """Everything that happens by itself up to a moment."""
    fired = _dues(device, at) if device.due_at <= at else []
    if device.waiting:
        assert device.profile is not None
        for key in list(device.waiting):
            fired += move_on(device, key, device.profile.rules[key[1]], at)
        if device.due_at <= at:
            fired += _dues(device, at)
    return fired


def judge_edges_again(device: DeviceState, since: Millis) -> list[Firing]:
    """A reading was measured before a schedule began or ended, and came in after that."""
    until, device.edges_until = device.edges_until, since
    device.due_at = _next_due(device, since)
    return _dues(device, until) if device.due_at <= until else []


def _dues(device: DeviceState, at: Millis) -> list[Firing]:
    if not device.due_at:
        _begin_edges(device, max(device.edges_until, device.last_measured or at, at - _LONGEST_BACK))
    elif device.due_at < at - _LONGEST_BACK:
        # A clock without a battery begins in 1970. Nobody lives through all those nights: what stands is judged once.
        device.rules_changed = True
        _begin_edges(device, max(device.edges_until, at - _LONGEST_BACK))
    fired: list[Firing] = []
    while device.due_at <= at:
        moment = device.due_at
        fired += _judge_edges(device, moment)
        fired += _judge_past(device, moment)
        device.due_at = _next_due(device, moment)
    return fired


def _begin_edges(device: DeviceState, start: Millis) -> None:
    device.edges_until = start
    device.due_at = _next_due(device, start)


def _next_due(device: DeviceState, after: Millis) -> Millis:
    """The first moment later than `after` at which something happens by itself."""
    profile = device.profile
    if profile is None:
        return FOREVER
    after = max(after, device.edges_until)
    due = min((_hours(device, rule).edge_after(after) for rule in profile.scheduled), default=FOREVER)
    for key, past in device.past.items():
        rule = profile.rules.get(key[1])
        if rule is not None:
            due = min(due, _due_of(rule, past))
    return due


def _hours(device: DeviceState, rule: CompiledRule) -> Hours:
    assert rule.timetable is not None
    return rule.timetable.in_zone(device.zone)


def _due_of(rule: CompiledRule, past: Past) -> Millis:
    return past.due if past.raised_at is not None else forgotten_at(rule, past.onsets)


def _judge_edges(device: DeviceState, moment: Millis) -> list[Firing]:
    """Rules that begin or cease to apply at this moment."""
    assert device.profile is not None
    fired: list[Firing] = []
    for rule in device.profile.scheduled:
        if _hours(device, rule).stretch(moment).begins == moment:
            device.edges_until = max(device.edges_until, moment)
            for child in children_of(device, rule.rule.scope):
                fired += evaluate(device, child, rule, moment, retained=False)
    return fired


def _judge_past(device: DeviceState, moment: Millis) -> list[Firing]:
    """Alarms that have come of age, and onsets that are old enough to be forgotten."""
    assert device.profile is not None
    fired: list[Firing] = []
    for key, past in list(device.past.items()):
        rule = device.profile.rules.get(key[1])
        if rule is None or _due_of(rule, past) > moment:
            continue
        device.moved.add(key)
        fired += move_on(device, key, rule, moment)  # it may begin or end before that
        if past.raised_at is not None:
            past.due = next_age(rule, past.raised_at, moment)
            fired += _regrade(device, key, rule, moment)
        elif _due_of(rule, past) <= moment:
            device.past.pop(key, None)
    return fired


def children_of(device: DeviceState, scope: str | None) -> Iterable[str]:
    """The parts of a device on which a rule of this scope runs; "" is the device itself."""
    return [one for one in device.children if child_kind(one) == scope] if scope else ("",)
