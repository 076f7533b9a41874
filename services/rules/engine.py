"""Readings and passing time through a device's rules. No SQL, no clock: it moves a DeviceState and says what fired.

- Only rules that read a name which a reading touches are judged, and those whose delay runs.
- A rule sees a value only while it is good (or `needs: any`) and fresh; otherwise the name is unknown.
- Late and historic readings update what is known and judge nothing. Retained ones set state: what they say is judged,
  but no delay runs on them alone. What has been overtaken by a newer value judges nothing either.
- What looks back (`delta`, `count`, …) remembers the values of live readings that are good enough for its rule; see
  `services.rules.feeding`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from gateway.presence import Contact, Liveness, Parent, PresenceReason, PresenceState, Way, judge, word_of
from gateway.reading import Millis, Presence, Quality, Reading, Value, child_kind
from services.clock import from_millis
from services.presence import follow
from services.rules.automaton import FOREVER, IDLE, Mark, Outcome, Phase, Step, Verdict, advance, elapse
from services.rules.compiled import CompiledRule
from services.rules.feeding import feed_presence, feed_reading, forget_later_than
from services.rules.seen import ages, valid_until, values_of
from services.rules.state import ChildState, DeviceState, Evidence, Key

_PAGES_NOBODY = frozenset({Quality.LATE, Quality.HISTORIC})
# A device whose clock is unset or fast measures no worse for it: its readings are stamped on arrival. Were they
# distrusted, a reset clock would switch off the smoke alarm.
_AS_GOOD = frozenset({Quality.GOOD, Quality.SKEWED})
_RAISING = frozenset({Phase.IDLE, Phase.PENDING})


class Firing(NamedTuple):
    """An alarm to raise or to clear, one that changes (SEVERITY, FLAPPING), or what late data say (LATE)."""

    device: DeviceState
    child: str
    rule: CompiledRule
    outcome: Outcome
    at: Millis
    since: Millis
    evidence: Evidence | None
    severity: str = ""
    """As it is from then on; "" where the rule's own stands."""
    flaps: int = 0
    """How often it has begun within the rule's `flapping.within`."""


class GatewayView(NamedTuple):
    """What a device's gateway lets us judge."""

    progress: Millis | None
    known: bool
    """It is heard, and hears its broker."""
    watching_since: Millis | None = None
    """It had not been listening before: silence counts from here."""
    broken: PresenceReason | None = None
    """Why nothing is known: UPLINK_CUT or BROKER_DOWN."""
    parent: Parent | None = None
    """What is seen of what the device hangs on."""


# --- one reading -----------------------------------------------------------------------------------------------------


def take(device: DeviceState, reading: Reading, view: GatewayView) -> list[Firing]:
    """Everything one reading changes about a device."""
    state = device.children.get(reading.child)
    if state is None:
        state = device.children[reading.child] = ChildState()
    _hear(device, state, reading)
    live = reading.quality not in _PAGES_NOBODY
    news = _merge(state, reading)
    if live and (device.last_measured is None or reading.measured_at >= device.last_measured):
        device.last_measured, device.last_received = reading.measured_at, reading.received_at
    # An ordinary message of a device that is there already changes nothing about its presence.
    said = reading.presence is not Presence.UNSAID
    fired = look(device, view) if said or device.liveness != Liveness.ONLINE else []
    if said and reading.child:
        device.looked_at = False  # a child that comes or goes is judged at the next tick
    overtaken = not news and bool(reading.values or reading.flags)
    if device.profile is None or not live or overtaken:
        return fired
    if not reading.retained and (device.profile.fed or device.profile.fed_by_parent):
        news = feed_reading(device, reading, news)
    return fired + _judge_reading(device, reading, news)


def tell(device: DeviceState, child: str, values: Mapping[str, Value], at: Millis) -> list[Firing]:
    """Values that no reading carries, such as how a command fares: judged like others, and nobody is heard by them.

    How a command fares goes here as {command_state(command): word}, for rules to see as `<command>_command`.
    """
    state = device.children.get(child)
    if state is None:
        state = device.children[child] = ChildState()
    state.values.update(values)
    state.times.update(dict.fromkeys(values, at))
    if device.profile is None:
        return []
    said = Reading(device.id, child, at, at, "", dict(values))
    names = tuple(values)
    if device.profile.fed or device.profile.fed_by_parent:
        names = feed_reading(device, said, names)
    return _judge_reading(device, said, names)


def _hear(device: DeviceState, state: ChildState, reading: Reading) -> None:
    if reading.quality is Quality.HISTORIC:
        return  # a replay says nothing about now
    follow.hear(device, state, reading)


