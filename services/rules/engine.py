"""Readings and passing time through a device's rules. No SQL, no clock: it moves a DeviceState and says what fired.

- Only rules that read a name which a reading touches are judged, and those whose delay runs.
- A rule sees a value only while it is good (or `needs: any`) and fresh; otherwise the name is unknown.
- Late and historic readings update what is known and judge nothing. Retained ones set state: what they say is judged,
  but no delay runs on them alone. What has been overtaken by a newer value judges nothing either.
- What looks back (`delta`, `count`, …) remembers the values of live readings that are good enough for its rule; see
  `services.rules.feeding`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gateway.presence import Contact, Liveness, Parent, PresenceReason, PresenceState, Way, judge, word_of
from gateway.reading import Millis, Presence, Quality, Reading, Value, child_kind
from services.presence import follow
from services.rules.automaton import FOREVER, Mark
from services.rules.compiled import CompiledProfile, CompiledRule
from services.rules.evaluation import applies_at, children_of, evaluate, holds_in, judge_edges_again, pass_time
from services.rules.feeding import feed_presence, feed_reading, forget_later_than
from services.rules.firing import Firing, reason_of
from services.rules.late import judge_late
from services.rules.members import answers_as_before
from services.rules.plans import plan_of, stays_at_rest
from services.rules.seen import ages, values_of
from services.rules.state import ChildState, DeviceState, Key

__all__ = ["Firing", "GatewayView", "look", "presence_of", "reason_of", "rewind", "take", "tell", "tick"]

_PAGES_NOBODY = frozenset({Quality.LATE, Quality.HISTORIC})
# A device whose clock is unset or fast measures no worse for it: its readings are stamped on arrival. Were they
# distrusted, a reset clock would switch off the smoke alarm.
_AS_GOOD = frozenset({Quality.GOOD, Quality.SKEWED})
_ONLINE = Liveness.ONLINE.value


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
    child, at, quality, profile = reading.child, reading.measured_at, reading.quality, device.profile
    state = device.children.get(child)
    if state is None:
        state = device.children[child] = ChildState()
    if quality is not Quality.HISTORIC:  # a replay says nothing about now
        follow.hear(device, state, reading)
    live = quality is Quality.GOOD or quality not in _PAGES_NOBODY
    fired: list[Firing] = []
    if live and profile is not None and (device.due_at <= at or device.waiting):
        fired = pass_time(device, at)
    news = _merge(state, reading)
    if live and (device.last_measured is None or at >= device.last_measured):
        device.last_measured, device.last_received = at, reading.received_at
    # An ordinary message of a device that is there already changes nothing about its presence.
    said = reading.presence is not Presence.UNSAID
    if said or device.liveness != _ONLINE:
        fired += look(device, view)
    if said and child:
        device.looked_at = False  # a child that comes or goes is judged at the next tick
    if profile is None:
        return fired
    if not live:
        return fired + judge_late(device, reading)
    if not news and (reading.values or reading.flags):
        return fired  # it has been overtaken
    if not reading.retained and (profile.fed or profile.fed_by_parent):
        news = feed_reading(device, reading, news)
    _judge_reading(device, reading, news, fired)
    if at < device.edges_until:
        fired += judge_edges_again(device, at)
    return fired


def tell(device: DeviceState, child: str, values: Mapping[str, Value], at: Millis) -> list[Firing]:
    """Values that no reading carries, such as how a command fares: judged like others, and nobody is heard by them.

    How a command fares goes here as {command_state(command): word}, for rules to see as `<command>_command`.
    """
    state = device.children.get(child)
    if state is None:
        state = device.children[child] = ChildState()
    fired = pass_time(device, at)
    state.values.update(values)
    state.times.update(dict.fromkeys(values, at))
    if device.profile is None:
        return []
    said = Reading(device.id, child, at, at, "", dict(values))
    names = tuple(values)
    if device.profile.fed or device.profile.fed_by_parent:
        names = feed_reading(device, said, names)
    _judge_reading(device, said, names, fired)
    return fired


def _merge(state: ChildState, reading: Reading) -> tuple[str, ...]:
    """Keep what is newer than what is known, name by name; those names.

    By name, because one message may carry the device's own time and the next none: a clock some seconds slow would
    otherwise make every timed message look overtaken by the last heartbeat.
    """
    at, times = reading.measured_at, state.times
    if not state.flags and not reading.flags and reading.quality in _AS_GOOD and at >= (state.measured_at or 0):
        # Nearly every reading: nothing of it is poor or has been overtaken.
        state.values.update(reading.values)
        times.update(dict.fromkeys(reading.values, at))
        state.measured_at = at
        return tuple(reading.values)
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


def _judge_reading(device: DeviceState, reading: Reading, names: tuple[str, ...], fired: list[Firing]) -> None:
    """Judge the rules that these names can move, and those whose delay runs; what fires is added."""
    profile, child, at = device.profile, reading.child, reading.measured_at
    assert profile is not None
    kind = child_kind(child) if child else ""
    plan = plan_of(profile, kind, names)
    state, marks = device.children[child], device.marks
    if plan:
        values = {**state.values, **device.params} if device.params else state.values
        for one in plan:
            at_rest = one.plain and not state.flags and (not marks or (child, one.id) not in marks)
            if not at_rest or not stays_at_rest(one, state, values, device.zone, at):
                fired += evaluate(device, child, one.rule, at, retained=reading.retained)
    if device.waiting or (profile.by_member if child else profile.by_parent):
        fired += _judge_others(device, reading, names, {(child, one.id) for one in plan})


def _judge_others(device: DeviceState, reading: Reading, names: tuple[str, ...], judged: set[Key]) -> list[Firing]:
    """Beside the rules on what the reading is of: those of its children, of its device, and those whose delay runs."""
    profile, child, at, retained = device.profile, reading.child, reading.measured_at, reading.retained
    assert profile is not None
    fired: list[Firing] = []
    if not child and profile.by_parent:
        fired += _judge_children(device, names, at, judged, retained=retained)
    if child and profile.by_member:
        fired += _judge_counts(device, child, names, at, judged, retained=retained)
    for key in [one for one in device.waiting if one not in judged]:
        fired += evaluate(device, key[0], profile.rules[key[1]], at, retained=retained)
    return fired


def _judge_children(
    device: DeviceState, names: Iterable[str], at: Millis, judged: set[Key], *, retained: bool
) -> list[Firing]:
    """Rules of children that read a name of their device."""
    assert device.profile is not None
    fired: list[Firing] = []
    for name in names:
        for rule in device.profile.by_parent.get(name, ()):
            for child in children_of(device, rule.rule.scope):
                key = (child, rule.rule.id)
                if key not in judged:
                    judged.add(key)
                    fired += evaluate(device, child, rule, at, retained=retained)
    return fired


def _judge_counts(
    device: DeviceState, child: str, names: Iterable[str], at: Millis, judged: set[Key], *, retained: bool
) -> list[Firing]:
    """Rules of the device that count its children by a name of theirs."""
    assert device.profile is not None
    fired: list[Firing] = []
    counting = device.profile.by_member.get(child_kind(child), {})
    for name in names:
        for rule in counting.get(name, ()):
            key = ("", rule.rule.id)
            if key not in judged:
                judged.add(key)
                same = answers_as_before(device, child, rule)
                if not same or key in device.marks:
                    fired += evaluate(device, "", rule, at, retained=retained)
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
    fired += pass_time(device, at)
    rules = device.profile.aging if device.looked_at else device.profile.timed
    device.looked_at = True
    if device.rules_changed and device.liveness == _ONLINE:
        device.rules_changed, rules = False, _rules_by_scope(device.profile)
    return fired + _judge_timed(device, at, rules)


def _rules_by_scope(profile: CompiledProfile) -> Mapping[str, tuple[CompiledRule, ...]]:
    """All of them by scope."""
    found: dict[str, tuple[CompiledRule, ...]] = {}
    for rule in profile.rules.values():
        scope = rule.rule.scope or ""
        found[scope] = (*found.get(scope, ()), rule)
    return found


def _is_quiet(device: DeviceState, view: GatewayView) -> bool:
    """Most devices at most times: heard in time, no delay runs, no rule waits for something to grow old."""
    profile, heard, since = device.profile, device.heard_at, view.watching_since
    if profile is None or profile.aging or device.waiting or not device.looked_at or not view.known:
        return False
    if device.rules_changed:
        return False
    if device.liveness != Liveness.ONLINE or heard is None or word_of(device.said) is Presence.OFFLINE:
        return False
    if view.parent is not None and view.parent.down_since is not None:
        return False
    if view.progress is None or (device.due_at < FOREVER and device.due_at <= device.event_now(view.progress)):
        return False
    return view.progress - heard <= profile.stale_after and heard >= (since or 0)


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
        for child in children_of(device, scope):
            for rule in rules:
                if not _rests(device, child, rule, at) and not _runs_on(device, child, rule, at):
                    fired += evaluate(device, child, rule, at, retained=False)
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
    if mark is None or not mark.counting or not applies_at(device, rule, at):
        return False
    return holds_in(rule, mark.phase, values_of(device, child, rule, at), ages(device, child, at)) is True


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
    for past in device.past.values():
        past.onsets = tuple(min(at, to) for at in past.onsets)
        past.raised_at = None if past.raised_at is None else min(past.raised_at, to)
    device.edges_until, device.due_at = min(device.edges_until, to), 0
    forget_later_than(device, to)


def _rewound(mark: Mark, to: Millis) -> Mark:
    """A delay has lasted as long as it has, and goes on from here with data that must prove fresh anew."""
    fresh = mark.valid_until if mark.valid_until >= FOREVER else min(mark.valid_until, to)
    return mark._replace(since=min(mark.since, to), at=min(mark.at, to), valid_until=fresh)
