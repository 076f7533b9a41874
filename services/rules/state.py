"""What the engine remembers of a device between readings. Plain data; the store keeps it, the engine moves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.presence import Liveness, PresenceReason, PresenceState, judge_child
from gateway.reading import Millis, Presence, Quality, Value
from services.rules.automaton import FOREVER, IDLE, Mark, Phase
from services.rules.compiled import CompiledProfile, CompiledRule
from services.rules.windows import Watch, dump

Key = tuple[str, str]
"""(child, rule id)"""


@dataclass(slots=True)
class ChildState:
    """The latest of one device (child "") or one child."""

    values: dict[str, Value] = field(default_factory=dict)
    times: dict[str, Millis] = field(default_factory=dict)
    flags: dict[str, Quality] = field(default_factory=dict)
    """Names whose newest value cannot be trusted, and why."""
    measured_at: Millis | None = None
    heard_at: Millis | None = None
    said: Mapping[str, Presence] = field(default_factory=dict)
    """The standing word of each source about this child; see gateway.presence."""


@dataclass(slots=True)
class Evidence:
    """The values that met a condition, for the alarm to explain itself."""

    values: dict[str, Value]
    measured_at: Millis


@dataclass(slots=True)
class Past:
    """What one rule remembers of its alarms on a device or child, beside its mark."""

    onsets: tuple[Millis, ...] = ()
    """When an alarm began, or came back while it was clearing: the newest last, as many as make it flap."""
    raised_at: Millis | None = None
    """Of the alarm that is not over."""
    severity: str = ""
    """Of that alarm, as it was last said; "" where the rule's own stands."""
    flaps: int = 0
    """How often that alarm has begun, once it counts as flapping."""
    due: Millis = FOREVER
    """When something changes by age alone: another severity may fit, or old onsets are forgotten."""


@dataclass(slots=True)
class DeviceState:
    id: str
    site: str | None
    profile_id: str
    profile: CompiledProfile | None
    """None where the library does not know it, or the device is unclaimed: values only, no rules."""
    params: Mapping[str, Value]
    gateway: str | None = None
    zone: str = "UTC"
    """The time zone of its site: on its clock a rule's schedule is read."""
    liveness: str = "unknown"
    reason: str = "never_heard"
    """Why: a PresenceReason."""
    since: Millis | None = None
    """When liveness and reason became what they are."""
    parent: str = ""
    """The device it hangs on."""
    down_since: Millis | None = None
    """Since when it is offline or out of reach itself; what hangs on it is unknown from then on."""
    back_since: Millis | None = None
    """When it was last there again after that: until then nobody behind it could be heard."""
    looked_at: bool = False
    """Its rules on presence have been judged since the state was read."""
    rules_changed: bool = False
    """What stands has not been judged by its rules as they are, or at the time it is: it is at the next tick."""
    silence_seconds: float | None = None
    heard_at: Millis | None = None
    said: Mapping[str, Presence] = field(default_factory=dict)
    """The standing word of each source about the device itself."""
    last_measured: Millis | None = None
    last_received: Millis = 0
    """Of the newest live reading: together they carry event time on while nothing is said."""
    listening_from: Millis | None = None
    """Event time before which its gateway was not listening: ages count from here at the earliest."""
    children: dict[str, ChildState] = field(default_factory=lambda: {"": ChildState()})
    marks: dict[Key, Mark] = field(default_factory=dict)
    """Automata that are not at rest."""
    waiting: set[Key] = field(default_factory=set)
    """Those of them whose delay runs."""
    evidence: dict[Key, Evidence] = field(default_factory=dict)
    watches: dict[Key, dict[str, Watch]] = field(default_factory=dict)
    """What rules that look back remember, by what it is of (the key of a `Look`)."""
    rested_until: dict[Key, Millis] = field(default_factory=dict)
    """Until when such a rule need not be judged again, unless something is heard."""
    past: dict[Key, Past] = field(default_factory=dict)
    due_at: Millis = 0
    """Event time at which the next schedule begins or ends, or the next `Past` is due; 0: not looked up yet."""
    edges_until: Millis = 0
    """The newest such moment that has been judged."""
    told_late: dict[Key, tuple[int, ...]] = field(default_factory=dict)
    """Hours (since 1970) for which it was said that late data meet a rule."""
    answers: dict[Key, tuple[Value, ...]] = field(default_factory=dict)
    """(child, rule) -> what the child last answered to the questions of a rule of its device that counts children."""
    moved: set[Key] = field(default_factory=set)
    """Automata and memories that the store does not know yet as they are."""

    def event_now(self, progress: Millis) -> Millis:
        """The device's event time when its gateway has seen time pass up to `progress`."""
        if self.last_measured is None:
            return progress
        return self.last_measured + max(0, progress - self.last_received)

    @property
    def ahead(self) -> Millis:
        """How far its event time is ahead of its gateway's clock."""
        return 0 if self.last_measured is None else self.last_measured - self.last_received

    def listen_from(self, watching_since: Millis | None) -> None:
        if watching_since is not None:
            self.listening_from = watching_since + self.ahead

    def presence_of(self, child: str) -> str:
        return self.state_of(child).liveness.value if child else self.liveness

    def state_of(self, child: str) -> PresenceState:
        """What is known of the presence of a child (or of the device itself), and why."""
        own = PresenceState(Liveness(self.liveness), PresenceReason(self.reason))
        state = self.children.get(child) if child else None
        return judge_child(own, state.said if state is not None else {}) if child else own

    def set_mark(self, key: Key, mark: Mark) -> None:
        if mark != self.marks.get(key, IDLE):
            self.moved.add(key)
        if mark.phase is Phase.IDLE:
            self.marks.pop(key, None)
            self.evidence.pop(key, None)
            self._close(key)
        else:
            self.marks[key] = mark
        (self.waiting.add if mark.phase in (Phase.PENDING, Phase.CLEARING) else self.waiting.discard)(key)

    def _close(self, key: Key) -> None:
        """No alarm of this rule is active any more; how often it has begun is remembered for a while."""
        past = self.past.get(key)
        if past is None:
            return
        past.raised_at, past.severity, past.flaps, past.due = None, "", 0, FOREVER
        if not past.onsets:
            del self.past[key]

    def adopt(self, key: Key, raised_at: Millis, severity: str) -> None:
        """An alarm of this rule is active, whatever is remembered of it."""
        mark, past = self.marks.get(key, IDLE), self.past.setdefault(key, Past())
        if mark.phase not in (Phase.ACTIVE, Phase.CLEARING):
            self.set_mark(key, Mark(phase=Phase.ACTIVE, since=raised_at, at=raised_at))
        if past.raised_at is None:
            past.raised_at, past.severity, past.due = raised_at, severity, raised_at


