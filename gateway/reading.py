"""The vocabulary that every room shares: what one device said at one time.

All times are integer milliseconds since the Unix epoch, UTC (`Millis`). A reading is small, immutable and cheap to
encode, because tens of thousands of them pass each second.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

import msgspec

Value = float | int | str | bool | None
"""A metric's number, a state's word, or None where the device erased the value (missing is not zero)."""

Millis = int
"""Milliseconds since 1970-01-01T00:00:00Z."""


class Quality(StrEnum):
    """How far a value may be trusted. Rules act on `good` unless they say otherwise."""

    GOOD = "good"
    LATE = "late"  # measured long before it arrived: stored, pages nobody
    HISTORIC = "historic"  # sent as history (a batch of old points, a quarantine replay)
    SKEWED = "skewed"  # the device's clock is ahead of ours by more than the profile allows; stamped on arrival
    IMPOSSIBLE = "impossible"  # outside the metric's range; the value is left out, the flag tells which
    SUSPECT = "suspect"  # decoded, though an integrity check failed or a key was unknown
    FAULTY = "faulty"  # the device itself says that this value cannot be had


class Presence(StrEnum):
    """What a message says about its device's session. `UNSAID` is every ordinary message."""

    UNSAID = ""
    ONLINE = "online"
    OFFLINE = "offline"


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Something that happened: `id` is declared by the profile, `data` holds its decoded fields.

    `phase` is "" for what merely happens, and "begin", "update" or "end" for what lasts. A lasting event also stands in
    its reading's `values` under its id: True from the first begin to the last end. `key` tells occurrences apart.
    """

    id: str
    data: dict[str, Value] = {}
    phase: str = ""
    key: str = ""


class Reply(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A device's answer to a command. `correlation` is the nonce or id it names; "" answers the oldest outstanding one
    of this command (and child, where it says one)."""

    command: str
    correlation: str = ""
    ok: bool = True
    result: str = ""


class Reading(msgspec.Struct, frozen=True, array_like=True):
    """One device's (or child's) values at one time.

    `child` is "" for the device itself, else "<kind>:<key>" such as "port:3". A reading is identified by
    (device, child, measured_at, binding): writing the same one twice changes nothing.
    """

    device: str
    child: str
    measured_at: Millis
    received_at: Millis
    binding: str
    values: dict[str, Value]
    events: tuple[Event, ...] = ()
    quality: Quality = Quality.GOOD
    flags: dict[str, Quality] = {}
    """Metrics of this reading that are not good, and why; an `impossible` one has no entry in `values`."""
    presence: Presence = Presence.UNSAID
    profile: str = ""
    retained: bool = False
    replies: tuple[Reply, ...] = ()


class GatewayStatus(msgspec.Struct, frozen=True):
    """What a gateway says about itself with each batch; pages show it, `doctor` explains it."""

    connected: bool
    """A broker session is up."""
    journal_bytes: int
    journal_max_bytes: int
    journal_entries: int
    """Entries that some consumer has not taken yet."""
    oldest_entry_at: Millis | None
    """received_at of the oldest entry not yet taken by services."""
    received: int
    """Messages since start; likewise the counters below."""
    quarantined: int
    quarantine_entries: int
    """Messages set aside and not yet replayed."""
    shed: int
    """Readings given up at the journal's cap."""
    messages_per_second: float
    last_error: str = ""
    commands_sent: int = 0
    """Attempts that the broker has acknowledged, since start."""
    commands_waiting: int = 0
    """Fetched and not said yet."""
    commands_failed: int = 0
    """Attempts that could not be said, came too late, or may have been lost."""
    polls_sent: int = 0
    """Requests to devices that wait to be asked."""
    polls_unanswered: int = 0
    telemetry_waiting: int = 0
    """Entries that the time series has not taken yet; 0 where this gateway does not write one."""
    telemetry_refused: int = 0
    """Values that the time series will never take, set aside with their reasons; ever, on this disk."""


Break = Literal["gateway", "broker"]
"""Why a gateway had not listened before: it was off (or stood still), or it had no session with its broker."""


class Listening(msgspec.Struct, frozen=True):
    """The stretch of time in which a gateway heard what a batch holds; it listened all the while since."""

    since: Millis
    after: Break


class Batch(msgspec.Struct, frozen=True):
    """Readings on their way from a gateway to services, in journal order.

    `last_seq` is the cursor services store in the same transaction as everything that follows from the readings.
    `progress_at` is how far the gateway itself has seen time pass: "device silent" is judged against it, so a cut
    uplink never looks like dead devices. A batch without readings is a heartbeat of the gateway.
    """

    gateway: str
    first_seq: int
    last_seq: int
    progress_at: Millis
    readings: list[Reading]
    status: GatewayStatus | None = None
    stored: bool = False
    """The gateway itself writes these readings to the time series that services read."""
    listening: Listening | None = None
    """None: it cannot tell (an older version, or readings given up before this batch)."""


class DeviceEntry(msgspec.Struct, frozen=True):
    """What a gateway must know about one device: enough to decode, and nothing about residents."""

    id: str
    profile: str
    address: str
    """How the device names itself on the wire (the `{address}` capture of its bindings)."""
    site: str
    timezone: str = "UTC"
    params: dict[str, float | int | str | bool] = {}
    parent: str = ""
    building: str = ""
    """Where it stands, for the time series; "" for the site as a whole."""


class Registry(msgspec.Struct, frozen=True):
    """All devices a gateway serves. `version` changes whenever the list does."""

    version: str
    devices: list[DeviceEntry]


def child_id(kind: str, key: str | int) -> str:
    """`child_id("port", 3)` is "port:3"."""
    return f"{kind}:{key}"


def child_kind(child: str) -> str:
    """The kind of a child id; "" for the device itself."""
    return child.partition(":")[0]


def provisional_id(profile: str, address: str) -> str:
    """What a device is called that stands nowhere yet: `"meter:dtu-1~17"` for the address `dtu-1/7` (ids stand in
    URLs, so levels are escaped as in JSON pointers)."""
    return f"{profile}:{address.replace('~', '~0').replace('/', '~1')}"


def provisional_address(device: str) -> tuple[str, str] | None:
    """(profile, address) of a provisional id; None where the id is a device's own."""
    profile, named, address = device.partition(":")
    return (profile, address.replace("~1", "/").replace("~0", "~")) if named else None


def adopted_names(devices: Iterable[DeviceEntry]) -> dict[str, str]:
    """What devices that have their place were called before -> what they are called now."""
    return {provisional_id(one.profile, one.address): one.id for one in devices}
