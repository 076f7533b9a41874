"""Is a device there? Pure: every time is an argument.

Silence is judged against the gateway's own progress, never against the wall clock: behind a cut uplink nothing can be
said about the devices, and after a restart "offline" waits until the backlog has been read.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from device_profiles.schema import Availability
from gateway.reading import Presence, Reading


class Liveness(StrEnum):
    """What can be said about a device's session."""

    ONLINE = "online"
    STALE = "stale"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


class PresenceReason(StrEnum):
    """Why a device counts as online, stale, offline or unknown."""

    HEARD = "heard"  # something arrived in time
    SAID_ONLINE = "said_online"  # its status topic says so
    SILENCE_IS_NORMAL = "silence_is_normal"  # it speaks only when something happens
    OVERDUE = "overdue"  # a message is missing
    SILENT = "silent"  # too long without a message
    SAID_OFFLINE = "said_offline"  # last will, or a goodbye
    NEVER_HEARD = "never_heard"
    GATEWAY_UNREACHABLE = "gateway_unreachable"  # nothing can be judged from here


class PresenceState(NamedTuple):
    """The verdict, its named reason, and how long the device has been silent (None when that cannot be told)."""

    liveness: Liveness
    reason: PresenceReason
    silence: timedelta | None = None


class Contact(NamedTuple):
    """What is remembered of a device to judge its presence."""

    heard_at: datetime | None = None
    said: Presence = Presence.UNSAID


def hear(before: Contact, reading: Reading, received_at: datetime) -> Contact:
    """The contact after one reading.

    A last will is the broker speaking, and a retained message is the past speaking: neither is a sign of life. Any
    ordinary message after a last will overrules it.
    """
    if reading.presence is Presence.OFFLINE:
        return Contact(before.heard_at, Presence.OFFLINE)
    if reading.retained:
        return Contact(before.heard_at, reading.presence or before.said)
    latest = received_at if before.heard_at is None else max(before.heard_at, received_at)
    said = reading.presence or (Presence.UNSAID if before.said is Presence.OFFLINE else before.said)
    return Contact(latest, said)


def judge(
    availability: Availability,
    *,
    heard_at: datetime | None,
    said: Presence,
    progress_at: datetime | None,
    gateway_known: bool,
) -> PresenceState:
    """Judge one device.

    `heard_at` is when it last spoke itself; `said` what its status topic or last will said last; `progress_at` how far
    its gateway has seen time pass; `gateway_known` whether that gateway can be judged from here at all.
    """
    if not gateway_known or progress_at is None:
        return PresenceState(Liveness.UNKNOWN, PresenceReason.GATEWAY_UNREACHABLE)
    silence = None if heard_at is None else max(progress_at - heard_at, timedelta(0))
    if said is Presence.OFFLINE:
        return PresenceState(Liveness.OFFLINE, PresenceReason.SAID_OFFLINE, silence)
    if availability.event_driven:
        return _judge_quiet(said, silence)
    if silence is None:
        if said is Presence.ONLINE:
            return PresenceState(Liveness.ONLINE, PresenceReason.SAID_ONLINE)
        return PresenceState(Liveness.UNKNOWN, PresenceReason.NEVER_HEARD)
    return _judge_silence(availability, silence)


def _judge_quiet(said: Presence, silence: timedelta | None) -> PresenceState:
    if said is Presence.ONLINE:
        return PresenceState(Liveness.ONLINE, PresenceReason.SAID_ONLINE, silence)
    if silence is None:
        return PresenceState(Liveness.UNKNOWN, PresenceReason.NEVER_HEARD)
    return PresenceState(Liveness.ONLINE, PresenceReason.SILENCE_IS_NORMAL, silence)


def _judge_silence(availability: Availability, silence: timedelta) -> PresenceState:
    if silence > availability.silent_offline_after:
        return PresenceState(Liveness.OFFLINE, PresenceReason.SILENT, silence)
    if silence > availability.stale_after:
        return PresenceState(Liveness.STALE, PresenceReason.OVERDUE, silence)
    return PresenceState(Liveness.ONLINE, PresenceReason.HEARD, silence)
