"""The device profile language: one YAML file that says everything about a kind of device.

These models are the contract between the rooms. They are frozen; a profile is checked once, when it is loaded.
Wire matters (scale, offset, sentinel) stand on the binding's field; meaning (unit, range, period) on the metric.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from device_profiles.schema.base import (
    Duration,
    Identifier,
    Part,
    Priority,
    ProfileId,
    Scalar,
    Severity,
    Text,
    TimeStep,
    Tone,
    ValuePath,
    parse_duration,
    parse_step,
    paths_of,
)
from device_profiles.schema.behaviour import (
    Clear,
    Flapping,
    Grade,
    ResidentWording,
    Rule,
    RuleTest,
    Schedule,
    Source,
    TicketTemplate,
    Weekday,
)
from device_profiles.schema.commands import Command, Effect, Order, Reply, StructPayload
from device_profiles.schema.device import (
    Availability,
    ChildKind,
    Counter,
    EventKind,
    Metric,
    Param,
    Rate,
    State,
    StateValue,
)
from device_profiles.schema.layouts import (
    Bits,
    Codec,
    Column,
    Csv,
    Endian,
    Integrity,
    Match,
    ModbusLayout,
    ModbusPoll,
    Pairs,
    Pivot,
    Register,
    Sparkplug,
    StructField,
    StructLayout,
    TlvEntry,
    TlvLayout,
    Xml,
)
from device_profiles.schema.show import Dashboard, Earlier, Fault, Obedience, Play, Said, Sample, Signal, Simulator
from device_profiles.schema.wire import (
    Binding,
    Each,
    Edge,
    EventMap,
    FieldEntry,
    FieldMap,
    Sequence,
    Split,
    Time,
    When,
)

__all__ = [
    "Availability",
    "Binding",
    "Bits",
    "ChildKind",
    "Clear",
    "Codec",
    "Column",
    "Command",
    "Counter",
    "Csv",
    "Dashboard",
    "DeviceProfile",
    "Duration",
    "Each",
    "Earlier",
    "Edge",
    "Effect",
    "Endian",
    "EventKind",
    "EventMap",
    "Fault",
    "FieldEntry",
    "FieldMap",
    "Flapping",
    "Grade",
    "Identifier",
    "Integrity",
    "Match",
    "Metric",
    "ModbusLayout",
    "ModbusPoll",
    "Obedience",
    "Order",
    "Pairs",
    "Param",
    "Part",
    "Pivot",
    "Play",
    "Priority",
    "ProfileId",
    "Rate",
    "Register",
    "Reply",
    "ResidentWording",
    "Rule",
    "RuleTest",
    "Said",
    "Sample",
    "Scalar",
    "Schedule",
    "Sequence",
    "Severity",
    "Signal",
    "Simulator",
    "Source",
    "Sparkplug",
    "Split",
    "State",
    "StateValue",
    "StructField",
    "StructLayout",
    "StructPayload",
    "Text",
    "TicketTemplate",
    "Time",
    "TimeStep",
    "TlvEntry",
    "TlvLayout",
    "Tone",
    "ValuePath",
    "Weekday",
    "When",
    "Xml",
    "parse_duration",
    "parse_step",
    "paths_of",
]


class DeviceProfile(Part):
    profile: ProfileId
    version: int = Field(1, ge=1)
    family: Identifier
    name: Text
    vendor: str = ""
    source: str = ""
    """Where the facts come from."""
    discovery: bool = True
    """Whether its topics are heard before a device of it stands in a site file. False where they are so general that
    the messages of others would come along."""
    params: dict[Identifier, Param] = {}
    children: dict[Identifier, ChildKind] = {}
    metrics: dict[Identifier, Metric] = {}
    states: dict[Identifier, State] = {}
    events: dict[Identifier, EventKind] = {}
    availability: Availability
    bindings: tuple[Binding, ...]
    commands: dict[Identifier, Command] = {}
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
        lasting = {name for name, event in self.events.items() if event.lasting}
        named = [*self.metrics, *self.states, *lasting]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"two of a metric, a state and a lasting event have one name: {', '.join(twice)}")
        return self
