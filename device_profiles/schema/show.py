"""How a device looks, how it is played, and how its profile is proven."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import Field

from device_profiles.schema.base import Duration, Identifier, Part, Scalar, Text


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
    disobeys: bool = False
    """It answers commands, and does not do what they say: a relay that is welded."""


class Play(Part):
    """One message the simulator sends: the binding that decodes it, run backwards."""

    binding: Identifier
    every: Duration
    captures: dict[str, str] = {}
    raw: dict[str, Any] = {}
    """Raw fields that no metric or state holds (command codes, counts, versions)."""


class Obedience(Part):
    """What a simulated device does when it hears a command."""

    set: dict[Identifier, Scalar] = {}
    """Metrics and states of the device or the child that hold from then on; a text may be a template over the command's
    params, such as "{pressure}"."""
    lasting: Duration | None = None
    """For how long; None: until the next command that sets them."""
    reply: Identifier | None = None
    """The binding whose message answers."""
    raw: dict[str, Any] = {}
    """Raw fields of the answer, with the templates that commands have."""


class Simulator(Part):
    plays: tuple[Play, ...] = ()
    commands: dict[Identifier, Obedience] = {}
    signals: dict[Identifier, Signal] = {}
    faults: dict[Identifier, Fault] = {}


class Earlier(Part):
    """A message that came before the one of a sample: a birth that gives names, a request, a counter's last value."""

    topic: str
    text: str | None = None
    hex: str | None = None
    retained: bool = False


class Said(Part):
    """A command, and what its templates hold besides the command's own params."""

    command: Identifier
    address: str
    child: str = ""
    """Such as "port:2"."""
    params: dict[Identifier, Scalar] = {}
    nonce: int = 1
    id: str = "command"
    captures: dict[str, str] = {}
    """Of the topics that the device speaks on."""


class Sample(Part):
    """A message and the readings it must become; or, with `said`, the command that must become this message. A profile
    that fails its own samples does not load."""

    name: str
    topic: str
    text: str | None = None
    hex: str | None = None
    retained: bool = False
    before: tuple[Earlier, ...] = ()
    """Messages decoded first, a second apart, by the same decoder; what they become is not looked at."""
    registered: bool = False
    """Whether its devices stand in a site file, as `registered_only` bindings demand."""
    params: dict[Identifier, Scalar] = {}
    """The params of its devices, where they differ from the profile's defaults; implies `registered`."""
    expect: tuple[dict[str, Any], ...] = ()
    """Per reading: any of address, child, measured_at, binding, values, events, quality, flags, presence, replies. An
    event is its id, or an object of id, data, phase and key; a reply one of command, correlation, ok and result."""
    error: str | None = None
    """Or part of the DecodeError it must give."""
    said: Said | None = None
    """The command that this message says, to a device with these `params`, at 2030-03-17T17:46:40Z."""
    source: str = ""