def _merge(state: ChildState, reading: Reading) -> tuple[str, ...]:
    """Keep what is newer than what is known, name by name; those names.

    By name, because one message may carry the device's own time and the next none: a clock some seconds slow would
    otherwise make every timed message look overtaken by the last heartbeat.
    """
    at, times = reading.measured_at, state.times
    poor = None if reading.quality in _AS_GOOD else reading.quality
    news: list[str] = []
    for name, value in reading.values.items():
        if times.get(name, -1) <= at:
            news.append(name)
            state.values[name] = value
            times[name] = at
            flag = reading.flags.get(name, poor) if reading.flags or poor else None
            if flag is not None:
                state.flags[name] = flag
            elif state.flags:
                state.flags.pop(name, None)
    for name, flag in reading.flags.items():
        if name not in reading.values and times.get(name, -1) <= at:
            news.append(name)
            state.flags[name] = flag  # its value was left out; the old one stands, and is not trusted
    if state.measured_at is None or at > state.measured_at:
        state.measured_at = at
    return tuple(news)


def _judge_reading(device: DeviceState, reading: Reading, names: tuple[str, ...]) -> list[Firing]:
    assert device.profile is not None
    profile, child, at = device.profile, reading.child, reading.measured_at
    fired: list[Firing] = []
    judged: set[Key] = set()
    touched = profile.touched.get(child_kind(child))
    if touched:
        for name in names:
            for rule in touched.get(name, ()):
                key = (child, rule.rule.id)
                if key not in judged:
                    judged.add(key)
                    fired += _evaluate(device, child, rule, at, retained=reading.retained)
    if not child and profile.by_parent:
        fired += _judge_children(device, names, at, judged, retained=reading.retained)
    if device.waiting:
        for key in [one for one in device.waiting if one not in judged]:
            fired += _evaluate(device, key[0], profile.rules[key[1]], at, retained=reading.retained)
    return fired


def _judge_children(
    device: DeviceState, names: Iterable[str], at: Millis, judged: set[Key], *, retained: bool
) -> list[Firing]:
    """Rules of children that read a name of their device."""
    assert device.profile is not None
    fired: list[Firing] = []
    for name in names:
        for rule in device.profile.by_parent.get(name, ()):
            for child in [one for one in device.children if child_kind(one) == rule.rule.scope]:
                key = (child, rule.rule.id)
                if key not in judged:
                    judged.add(key)
                    fired += _evaluate(device, child, rule, at, retained=retained)
    return fired


# --- passing time ----------------------------------------------------------------------------------------------------


def tick(device: DeviceState, view: GatewayView) -> list[Firing]:
    """Time has passed up to the gateway's progress: silence, ages and delays."""
    if _is_quiet(device, view):
        return []
    fired = look(device, view)
    if device.profile is None or not view.known or view.progress is None or device.reason == PresenceReason.PARENT_DOWN:
        return fired
    at = device.event_now(view.progress)
    for key in list(device.waiting):
        rule = device.profile.rules[key[1]]
        step = elapse(device.marks[key], rule.delays, at)
        if step.mark.phase is not device.marks[key].phase:
            # Otherwise the mark stays as it is: the same time can be counted again, from the mark, at any later tick.
            fired += _settle(device, key[0], rule, step)
    rules = device.profile.aging if device.looked_at else device.profile.timed
    device.looked_at = True
    return fired + _judge_timed(device, at, rules)


def _is_quiet(device: DeviceState, view: GatewayView) -> bool:
    """Most devices at most times: heard in time, no delay runs, no rule waits for something to grow old."""
    profile, heard, since = device.profile, device.heard_at, view.watching_since
    if profile is None or profile.aging or device.waiting or not device.looked_at or not view.known:
        return False
    if device.liveness != Liveness.ONLINE or heard is None or word_of(device.said) is Presence.OFFLINE:
        return False
    if view.parent is not None and view.parent.down_since is not None:
        return False
    return view.progress is not None and view.progress - heard <= profile.stale_after and heard >= (since or 0)


def look(device: DeviceState, view: GatewayView) -> list[Firing]:
    """Judge the presence anew; where it changed, judge the rules that depend on it."""
    if device.profile is None:
        return []
    found = presence_of(device, view)
    device.listen_from(view.watching_since)
    device.silence_seconds = None if found.silence is None else found.silence / 1000
    if not follow.settle(device, found, view.progress) or view.progress is None:
        return []
    at = device.event_now(view.progress)
    feed_presence(device, at)
    return _judge_timed(device, at, device.profile.timed)


def presence_of(device: DeviceState, view: GatewayView) -> PresenceState:
    """Silence before the gateway began to listen is nobody's: it counts from then on, and until then is unknown."""
    assert device.profile is not None
    broken = None if view.known else view.broken or PresenceReason.UPLINK_CUT
    way = Way(view.progress, broken, view.watching_since, view.parent)
    return judge(device.profile.availability, Contact(device.heard_at, device.said), way)


def _judge_timed(device: DeviceState, at: Millis, by_scope: Mapping[str, tuple[CompiledRule, ...]]) -> list[Firing]:
    fired: list[Firing] = []
    for scope, rules in by_scope.items():
        children = [""] if not scope else [one for one in device.children if child_kind(one) == scope]
        for child in children:
            for rule in rules:
                if not _rests(device, child, rule, at) and not _runs_on(device, child, rule, at):
                    fired += _evaluate(device, child, rule, at, retained=False)
    return fired


