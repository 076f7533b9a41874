"""Is a device there, and if not, where is the break? Pure: every time is an argument, in milliseconds.

Silence is judged against the gateway's own progress, never against the wall clock: behind a cut uplink nothing can be
said about the devices, and after a restart "offline" waits until the backlog has been read.

The way from a device to us has links, and the first broken one from our side is the answer: what lies behind it cannot
be seen, so it is unknown and not offline. In this order: uplink_cut, broker_down, parent_down, and only then what the
device itself did: device_said_offline, never_heard, device_silent. A device that speaks may still have a value that is
missing (metric_silent) or that it calls faulty itself (sensor_faulty); see `faults_of`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from device_profiles.schema import Availability, Binding, DeviceProfile, Metric, State
from gateway.reading import Millis, Presence, Quality, Reading, Value

METRIC_SILENT_PERIODS = 3
"""A metric is silent when its value has been missing for more than so many of its periods."""
_NO_WORDS: Mapping[str, Presence] = MappingProxyType({})


class Liveness(StrEnum):
    """What can be said about a device's session."""

    ONLINE = "online"
    STALE = "stale"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


class PresenceReason(StrEnum):
    """Why a device counts as online, stale, offline or unknown: the first broken link, or the sign of life."""

    HEARD = "heard"  # something arrived in time
    SAID_ONLINE = "said_online"  # its status topic says so
    SILENCE_IS_NORMAL = "silence_is_normal"  # it speaks only when something happens
    OVERDUE = "overdue"  # a message is missing
    WAITING = "waiting"  # the way to it is open again, and it has its usual time to speak
    UPLINK_CUT = "uplink_cut"  # its gateway is not heard
    BROKER_DOWN = "broker_down"  # its gateway is heard, and says that it has no session with its broker
    PARENT_DOWN = "parent_down"  # what it hangs on is offline, or nothing behind that is heard any more
    DEVICE_SAID_OFFLINE = "device_said_offline"  # a last will, a goodbye, a status topic
    NEVER_HEARD = "never_heard"
    DEVICE_SILENT = "device_silent"  # too long without a message


class PresenceState(NamedTuple):
    """The verdict, its named reason, and how long the device has been silent (None when that cannot be told)."""

    liveness: Liveness
    reason: PresenceReason
    silence: Millis | None = None


# --- what a device, and others about it, have said ----------------------------------------------------------------


class Contact(NamedTuple):
    """What is remembered of a device to judge its presence."""

    heard_at: Millis | None = None
    said: Mapping[str, Presence] = _NO_WORDS
    """The last word of each source (a binding) that said one and has not been overruled."""

    @property
    def word(self) -> Presence:
        return word_of(self.said)


def word_of(said: Mapping[str, Presence]) -> Presence:
    """What several sources say together: any of them that says offline is right."""
    if Presence.OFFLINE in said.values():
        return Presence.OFFLINE
    return Presence.ONLINE if Presence.ONLINE in said.values() else Presence.UNSAID


class Voices(NamedTuple):
    """Which sources of a profile must take "offline" back themselves.

    A binding that can only say offline (a death certificate) is about the session it ends: any later message of the
    device overrules it. So is the one status topic that is the session's own last will. Where several topics each say
    online and offline, they speak of different things (the device, its bridge, its recorder), and a message of the
    device does not tell which of them was mended: then each word stands until its own source takes it back.

    A part has no session: its device speaks for it and may go on to repeat its last values, so an ordinary message
    overrules nothing there. What only says that a part went is overruled by any word that it is there.
    """

    standing: frozenset[str] = frozenset()
    """Sources about the device itself that only they overrule."""
    farewells: Mapping[str, frozenset[str]] = MappingProxyType({})
    """Child kind -> sources that can only say offline."""


def voices_of(profile: DeviceProfile) -> Voices:
    both = {Presence.ONLINE, Presence.OFFLINE}
    own = {binding.id for binding in profile.bindings if _words_of(binding) == both}
    children: dict[str, set[str]] = {}
    for binding in profile.bindings:
        for each in binding.each:
            words = {*(each.presence or {}).values(), *([each.says] if each.says else [])}
            if words == {"offline"}:
                children.setdefault(each.child, set()).add(binding.id)
    standing = frozenset(own) if len(own) > 1 else frozenset[str]()
    return Voices(standing, {kind: frozenset(found) for kind, found in children.items()})


def _words_of(binding: Binding) -> set[Presence]:
    words = {Presence(meaning) for meaning in (binding.presence or {}).values()}
    if binding.says is not None:
        words.add(Presence(binding.says))
    if binding.empty == "offline":
        words.add(Presence.OFFLINE)
    return words


