"""The device profile language: one YAML file that says everything about a kind of device.

These models are the contract between the rooms. They are frozen; a profile is checked once, when it is loaded.
Wire matters (scale, offset, sentinel) stand on the binding's field; meaning (unit, range, period) on the metric.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema, model_validator

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$")
_UNIT_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(raw: object) -> timedelta:
    """`"30s"`, `"5m"`, `"1h"`, `"7d"`, `"250ms"` -> timedelta; raises ValueError."""
    if isinstance(raw, timedelta):
        return raw
    if isinstance(raw, str) and (found := _DURATION.match(raw.strip())):
        return timedelta(seconds=float(found[1]) * _UNIT_SECONDS[found[2]])
    raise ValueError(f'expected a duration such as "30s", "5m", "1h" or "7d", found {raw!r}')


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(lambda d: f"{d.total_seconds():g}s", return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DURATION.pattern}),
]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=48)]
ProfileId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=64)]
Scalar = float | int | str | bool


class Part(BaseModel):
    """Base of every section: frozen, and an unknown key is a mistake rather than a silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Text(Part):
    """The same words in each language of the product."""

    zh: str
    en: str

    def in_(self, language: str) -> str:
        return self.zh if language.startswith("zh") else self.en


class Severity(StrEnum):
    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"
    WARNING = "warning"


class Priority(StrEnum):
    """How soon a ticket must be worked on."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"


class Tone(StrEnum):
    """How a state looks; always shown together with its word."""

    OK = "ok"
    ACTIVE = "active"
    IDLE = "idle"
    WARN = "warn"
    BAD = "bad"
    UNKNOWN = "unknown"


# --- what a device is ---------------------------------------------------------------------------------------------


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
    """Something that happens rather than lasts."""

    name: Text
    scope: Identifier | None = None
    severity: Severity | None = None


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


# --- how messages decode ------------------------------------------------------------------------------------------


class When(Part):
    """Tells bindings that share a topic apart. Every given test must hold."""

    prefix: str | None = None
    """Hex digits the payload starts with; `?` stands for any one digit."""
    text: str | None = None
    """The payload, exactly."""
    at: int | None = None
    """Offset of a byte that must equal `byte`."""
    byte: int | None = None
    length: int | None = None
    min_length: int | None = None
    path: str | None = None
    """A path of the decoded payload: must exist, and equal `equals` or be one of `one_of` if given."""
    equals: Scalar | None = None
    one_of: tuple[Scalar, ...] | None = None
    capture: str | None = None
    """A topic capture that must equal `equals` or be one of `one_of`."""


class StructField(Part):
    """One field of a struct layout. `type` is u8..u64, i8..i64, f16..f64, bcd, ascii, hex, skip, or group.

    `hex` gives upper-case digits in wire order, reversed only where the field itself says `endian: little`.
    A sum16 at the frame's end (-2) belongs to no field: fields and optional tails end before it.
    """

    name: str | None = None
    type: str
    size: int | None = None
    """Bytes, for bcd, ascii, hex and skip."""
    endian: Literal["little", "big"] | None = None
    const: str | int | None = None
    """What must stand here (hex digits for hex, else the value); another value is a DecodeError."""
    count: int | str | None = None
    """Repeat: a number, or the name of an earlier field. The field then decodes to an array."""
    fields: tuple[StructField, ...] = ()
    """The members of a `group`, repeated together."""
    optional: bool = False
    """May be absent at the end of the frame, together with all that follows."""


class Integrity(Part):
    """A check over the frame. `sum16` is the additive sum, little endian unless said otherwise, of all bytes
    before it."""

    kind: Literal["sum16", "length"]
    at: int = -2
    """Offset of the check field; negative counts from the end."""
    endian: Literal["little", "big"] = "little"
    start: int = 0
    counts_from: int = 0
    """For `length`: the offset after which the counted bytes begin."""
    on_failure: Literal["reject", "accept_flagged"] = "reject"


class StructLayout(Part):
    endian: Literal["little", "big"] = "little"
    integrity: tuple[Integrity, ...] = ()
    fields: tuple[StructField, ...]
    tail: Literal["reject", "ignore"] = "reject"


class Codec(Part):
    """One step of a codec chain; exactly one key is given."""

    json_: bool | None = Field(None, alias="json")
    text: bool | None = None
    hex: bool | None = None
    base64: bool | None = None
    struct: StructLayout | None = None


class Time(Part):
    """Where `measured_at` comes from. Without a path a reading is stamped on arrival."""

    path: str
    format: Literal["unix_s", "unix_ms", "iso"] | str = "unix_ms"
    """A strptime format is allowed too; a time without a zone is the site's."""
    max_ahead: Duration = timedelta(minutes=5)
    late_after: Duration = timedelta(minutes=10)