def _rests(device: DeviceState, child: str, rule: CompiledRule, at: Millis) -> bool:
    """It looks back over a long time, and was judged a short time ago."""
    if not rule.rest:
        return False
    key = (child, rule.rule.id)
    until = device.rested_until.get(key, 0)
    if until - rule.rest <= at < until:
        return True
    device.rested_until[key] = at + rule.rest
    return False


def _runs_on(device: DeviceState, child: str, rule: CompiledRule, at: Millis) -> bool:
    """Its delay runs and nothing else has changed: the mark can stay as it is."""
    mark = device.marks.get((child, rule.rule.id))
    if mark is None or not mark.counting:
        return False
    return _holds(rule, mark.phase, values_of(device, child, rule, at), ages(device, child, at)) is True


def rewind(device: DeviceState, to: Millis) -> None:
    """The gateway's clock had been ahead and was put right: what it stamped later than `to` happened by then.

    Without this nothing newer would count as newer until the clock has caught up with itself.
    """
    device.heard_at = None if device.heard_at is None else min(device.heard_at, to)
    device.last_received = min(device.last_received, to)
    device.last_measured = None if device.last_measured is None else min(device.last_measured, to)
    follow.rewind(device, to)
    for state in device.children.values():
        state.heard_at = None if state.heard_at is None else min(state.heard_at, to)
        state.measured_at = None if state.measured_at is None else min(state.measured_at, to)
        state.times = {name: min(at, to) for name, at in state.times.items()}
    for key, mark in list(device.marks.items()):
        device.set_mark(key, _rewound(mark, to))
    forget_later_than(device, to)


def _rewound(mark: Mark, to: Millis) -> Mark:
    """A delay has lasted as long as it has, and goes on from here with data that must prove fresh anew."""
    fresh = mark.valid_until if mark.valid_until >= FOREVER else min(mark.valid_until, to)
    return mark._replace(since=min(mark.since, to), at=min(mark.at, to), valid_until=fresh)


# --- one rule --------------------------------------------------------------------------------------------------------


def _evaluate(device: DeviceState, child: str, rule: CompiledRule, at: Millis, *, retained: bool) -> list[Firing]:
    key = (child, rule.rule.id)
    mark = device.marks.get(key, IDLE)
    values = values_of(device, child, rule, at)
    age = ages(device, child, at)
    if mark is IDLE and rule.condition(values, age) is not True:
        return []

    def verdict(phase: Phase) -> Verdict:
        holds = _holds(rule, phase, values, age)
        if holds and phase in _RAISING:
            device.evidence[key] = Evidence(values, at)
        return holds

    fresh_until = at if retained and rule.fresh_for else valid_until(device, child, rule)
    step = advance(mark, rule.delays, at, verdict, fresh_until)
    return _settle(device, child, rule, step, values)


def _holds(rule: CompiledRule, phase: Phase, values: dict[str, Value], age: Callable[[str], float | None]) -> Verdict:
    if phase in _RAISING:
        return _truth(rule.condition(values, age))
    if rule.clear is not None:
        return _truth(rule.clear(values, age))
    holds = _truth(rule.condition(values, age))
    return None if holds is None else not holds


def _truth(value: Value) -> Verdict:
    return None if value is None else value is True


def _settle(
    device: DeviceState, child: str, rule: CompiledRule, step: Step, values: dict[str, Value] | None = None
) -> list[Firing]:
    """Keep the automaton's new mark; what it raised or cleared on the way."""
    key = (child, rule.rule.id)
    fired = []
    for one in step.transitions:
        if one.outcome is Outcome.RAISED:
            fired.append(Firing(device, child, rule, one.outcome, one.at, one.since, device.evidence.get(key)))
        elif one.outcome is Outcome.CLEARED:
            last = Evidence(values, one.at) if values is not None else None
            fired.append(Firing(device, child, rule, one.outcome, one.at, one.since, last))
    device.set_mark(key, step.mark)
    return fired


def reason_of(firing: Firing) -> dict[str, Any]:
    """Why an alarm was raised, as it is stored with it: {condition, values, since, measured_at, source, name, …}."""
    rule, evidence = firing.rule.rule, firing.evidence
    return {
        "name": {"zh": rule.name.zh, "en": rule.name.en},
        "condition": rule.when,
        "for_seconds": rule.for_.total_seconds(),
        "clear": rule.clear.when or f"not ({rule.when})",
        "values": {name: value for name, value in (evidence.values if evidence else {}).items() if value is not None},
        "since": from_millis(firing.since).isoformat(),
        "measured_at": from_millis(evidence.measured_at).isoformat() if evidence else None,
        "source": {"kind": rule.source.kind, "ref": rule.source.ref},
    }
