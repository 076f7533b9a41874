"""How messages decode: bindings, their codec chains, and what their fields mean."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from device_profiles.schema.base import Duration, Identifier, Part, Scalar, TimeStep, ValuePath
from device_profiles.schema.commands import Reply
from device_profiles.schema.layouts import Codec


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
    path: ValuePath | None = None
    """A path of the decoded payload: must exist, and equal `equals` or be one of `one_of` if given. Of several paths
    the first at which something stands is looked at."""
    equals: Scalar | None = None
    one_of: tuple[Scalar, ...] | None = None
    capture: str | None = None
    """A topic capture that must equal `equals` or be one of `one_of`. In an `each` over many, `key` is the element's
    key and `index` its position from 0."""
    absent: str | None = None
    """A path where nothing must stand."""
    kind: Literal["object", "array", "text", "number", "boolean"] | None = None
    """What must stand at `path` (or be the whole payload)."""
    regex: str | None = None
    """What the payload (or the text at `path`, or the capture) must match: RE2, the whole of it."""
    all_of: tuple[When, ...] = ()
    """More that must hold as well."""
    any_of: tuple[When, ...] = ()
    """Of these, one at least must hold."""
    not_: When | None = Field(None, alias="not")
    """What must not hold."""


class Time(Part):
    """Where `measured_at` comes from. Without a path a reading is stamped on arrival."""

    path: ValuePath | None = None
    capture: str | None = None
    """Or the topic capture that holds it."""
    join: tuple[str, ...] = ()
    """Or several paths, joined by blanks: a date and a time, or year, month, day, hour, minute, second."""
    format: Literal["unix_s", "unix_ms", "unix_us", "unix_ns", "iso", "seconds_ago"] | str = "unix_ms"
    """`iso` takes compact forms and nanoseconds too. A strptime format is allowed (with `%Z` for an abbreviation of
    `zones`); a time without a zone is the site's."""
    zones: dict[str, str] = {}
    """Zone abbreviations -> offset such as "-07:00" or "+08:00". UTC, GMT and Z are known."""
    when: When | None = None
    """The time is read only where this holds; elsewhere the reading is stamped on arrival."""
    step: TimeStep | None = None
    """In a `split`, points without times of their own: the time is that of the first one (position 0), and each one
    after it is a step later; with a minus, earlier: `-60s` where the newest value stands first."""
    trust: Literal["device", "server"] = "device"
    """`server`: its clock is not worth anything; the time is read and the reading stamped on arrival."""
    max_ahead: Duration = timedelta(minutes=5)
    late_after: Duration = timedelta(minutes=10)


class FieldMap(Part):
    """How one raw value becomes one metric or state, in this order: replace, strip, cast, sentinel, scale, offset,
    linear, map, range. NaN, infinities, "" and "null" are missing."""

    path: ValuePath | None = None
    """Where the raw value stands: `a.b[0]."c:d"`; "" or "$" is the whole payload. Of several paths, `[temp, t]`, the
    first at which something stands."""
    capture: str | None = None
    """Or the topic capture that holds it. In an `each` over many, `key` is the element's key and `index` its position
    from 0."""
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
    when_missing: Literal["skip", "reject", "erase"] | None = None
    """Nothing said; a DecodeError; or the value is gone. Default: skip, or erase where the binding's mode is full."""
    unreadable: Literal["reject", "skip"] = "reject"
    """What a raw value means that is no value of the kind (a text where a number belongs, an object): a DecodeError, or
    none, and flagged suspect."""
    missing_value: Scalar | None = None
    """The raw value that absence stands for: some networks omit zero, false and empty."""
    when: When | None = None
    """The field is looked at only where this holds: `{path: name, equals: pressure}`."""
    faulty_when: When | None = None
    """Where this holds, the device itself says that the value cannot be had: none, and flagged faulty."""
    suspect_when: When | None = None
    """Where this holds, the value is kept and flagged suspect."""


def _field_shorthand(raw: object) -> object:
    return {"path": raw} if isinstance(raw, str | list | tuple) else raw


FieldEntry = Annotated[FieldMap, BeforeValidator(_field_shorthand)]


class Edge(Part):
    """A value that changes. The first one seen is no edge."""

    path: ValuePath | None = None
    capture: str | None = None
    from_: tuple[Scalar, ...] | None = Field(None, alias="from")
    """What it was; None: anything else."""
    to: tuple[Scalar, ...] | None = None
    """What it is now; None: anything else."""