class FieldMap(Part):
    """How one raw value becomes one metric or state, in this order: replace, strip, cast, sentinel, scale, offset,
    linear, map, range. NaN, infinities, "" and "null" are missing."""

    path: str | None = None
    """Where the raw value stands: `a.b[0]."c:d"`; "" or "$" is the whole payload."""
    capture: str | None = None
    """Or the topic capture that holds it."""
    const: Scalar | None = None
    replace: tuple[str, str] | None = None
    strip: str | None = None
    """A suffix such as "%" or " W" to cut off."""
    cast: Literal["number", "integer", "text", "boolean"] | None = None
    sentinel: tuple[Scalar, ...] = ()
    scale: float = 1
    offset: float = 0
    linear: tuple[float, float, float, float] | None = None
    """Raw low, raw high, value low, value high: 4-20 mA and the like."""
    map: dict[str, Scalar] | None = None
    """Raw word or number -> state word or value; a raw value that is not listed is a DecodeError unless `default`.
    Numbers are written in decimal, booleans as "true" and "false"."""
    default: Scalar | None = None
    unlisted: Literal["reject", "skip"] = "reject"
    """What a raw value that `map` does not list means: a DecodeError, or nothing said about this metric or state."""
    when_missing: Literal["skip", "reject", "erase"] = "skip"


def _field_shorthand(raw: object) -> object:
    return {"path": raw} if isinstance(raw, str) else raw


FieldEntry = Annotated[FieldMap, BeforeValidator(_field_shorthand)]


class EventMap(Part):
    """Raises an event when `when` holds (or always)."""

    event: Identifier
    when: When | None = None
    fields: dict[Identifier, FieldEntry] = {}


class Each(Part):
    """Fan out: one child reading per element of an array, object, or of parallel arrays."""

    child: Identifier
    over: str | None = None
    """Path of an array or object. None: a single child."""
    zip: tuple[str, ...] = ()
    """Parallel arrays instead of `over`; inside, `path` names one of them."""
    key: str
    """Child key: a template over `index` (from 0), `key` (object key), captures and fields, e.g. "{index+1}" or
    "{port+1}". A field is a path of the element, `$.x` is one from the root. Every path in `fields` and `events`
    follows the same rule."""
    fields: dict[Identifier, FieldEntry] = {}
    events: tuple[EventMap, ...] = ()


class Binding(Part):
    """One message shape: a topic filter with captures, a codec chain, and what its fields mean.

    `{address}` is the capture that names the device (or use `address:` for a path in the payload).
    """

    id: Identifier
    topic: str
    when: tuple[When, ...] = ()
    """Alternatives: the binding takes the message if any holds."""
    decode: tuple[Codec, ...] = ()
    address: str | None = None
    """Template for the address from captures and fields, e.g. "{physical_id}"; default "{address}"."""
    time: Time | None = None
    fields: dict[Identifier, FieldEntry] = {}
    each: tuple[Each, ...] = ()
    events: tuple[EventMap, ...] = ()
    presence: dict[str, Literal["online", "offline"]] | None = None
    """Availability words: the text payload (or `presence_path`) -> online or offline."""
    presence_path: str | None = None
    keepalive: bool = False
    """The message only says that the device is there."""
    ignore: bool = False
    """Recognised and dropped on purpose (counted, never quarantined)."""


# --- when it is unwell, and what follows ----------------------------------------------------------------------------


class Source(Part):
    kind: Literal["standard", "vendor", "judgement"]
    ref: str = ""


class Clear(Part):
    when: str | None = None
    """None: the opposite of the rule's condition."""
    for_: Duration = Field(timedelta(0), alias="for")


class RuleTest(Part):
    """`given` steps set values and hold them; `expect` is what the rule says at the end."""

    given: tuple[dict[str, Any], ...]
    expect: Literal["raised", "quiet", "cleared"]