def dump_rule(device: DeviceState, key: Key) -> dict[str, Any] | None:
    """What must be kept of one rule on a device or child, as JSON; None where there is nothing to remember."""
    mark, watches, past = device.marks.get(key, IDLE), device.watches.get(key), device.past.get(key)
    edge = _edge_to_keep(device, key)
    if mark.phase is Phase.IDLE and not watches and past is None and not edge:
        return None
    kept: dict[str, Any] = {
        "phase": mark.phase.value,
        "since": mark.since,
        "held": mark.held,
        "at": mark.at,
        "valid_until": mark.valid_until,
        "counting": mark.counting,
    }
    if (evidence := device.evidence.get(key)) is not None:
        kept["evidence"] = {"values": evidence.values, "measured_at": evidence.measured_at}
    if watches:
        kept["watches"] = dump(watches)
    if past is not None:
        kept["past"] = {
            "onsets": list(past.onsets),
            "raised_at": past.raised_at,
            "severity": past.severity,
            "flaps": past.flaps,
            "due": past.due,
        }
    if edge:
        kept["edges_until"] = edge
    return kept


def _edge_to_keep(device: DeviceState, key: Key) -> Millis:
    """Which beginnings and ends of schedules must not be judged again; what was measured since says it as well."""
    rule = device.profile.rules.get(key[1]) if device.profile is not None else None
    if rule is None or rule.timetable is None or device.edges_until <= (device.last_measured or 0):
        return 0
    return device.edges_until


def restore_rule(device: DeviceState, key: Key, rule: CompiledRule, kept: Mapping[str, Any]) -> None:
    """Take up what `dump_rule` gave. What the rule no longer watches is forgotten."""
    mark = Mark(
        phase=Phase(kept["phase"]),
        since=kept["since"],
        held=kept["held"],
        at=kept["at"],
        valid_until=kept["valid_until"],
        counting=kept["counting"],
    )
    device.set_mark(key, mark)
    if seen := kept.get("evidence"):
        device.evidence[key] = Evidence(seen["values"], seen["measured_at"])
    if past := kept.get("past"):
        device.past[key] = Past(**{**past, "onsets": tuple(past["onsets"])})
    device.edges_until = max(device.edges_until, kept.get("edges_until", 0))
    watches = kept.get("watches", {})
    looks = (*rule.watched, *rule.watched_of_members)
    known = {look.key: look.watch(watches[look.key]) for look in looks if look.key in watches}
    if known:
        device.watches[key] = known
    device.moved.discard(key)
