"""The site file: one YAML file that says what stands where, what serves whom, what is wrong about several devices
together, and who is told.

Shapes only; whether the names in it exist (profiles, buildings, children) is the importer's matter.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from device_profiles.schema import (
    Clear,
    Flapping,
    Grade,
    ResidentWording,
    Rule,
    Scalar,
    Schedule,
    Severity,
    Source,
    Text,
    TicketTemplate,
)
from device_profiles.schema.base import Duration, Identifier


def _text_shorthand(raw: object) -> object:
    """`name: Pump room` is the same words in both languages."""
    return {"zh": raw, "en": raw} if isinstance(raw, str) else raw


def _number_as_text(raw: object) -> object:
    """`id: 3` is what people write for building 3."""
    return str(raw) if isinstance(raw, int) and not isinstance(raw, bool) else raw


def _per_cent(raw: object) -> object:
    """`50 %` is what people write for 0.5."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", raw) if isinstance(raw, str) else None
    return float(found[1]) / 100 if found else raw


def _no_wildcards(raw: str) -> str:
    if any(sign in raw for sign in "+#\0"):
        raise ValueError("an address without + # or NUL, which mean something else in topics")
    return raw


Words = Annotated[Text, BeforeValidator(_text_shorthand)]
Id = Annotated[str, BeforeValidator(_number_as_text), Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]
SiteId = Annotated[Id, Field(max_length=32)]
RecipientId = Annotated[Id, Field(max_length=31)]
Address = Annotated[
    str, BeforeValidator(_number_as_text), Field(min_length=1, max_length=128), AfterValidator(_no_wildcards)
]
Share = Annotated[float, BeforeValidator(_per_cent), Field(ge=0, le=1)]
DigestTime = Annotated[str, Field(pattern=r"^(?:[01]\d|2[0-3]):[0-5]\d$")]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class UnitEntry(Part):
    """A stairwell or dwelling group. Households are counted, never tracked."""

    id: Id
    name: Words | None = None
    households: int = Field(ge=0, le=10_000)


class BuildingEntry(Part):
    id: Id
    name: Words | None = None
    units: tuple[UnitEntry, ...] = ()


class SiteDevice(Part):
    """One device. `address` is how it names itself on the wire (default: its id)."""

    id: Id
    profile: str
    address: Address | None = None
    name: Words | None = None
    building: Id | None = None
    unit: Id | None = None
    place: Words = Text(zh="", en="")
    params: dict[str, Scalar] = {}
    parent: Id | None = None

    @property
    def wire_address(self) -> str:
        return self.address or self.id


class Member(Part):
    """What contributes to a supply: a device, one child of it ("pump:1"), or all children of a kind ("port:*")."""

    device: Id
    child: str = Field("", max_length=64)
    vital: bool = False
    """Without it there is no service at all (a pressure zone, a common valve); it does not count towards `needs`."""


class UnitRef(Part):
    building: Id
    unit: Id


class Supply(Part):
    """One service to some buildings and units (default: the whole site), from members of which `needs` must work."""

    id: Id
    service: Literal["water", "charging", "access", "video", "parking", "lift", "heating", "lighting"]
    name: Words | None = None
    needs: int | None = Field(None, ge=1)
    """Members that must work for full service; default: all of them."""
    members: tuple[Member, ...] = Field(min_length=1)
    buildings: tuple[Id, ...] = ()
    units: tuple[UnitRef, ...] = ()


class Recipient(Part):
    """Who is told, by which channel. `to` is an address, a URL, or env:NAME where that is a secret."""

    id: RecipientId
    name: str = Field("", max_length=200)
    audience: Literal["engineers", "crew", "residents"]
    channel: Literal["email", "webhook", "apprise"]
    to: str = Field(min_length=1, max_length=500)
    lang: Literal["zh", "en"] = "zh"
    about: tuple[Literal["alarm", "ticket", "outage"], ...] = ()
    """Empty: what suits the audience."""
    min_severity: Severity = Severity.WARNING
    buildings: tuple[Id, ...] = ()
    """Residents: outages that touch these buildings; empty: the whole site."""
    step: int = Field(0, ge=0, le=9)
    """Told of an alarm once it has gone this many steps up, because nobody acknowledged it; 0: at once."""
    digest: DigestTime | None = None
    """At this time of the site's clock, alarms below major come once a day, together, instead of one by one."""


class Feed(Part):
    """What several devices get their power or their connection by, and what says nothing itself: a distribution board,
    a switch. When nothing is heard of any of them, the feed has the alarm."""

    id: Id
    name: Words | None = None
    kind: Literal["power", "network"]
    building: Id | None = None
    """Where it is found."""
    devices: tuple[Id, ...] = Field(min_length=2)


class RuleMembers(Part):
    """Whose devices a rule counts: those of families, or of profiles, or these; of some buildings or of all."""

    families: tuple[Id, ...] = ()
    profiles: tuple[Id, ...] = ()
    devices: tuple[Id, ...] = ()
    buildings: tuple[Id, ...] = ()
    """Only those that stand there; empty: wherever they stand."""


class SiteRule(Part):
    """A rule over several devices: `number(…)` and `share(…)` of devices, or of their children.

    It is judged for the whole site, for each building in which its devices stand, for each device they hang on, or for
    each feed.
    """

    id: Identifier
    name: Words
    of: RuleMembers
    per: Literal["site", "building", "parent", "feed"] = "site"
    when: str
    for_: Duration = Field(timedelta(0), alias="for")
    clear: Clear = Clear()
    severity: Severity
    grades: tuple[Grade, ...] = ()
    schedule: tuple[Schedule, ...] = ()
    flapping: Flapping = Flapping()
    acknowledge_within: Duration | None = None
    mode: Literal["live", "shadow"] = "live"
    needs: Literal["good", "any"] = "good"
    known_at_least: Share = 0.5
    """The share of the members that must be known for a `share(…)` of them to be: 0.5, or "50 %"."""
    source: Source = Source(kind="judgement")
    ticket: TicketTemplate | None = None
    residents: ResidentWording | None = None
    """What they lose by it, of the supplies that it touches."""
    supplies: tuple[Id, ...] = ()
    """The supplies that are limited (or out, by the wording's `loss`) while it is active."""

    def as_rule(self) -> Rule:
        """The same as a rule of a profile, which is how it is judged."""
        said = self.model_dump(
            by_alias=True, exclude={"of", "per", "known_at_least", "supplies", "ticket", "residents"}
        )
        ticket = self.id if self.ticket is not None else None
        residents = self.id if self.residents is not None else None
        return Rule.model_validate({**said, "ticket": ticket, "residents": residents})


class SiteFile(Part):
    site: SiteId
    name: Words
    timezone: str
    contact: Words = Text(zh="", en="")
    """Whom residents call; shown on their page."""
    params: dict[str, dict[str, Scalar]] = {}
    """Profile -> param -> value, for all devices of the profile here; what a device says itself stands above it."""
    buildings: tuple[BuildingEntry, ...] = ()
    devices: tuple[SiteDevice, ...] = ()
    supplies: tuple[Supply, ...] = ()
    feeds: tuple[Feed, ...] = ()
    # Each of them is asked of every reading of its devices.
    rules: tuple[SiteRule, ...] = Field((), max_length=200)
    recipients: tuple[Recipient, ...] = ()

    def params_of(self, device: SiteDevice) -> dict[str, Scalar]:
        """What the file gives a device: its own params over those of its profile here."""
        return {**self.params.get(device.profile, {}), **device.params}