class Rule(Part):
    """When an alarm is raised. Expressions are the closed grammar; besides metrics, states and params they know
    `presence` (online, stale, offline, unknown) and `silence` (seconds since the device was last heard)."""

    id: Identifier
    name: Text
    scope: Identifier | None = None
    when: str
    for_: Duration = Field(timedelta(0), alias="for")
    clear: Clear = Clear()
    severity: Severity
    needs: Literal["good", "any"] = "good"
    source: Source
    ticket: Identifier | None = None
    residents: Identifier | None = None
    tests: tuple[RuleTest, ...] = ()


class TicketTemplate(Part):
    """The maintenance need that an alarm opens."""

    title: Text
    trade: Literal["electrical", "plumbing", "access", "network", "fire", "general"]
    priority: Priority
    due: Duration
    steps: tuple[Text, ...] = ()


class ResidentWording(Part):
    """What residents lose, in their words: no device ids, no jargon."""

    service: Literal["water", "charging", "access", "video", "parking"]
    loss: Literal["full", "degraded"] = "full"
    what: Text
    instead: Text | None = None
    """What they can do meanwhile."""
    restored: Text | None = None
    next_news: Duration = timedelta(hours=2)
    """When the next news is promised."""


# --- how it looks, how it is played, how it is proven ---------------------------------------------------------------


class Dashboard(Part):
    """Hints for pages and Grafana."""

    headline: tuple[Identifier, ...] = ()
    """Metrics and states a card shows first, in this order."""
    charts: tuple[tuple[Identifier, ...], ...] = ()
    """Groups of metrics drawn together."""


class Signal(Part):
    """How the simulator plays one metric or state."""

    start: Scalar
    wander: float = 0
    """Largest random step per message."""
    min: float | None = None
    max: float | None = None
    cycle: tuple[Scalar, ...] = ()
    """States: the words to go through at random."""
    hold: Duration = timedelta(minutes=5)
    """How long a word of `cycle` stays."""
    rate: float = 0
    """Growth per second while playing (counters)."""
    while_: dict[Identifier, tuple[Scalar, ...]] = Field({}, alias="while")
    """Plays only while these states (of the same device or child) have one of these words. At other times a gauge
    is `otherwise` and a counter stands still: an idle port draws no power."""
    otherwise: Scalar = 0


class Fault(Part):
    """A named fault: values that hold while it lasts, on the device or on one child."""

    name: Text
    scope: Identifier | None = None
    set: dict[Identifier, Scalar] = {}
    ramp: dict[Identifier, tuple[float, Duration]] = {}
    """Metric -> (target, time to get there)."""
    silent: bool = False
    """The device says nothing at all."""


class Play(Part):
    """One message the simulator sends: the binding that decodes it, run backwards."""

    binding: Identifier
    every: Duration
    captures: dict[str, str] = {}
    raw: dict[str, Any] = {}
    """Raw fields that no metric or state holds (command codes, counts, versions)."""


class Simulator(Part):
    plays: tuple[Play, ...] = ()
    signals: dict[Identifier, Signal] = {}
    faults: dict[Identifier, Fault] = {}


class Sample(Part):
    """A message and the readings it must become. A profile that fails its own samples does not load."""

    name: str
    topic: str
    text: str | None = None
    hex: str | None = None
    retained: bool = False
    expect: tuple[dict[str, Any], ...] = ()
    """Per reading: any of address, child, measured_at, binding, values, events, quality, flags, presence."""
    error: str | None = None
    """Or part of the DecodeError it must give."""
    source: str = ""


class DeviceProfile(Part):
    profile: ProfileId
    version: int = Field(1, ge=1)
    family: Identifier
    name: Text
    vendor: str = ""
    source: str = ""
    """Where the facts come from."""
    params: dict[Identifier, Param] = {}
    children: dict[Identifier, ChildKind] = {}
    metrics: dict[Identifier, Metric] = {}
    states: dict[Identifier, State] = {}
    events: dict[Identifier, EventKind] = {}
    availability: Availability
    bindings: tuple[Binding, ...]
    rules: tuple[Rule, ...] = ()
    tickets: dict[Identifier, TicketTemplate] = {}
    residents: dict[Identifier, ResidentWording] = {}
    dashboard: Dashboard = Dashboard()
    simulator: Simulator = Simulator()
    samples: tuple[Sample, ...] = ()

    @property
    def id(self) -> str:
        return self.profile

    @model_validator(mode="after")
    def _names_are_unique(self) -> DeviceProfile:
        twice = sorted(set(self.metrics) & set(self.states))
        if twice:
            raise ValueError(f"both a metric and a state: {', '.join(twice)}")
        return self
