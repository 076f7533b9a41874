"""What a device is: params, children, metrics, states, events, availability."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from device_profiles.schema.base import Duration, Identifier, Part, Scalar, Severity, Text, Tone


class Param(Part):
    """A value that differs from device to device: port count, rated current, a threshold."""

    type: Literal["number", "integer", "text", "boolean"] = "number"
    default: Scalar
    uom: str = ""
    min: float | None = None
    max: float | None = None
    name: Text | None = None


class ChildKind(Part):
    """A part with its own id, states and rules: a port, a door, a pump, a camera channel."""

    name: Text
    count: int | Identifier | None = None
    """How many there are: a number, or the param that says it; None when only messages tell."""
    start: int = 1
    """The first key where keys are numbers."""
    keys: Identifier | None = None
    """Where keys are names: the text param that lists them, separated by commas."""


class Rate(Part):
    """A metric that follows from a counter: its growth per `per`, times `scale`."""

    metric: Identifier
    per: Duration = timedelta(seconds=1)
    scale: float = 1


class Counter(Part):
    """How a counter behaves. A fall that fits none of these, and a step beyond `largest_step`, is a spike: the value is
    marked suspect and left out until a second one agrees with it."""

    wrap: int | None = Field(None, ge=8, le=64)
    """It starts again at 0 after this many bits."""
    reset: tuple[Literal["zero", "reboot", "session", "daily"], ...] = ("zero",)
    """When it may start again: at any time near zero, when the device restarts, with a session, at midnight."""
    largest_step: float | None = None
    """The most it can grow between two readings; None: what its own history makes plausible."""
    rate: Rate | None = None
    total: Identifier | None = None
    """A metric that goes on counting through resets and wraps."""


class Metric(Part):
    """A named quantity. `scope` is the child kind that has it; None means the device itself."""

    name: Text
    uom: str = ""
    scope: Identifier | None = None
    kind: Literal["gauge", "counter"] = "gauge"
    range: tuple[float, float] | None = None
    """Values outside are impossible."""
    out_of_range: Literal["drop", "clamp", "flag"] = "drop"
    period: Duration | None = None
    """How often a value is expected."""
    decimals: int = Field(2, ge=0, le=6)
    counter: Counter | None = None
    derive: str | None = None
    """Closed grammar over metrics and states of the same reading, params, and for a child what the same message says of
    its device (`parent.voltage`): computed when the message is decoded, e.g. "depth - distance". Nothing where one of
    them is missing."""


class StateValue(Part):
    zh: str
    en: str
    tone: Tone = Tone.UNKNOWN


class State(Part):
    """A named set of words a device can be in."""

    name: Text
    scope: Identifier | None = None
    values: dict[Identifier, StateValue]


class EventKind(Part):
    """Something that happens; with `lasting`, something that begins and ends, and may be named in rules as true or
    false."""

    name: Text
    scope: Identifier | None = None
    severity: Severity | None = None
    lasting: bool = False
    standing: bool = False
    """What is said holds until it is said anew, as a device's own name and firmware do: a retained message fires it
    too, and it fires only when what it says has changed."""
    auto_clear: Duration | None = None
    """It ends when it was not repeated for this long: for devices that never say the end."""
    dedupe: Duration | None = None
    """The same one (by its key) within this time is the same: some devices repeat until they are acknowledged."""


class Availability(Part):
    """When a device counts as stale and as offline.

    It is stale after `period * missed` without a message, and offline when its last will says so or after
    `offline_after` (default: three times the stale time).
    """

    period: Duration
    missed: int = Field(2, ge=1)
    offline_after: Duration | None = None
    event_driven: bool = False
    """True where silence is normal: only a last will makes it offline."""

    @property
    def stale_after(self) -> timedelta:
        return self.period * self.missed

    @property
    def silent_offline_after(self) -> timedelta:
        return self.offline_after or self.stale_after * 3