def hear(before: Contact, reading: Reading, received_at: Millis, standing: Collection[str] = ()) -> Contact:
    """The contact after one reading; `standing` are the sources whose word only they take back (see Voices).

    A last will is the broker speaking, and a retained message is the past speaking: neither is a sign of life. A
    retained word sets the state all the same. A goodbye from before the device was last heard was overruled by that:
    of two gateways, the one that was cut off tells it late.
    """
    if _is_overruled(before, reading, received_at, standing):
        return before
    said = dict(before.said)
    if reading.presence is not Presence.UNSAID:
        said[reading.binding] = reading.presence
    if reading.presence is Presence.OFFLINE or reading.retained:
        return Contact(before.heard_at, said)
    latest = received_at if before.heard_at is None else max(before.heard_at, received_at)
    left = {one: word for one, word in said.items() if word is not Presence.OFFLINE or one in standing}
    return Contact(latest, left)


def _is_overruled(before: Contact, reading: Reading, received_at: Millis, standing: Collection[str]) -> bool:
    late = before.heard_at is not None and received_at < before.heard_at
    return late and reading.presence is Presence.OFFLINE and not reading.retained and reading.binding not in standing


def hear_child(said: Mapping[str, Presence], reading: Reading, farewells: Collection[str] = ()) -> dict[str, Presence]:
    """The words about a part after one reading; `farewells` are the sources that can only say offline."""
    if reading.presence is Presence.UNSAID:
        return dict(said)
    there = reading.presence is Presence.ONLINE
    left = {one: word for one, word in said.items() if not (there and one in farewells)}
    return left | {reading.binding: reading.presence}


# --- the verdict --------------------------------------------------------------------------------------------------


class Parent(NamedTuple):
    """What is seen of that on which a device hangs."""

    down_since: Millis | None = None
    """Since when it is offline, or out of reach itself; None while it is there or cannot be judged."""
    witnessed_at: Millis | None = None
    """When it, or another device that hangs on it, was last heard; None where nothing there speaks regularly."""


class Way(NamedTuple):
    """What lies between a device and us."""

    progress_at: Millis | None
    """How far its gateway has seen time pass."""
    broken: PresenceReason | None = None
    """UPLINK_CUT or BROKER_DOWN."""
    listening_since: Millis | None = None
    """The way was broken until then: silence before is nobody's."""
    parent: Parent | None = None


def judge(availability: Availability, contact: Contact, way: Way) -> PresenceState:
    """Judge one device: the links of its way first, from our side, then the device itself."""
    if way.broken is not None:
        return PresenceState(Liveness.UNKNOWN, way.broken)
    if way.progress_at is None:
        never = contact.heard_at is None
        return PresenceState(Liveness.UNKNOWN, PresenceReason.NEVER_HEARD if never else PresenceReason.UPLINK_CUT)
    heard = contact.heard_at
    if way.parent is not None and way.parent.down_since is not None and (heard or 0) <= way.parent.down_since:
        return PresenceState(Liveness.UNKNOWN, PresenceReason.PARENT_DOWN)
    found = _judge_itself(availability, contact, way, way.progress_at)
    if way.parent is not None and found.reason in _BY_SILENCE and _is_the_parents(availability, heard or 0, way.parent):
        return PresenceState(Liveness.UNKNOWN, PresenceReason.PARENT_DOWN)
    return found


_BY_SILENCE = (PresenceReason.OVERDUE, PresenceReason.DEVICE_SILENT)


def _is_the_parents(availability: Availability, heard: Millis, parent: Parent) -> bool:
    """Whether the silence may be that of everything behind the same parent.

    Who is silent alone is silent himself: so somebody else must have been heard there after this device should have
    spoken. Half of the messages it may miss are allowed for jitter.
    """
    if parent.down_since is not None:
        return True
    due = millis(availability.period) * (1 + availability.missed) // 2
    return parent.witnessed_at is not None and parent.witnessed_at <= heard + due


