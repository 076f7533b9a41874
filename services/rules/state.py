"""What the engine remembers of a device between readings. Plain data; the store keeps it, the engine moves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.presence import Liveness, PresenceReason, PresenceState, judge_child
from gateway.reading import Millis, Presence, Quality, Value
from services.rules.automaton import IDLE, Mark, Phase
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
class DeviceState:
    id: str
    site: str | None
    profile_id: str
    profile: CompiledProfile | None
    """None where the library does not know it, or the device is unclaimed: values only, no rules."""
    params: Mapping[str, Value]
    gateway: str | None = None
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
    moved: set[Key] = field(default_factory=set)
    """Automata and memories that the store does not know yet as they are."""

    def event_now(self, progress: Millis) -> Millis:
        """The device's event time when its gateway has seen time pass up to `progress`."""
        if self.last_measured is None:
            return progress
        return self.last_measured + max(0, progress - self.last_received)

    def listen_from(self, watching_since: Millis | None) -> None:
        if watching_since is not None:
            ahead = 0 if self.last_measured is None else self.last_measured - self.last_received
            self.listening_from = watching_since + ahead

    def presence_of(self, child: str) -> str:
        return self.state_of(child).liveness.value

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
        else:
            self.marks[key] = mark
        (self.waiting.add if mark.phase in (Phase.PENDING, Phase.CLEARING) else self.waiting.discard)(key)


def dump_rule(device: DeviceState, key: Key) -> dict[str, Any] | None:
    """What must be kept of one rule on a device or child, as JSON; None where there is nothing to remember."""
    mark, watches = device.marks.get(key, IDLE), device.watches.get(key)
    if mark.phase is Phase.IDLE and not watches:
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
    return kept


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
    watches = kept.get("watches", {})
    known = {look.key: look.watch(watches[look.key]) for look in rule.looks if look.key in watches}
    if known:
        device.watches[key] = known
    device.moved.discard(key)
