"""What a device can be told to do: how it is said, who may, how it answers, and what must then be seen."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import Field

from device_profiles.schema.base import Duration, Identifier, Part, Scalar, Severity, Text
from device_profiles.schema.device import Param
from device_profiles.schema.layouts import StructLayout


class Effect(Part):
    """What telemetry must show after the device has been told: only readings measured since then count."""

    when: str
    """Closed grammar, in the scope of the command."""
    within: Duration = timedelta(seconds=60)


class StructPayload(Part):
    """A binary frame: the layout, and the value of each field that is neither constant, length nor check."""

    layout: StructLayout
    values: dict[str, Any] = {}
    """Field -> number, or a template such as "{nonce}" or "{key-1}"."""


class Command(Part):
    """One command of the device, or of a child kind.

    Templates may use `{address}`, `{key}` (the child's key), the captures of the topics the device speaks on, the
    device's own params, the command's params, `{nonce}` (a number from 1 to 65535, different for each command of a
    device), `{nonce_text}` (the same as text, for devices that number messages with quotes around), `{id}` (the
    command's id), `{now_s}`, `{now_ms}`, `{now_iso}`. `{key-1}` counts. A template that is one slot alone keeps the
    type of its value. Messages are sent with QoS 1 and are never retained.
    """

    name: Text
    scope: Identifier | None = None
    topic: str
    json_: Any = Field(None, alias="json")
    """The payload as JSON: any structure, with templates in its texts and keys."""
    text: str | None = None
    """Or as text."""
    hex: str | None = None
    """Or as hex digits; slots must give hex digits."""
    struct: StructPayload | None = None
    """Or as a binary frame with its checks."""
    params: dict[Identifier, Param] = {}
    """What the person must say, with type and range."""
    role: Literal["crew", "engineer", "admin"] = "engineer"
    """The least role that may send it."""
    confirm: Text | None = None
    """The question that the page asks before."""
    expires: Duration = timedelta(seconds=60)
    """It is not sent later than this after it was asked for."""
    timeout: Duration = timedelta(seconds=15)
    """How long an acknowledgement may take. Without a binding that replies to it, the broker's acknowledgement is
    all there is."""
    retries: int = Field(0, ge=0, le=5)
    least_interval: Duration = timedelta(milliseconds=500)
    """Between two commands of one device."""
    effect: Effect | None = None
    severity: Severity = Severity.MAJOR
    """How bad it is when it fails."""


class Reply(Part):
    """On a binding: this message answers a command."""

    command: Identifier
    also: tuple[Identifier, ...] = ()
    """Other commands that the same message answers: start and stop in one frame."""
    correlation: str | None = None
    """Template over the message that gives the nonce or the id it answers; None: the oldest unanswered one."""
    child: str | None = None
    """Template of the child's key, for commands of a child where there is no correlation."""
    result: str | None = None
    """Path of the result; None: every answer is good."""
    ok: tuple[Scalar, ...] = ()
    """Results that are good."""
    reasons: dict[str, Text] = {}
    """What other results mean."""


class Order(Part):
    """In a rule: the command that is sent when the alarm is raised, once per alarm.

    The command of a child kind goes to the rule's own child, or to every child of the kind where the rule is one of the
    device: smoke at a station cuts all its ports.
    """

    command: Identifier
    params: dict[Identifier, Scalar] = {}
    """Those that differ from the command's defaults."""
