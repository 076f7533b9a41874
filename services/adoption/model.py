"""What people say about a new device, and what is told about one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from device_profiles.schema import Scalar, Text
from services.sites.model import Address, Id, Words
from services.sites.store import Latest


class Serves(BaseModel):
    """A service that the device (or one part of it: "port:3", all of a kind: "port:*") contributes to."""

    model_config = ConfigDict(extra="forbid")

    supply: Id = Field(description="Id of a supply of the site.")
    child: str = Field("", max_length=64)
    vital: bool = Field(False, description="Without it there is no service at all.")


class Place(BaseModel):
    """Where a device stands, what it is called and what differs in it: what a site file says of a device."""

    model_config = ConfigDict(extra="forbid")

    name: Words | None = Field(None, description="What people call it; one text for both languages will do.")
    building: Id | None = None
    unit: Id | None = None
    place: Words = Text(zh="", en="")
    params: dict[str, Scalar] = Field({}, max_length=200)
    parent: Id | None = Field(None, description="The device it hangs on.")
    serves: list[Serves] = Field([], max_length=100)


class Adoption(Place):
    """A new device gets its place."""

    site: Id
    id: Id | None = Field(None, description="What it is called by programs, for ever; a free one is made up.")


class Replacement(BaseModel):
    """The module in this place has another address now."""

    model_config = ConfigDict(extra="forbid")

    address: Address


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A good guess where a new device belongs. Empty where there is none."""

    id: str
    site: str | None = None
    building: str | None = None
    parent: str | None = None
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Unclaimed:
    """A device that was heard and has no place yet."""

    id: str
    profile: str
    address: str
    gateway: str | None
    first_heard_at: datetime | None
    last_heard_at: datetime | None
    announced: dict[str, Any]
    """What it says about itself: name, model, firmware, address."""
    latest: Latest
    children: tuple[Latest, ...]
    ignored_at: datetime | None
    suggestion: Suggestion


@dataclass(frozen=True)
class Mistake:
    """One thing to mend in what was said."""

    where: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}, expected {self.expected}"


class AdoptionMistakes(Exception):
    """Nothing has changed; every mistake at once."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(str(mistake) for mistake in mistakes))


class AdoptionConflict(Exception):
    """It cannot be done as things stand."""

    def __init__(self, found: str, next_step: str) -> None:
        self.next_step = next_step
        super().__init__(found)