def _judge_itself(availability: Availability, contact: Contact, way: Way, progress: Millis) -> PresenceState:
    word, heard, since = contact.word, contact.heard_at, way.listening_since
    waits = since is not None and heard is not None and heard < since
    silence = None if heard is None else max(0, progress - (since if waits and since is not None else heard))
    if word is Presence.OFFLINE:
        return PresenceState(Liveness.OFFLINE, PresenceReason.DEVICE_SAID_OFFLINE, silence)
    if availability.event_driven:
        return _judge_quiet(word, silence)
    if silence is None:
        if word is Presence.ONLINE:
            return PresenceState(Liveness.ONLINE, PresenceReason.SAID_ONLINE)
        return PresenceState(Liveness.UNKNOWN, PresenceReason.NEVER_HEARD)
    found = _judge_silence(availability, silence)
    if waits and found.liveness is Liveness.ONLINE and word is Presence.UNSAID:
        return PresenceState(Liveness.UNKNOWN, PresenceReason.WAITING)
    return found


def _judge_quiet(said: Presence, silence: Millis | None) -> PresenceState:
    if said is Presence.ONLINE:
        return PresenceState(Liveness.ONLINE, PresenceReason.SAID_ONLINE, silence)
    if silence is None:
        return PresenceState(Liveness.UNKNOWN, PresenceReason.NEVER_HEARD)
    return PresenceState(Liveness.ONLINE, PresenceReason.SILENCE_IS_NORMAL, silence)


def _judge_silence(availability: Availability, silence: Millis) -> PresenceState:
    if silence > millis(availability.silent_offline_after):
        return PresenceState(Liveness.OFFLINE, PresenceReason.DEVICE_SILENT, silence)
    if silence > millis(availability.stale_after):
        return PresenceState(Liveness.STALE, PresenceReason.OVERDUE, silence)
    return PresenceState(Liveness.ONLINE, PresenceReason.HEARD, silence)


def judge_child(device: PresenceState, said: Mapping[str, Presence]) -> PresenceState:
    """A part is as present as its device, unless it is said to be offline itself. Of what is behind a device that is
    gone nothing is known."""
    if device.liveness is Liveness.OFFLINE:
        return PresenceState(Liveness.UNKNOWN, PresenceReason.PARENT_DOWN)
    if device.liveness is not Liveness.UNKNOWN and word_of(said) is Presence.OFFLINE:
        return PresenceState(Liveness.OFFLINE, PresenceReason.DEVICE_SAID_OFFLINE, device.silence)
    return device


def is_down(state: PresenceState) -> bool:
    """Whether what hangs on such a device is out of reach."""
    return state.liveness is Liveness.OFFLINE or state.reason is PresenceReason.PARENT_DOWN


# --- one value of a device that speaks ----------------------------------------------------------------------------


class Fault(StrEnum):
    """What can be wrong with one value although its device is there."""

    METRIC_SILENT = "metric_silent"
    SENSOR_FAULTY = "sensor_faulty"


class ValueFault(NamedTuple):
    metric: str
    fault: Fault
    missing_for: Millis | None = None
    """How old the last value is, where it is missing."""


def faults_of(
    profile: DeviceProfile,
    scope: str | None,
    *,
    times: Mapping[str, Millis],
    flags: Mapping[str, str],
    now: Millis,
    listening_since: Millis | None = None,
) -> Iterator[ValueFault]:
    """Values of a device that speaks (or of its part of kind `scope`) that are missing or faulty, in declared order.

    `times` is when each value was measured, `now` the device's event time. A value that never came is no fault: many
    devices have fewer sensors than their profile knows.
    """
    for name, at in _declared(profile, scope, times, flags):
        if flags.get(name) == Quality.FAULTY:
            yield ValueFault(name, Fault.SENSOR_FAULTY)
            continue
        metric = profile.metrics.get(name)
        if metric is None or metric.period is None or at is None:
            continue
        missing = now - max(at, listening_since or 0)
        if missing > METRIC_SILENT_PERIODS * millis(metric.period):
            yield ValueFault(name, Fault.METRIC_SILENT, now - at)


def _declared(
    profile: DeviceProfile, scope: str | None, times: Mapping[str, Millis], flags: Mapping[str, str]
) -> Iterable[tuple[str, Millis | None]]:
    entries: dict[str, Metric | State] = {**profile.metrics, **profile.states}
    known = times.keys() | flags.keys()
    return [(name, times.get(name)) for name, entry in entries.items() if entry.scope == scope and name in known]


def millis(span: timedelta) -> Millis:
    return round(span.total_seconds() * 1000)


def announced(reading: Reading) -> dict[str, Value]:
    """What a device says about itself (name, model, firmware, address): the data of its `announced` events."""
    found: dict[str, Value] = {}
    for event in reading.events:
        if event.id == ANNOUNCED:
            found |= {name: value for name, value in event.data.items() if value is not None}
    return found


ANNOUNCED = "announced"
"""The event kind by which a profile's device introduces itself."""