class EventMap(Part):
    """Raises an event when `when` holds (or always).

    A lasting event begins and ends: said by two maps with `phase`, or by one with `phases` over the word at
    `phase_path`. Several may last at once under different keys.
    """

    event: Identifier
    when: When | None = None
    edge: Edge | None = None
    """Fires only when this value changes."""
    key: str | None = None
    """Template that tells occurrences apart: an order number, an object's id. For `dedupe` and lasting events."""
    phase: Literal["begin", "update", "end"] | None = None
    phase_path: ValuePath | None = None
    phases: dict[str, Literal["begin", "update", "end"]] = {}
    """Word at `phase_path` -> what it means. A word that is not listed is a DecodeError."""
    fields: dict[Identifier, FieldEntry] = {}


class Each(Part):
    """Fan out: one child reading per element of an array, object, or of parallel arrays."""

    child: Identifier
    over: str | None = None
    """Path of an array or object. None: a single child."""
    elements: Literal["auto", "one", "keys"] = "auto"
    """What an object at `over` is: `keys`, one child per key (as `auto`); or `one`, an array of one that was sent
    without its brackets."""
    when: When | None = None
    """Elements for which this does not hold are left out."""
    zip: tuple[str, ...] = ()
    """Parallel arrays instead of `over`; inside, `path` names one of them."""
    key: str
    """Child key: a template over `index` (from 0), `key` (object key), captures and fields, e.g. "{index+1}" or
    "{port+1}". A field is a path of the element, `$.x` is one from the root. Every path in `fields` and `events`
    follows the same rule."""
    fields: dict[Identifier, FieldEntry] = {}
    events: tuple[EventMap, ...] = ()
    presence: dict[str, Literal["online", "offline"]] | None = None
    """Availability words of the child, at `presence_path`."""
    presence_path: ValuePath | None = None
    says: Literal["online", "offline"] | None = None
    """The message itself says so of the child."""


class Split(Part):
    """One message holds many: each element is taken as a message of its own, with its own time and device. Paths then
    start at the element, and `$.x` still at the payload."""

    over: str | None = None
    elements: Literal["auto", "one", "keys"] = "auto"
    zip: tuple[str, ...] = ()
    """Parallel arrays instead of `over`: the path of an array leads to its value in the element."""
    capture: Identifier | None = None
    """The element's key (or position from 0) becomes a capture of this name, for templates and fields."""
    named: str | None = None
    """Path in the element of what is captured instead: a service's id, a device's name. An element without it is
    known by its position."""
    older_is_history: bool = False
    """Of several elements of one device, all but the newest are history: stored, and paging nobody."""


class Sequence(Part):
    """A number that grows by one with each message of a device; a gap fires `event` with `expected`, `found` and
    `missed`."""

    path: str
    modulo: int = Field(256, ge=2)
    event: Identifier


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
    split: tuple[Split, ...] = Field((), max_length=2)
    time: Time | None = None
    mode: Literal["full", "partial", "event"] = "partial"
    """`full`: what the binding knows and the message does not say is erased. `partial`: it stays as it was. `event`:
    something happened; nothing about the device's state is said, and a retained copy is past."""
    empty: Literal["erase", "ignore", "offline", "reject"] | None = None
    """What an empty payload means. Default: erase where a field says so or the mode is full, else whatever the codec
    makes of it."""
    history: bool | When = False
    """Old points, sent afterwards: stored, and paging nobody."""
    sequence: Sequence | None = None
    reply: Reply | None = None
    registered_only: bool = False
    """Takes only devices of a site file: for topics that do not tell what kind of device speaks."""
    fields: dict[Identifier, FieldEntry] = {}
    each: tuple[Each, ...] = ()
    events: tuple[EventMap, ...] = ()
    presence: dict[str, Literal["online", "offline"]] | None = None
    """Availability words: the text payload (or `presence_path`) -> online or offline."""
    presence_path: ValuePath | None = None
    says: Literal["online", "offline"] | None = None
    """The message itself says so, whatever is in it: a death certificate, a topic that ends in `/online`."""
    keepalive: bool = False
    """The message only says that the device is there."""
    ignore: bool = False
    """Recognised and dropped on purpose (counted, never quarantined)."""
