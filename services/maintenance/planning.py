"""What people may plan: pure checks with errors that say what to do, and the window that comes of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from device_profiles.schema.behaviour import Weekday
from services.maintenance.windows import Repeats, Scope, Window

LONGEST = timedelta(days=31)
LONGEST_AGAIN = timedelta(hours=24)
"""Of one that recurs: the next must not begin before it is over."""
FURTHEST = timedelta(days=731)
EARLIEST = timedelta(days=1)
"""So long ago it may have begun: what people forgot to say before they started."""


class ScopeWish(BaseModel):
    """What it covers. Buildings and families narrow each other, devices come on top; nothing at all: the whole site."""

    model_config = ConfigDict(extra="forbid")

    buildings: list[str] = Field(default_factory=list, max_length=500, examples=[["2"]])
    families: list[str] = Field(default_factory=list, max_length=100, examples=[["water_pump"]])
    devices: list[str] = Field(default_factory=list, max_length=2000)


class RepeatsWish(BaseModel):
    """Again on these days of the week, on the clock of the site; `until` is the last day on which it may begin."""

    model_config = ConfigDict(extra="forbid")

    days: list[Weekday] = Field(min_length=1, max_length=7, examples=[["sat", "sun"]])
    until: date


class Wish(BaseModel):
    """A maintenance window as somebody asks for it."""

    model_config = ConfigDict(extra="forbid")

    site: str = Field(max_length=64)
    title: str = Field(max_length=200, examples=["Tank cleaning"])
    scope: ScopeWish = ScopeWish()
    starts_at: AwareDatetime | None = Field(None, description="Now, when left out.")
    ends_at: AwareDatetime = Field(description="Of a recurring one: the end on its first day.")
    repeats: RepeatsWish | None = None


class Mistake(NamedTuple):
    field: str
    found: str
    expected: str


class WindowRefused(Exception):
    """It cannot be planned so; nothing has changed."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("; ".join(f"{one.field}: found {one.found}, expected {one.expected}" for one in self.mistakes))


class WindowOver(Exception):
    """It is over, cancelled, or not open: there is nothing to end."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A site as planning needs it."""

    site: str
    zone: ZoneInfo
    buildings: frozenset[str]
    devices: Mapping[str, tuple[str | None, str]]
    """Device -> (building, family)."""


class State(StrEnum):
    OPEN = "open"
    PLANNED = "planned"
    OVER = "over"
    CANCELLED = "cancelled"


def state_of(window: Window, zone: ZoneInfo, now: datetime) -> State:
    coming = next(window.occurrences(zone, now), None)
    if coming is not None:
        return State.OPEN if coming.start <= now else State.PLANNED
    return State.OVER if window.cancelled_at is None or window.cancelled_at > now else State.CANCELLED


def plan(wish: Wish, place: Place, *, id: str, by: str, now: datetime) -> Window:
    """Raises WindowRefused with every mistake at once."""
    starts_at = wish.starts_at or now
    mistakes = [*_in_words(wish), *_in_time(wish, starts_at, now), *_in_scope(wish.scope, place)]
    if mistakes:
        raise WindowRefused(mistakes)
    repeats = None
    if wish.repeats is not None:
        repeats = Repeats(days=frozenset(wish.repeats.days), until=wish.repeats.until)
    window = Window(
        id=id,
        site=wish.site,
        title=wish.title.strip(),
        scope=_scope(wish.scope),
        starts_at=starts_at,
        ends_at=wish.ends_at,
        repeats=repeats,
        created_at=now,
        created_by=by,
    )
    if next(window.occurrences(place.zone, now), None) is None:
        expected = "days of the week that come before it ends" if repeats else "an end that is still to come"
        raise WindowRefused([Mistake("repeats" if repeats else "ends_at", "nothing that is still to come", expected)])
    return window


def covered(window: Window, place: Place) -> list[str]:
    """The devices that a window covers, by id."""
    return sorted(id for id, (building, family) in place.devices.items() if window.scope.covers(building, family, id))


def ended(window: Window, zone: ZoneInfo, now: datetime) -> Window:
    """It is over now; one that recurs opens again on its next day. Raises WindowOver."""
    found = window.open_at(now, zone)
    if found is None:
        raise WindowOver("It is not open now, so there is nothing to end; cancel it if it should never open.")
    if window.repeats is None:
        return replace(window, ends_at=now)
    return replace(window, repeats=replace(window.repeats, cut={**window.repeats.cut, found.day: now}))


def cancelled(window: Window, zone: ZoneInfo, now: datetime, by: str) -> Window:
    """Over now, and never again. Raises WindowOver."""
    if state_of(window, zone, now) in (State.OVER, State.CANCELLED):
        raise WindowOver("It is over already.")
    return replace(window, cancelled_at=now, cancelled_by=by)


def _scope(wish: ScopeWish) -> Scope:
    return Scope(
        buildings=frozenset(wish.buildings), families=frozenset(wish.families), devices=frozenset(wish.devices)
    )


def _in_words(wish: Wish) -> Iterator[Mistake]:
    if not wish.title.strip() or not wish.title.isprintable():
        yield Mistake("title", repr(wish.title), "what is done, such as Tank cleaning, on one line")


def _in_time(wish: Wish, starts_at: datetime, now: datetime) -> Iterator[Mistake]:
    longest = LONGEST if wish.repeats is None else LONGEST_AGAIN
    if wish.ends_at <= starts_at:
        yield Mistake("ends_at", wish.ends_at.isoformat(), f"a time after it begins ({starts_at.isoformat()})")
    elif wish.ends_at - starts_at > longest:
        most = f"{longest.days} days" if wish.repeats is None else "24 hours, because it recurs"
        yield Mistake("ends_at", wish.ends_at.isoformat(), f"at most {most} after it begins")
    if starts_at < now - EARLIEST or starts_at > now + FURTHEST:
        yield Mistake("starts_at", starts_at.isoformat(), "from a day ago to two years from now")
    if wish.repeats is not None and wish.repeats.until > (now + FURTHEST).date():
        yield Mistake("repeats.until", wish.repeats.until.isoformat(), "at most two years from now")


def _in_scope(wish: ScopeWish, place: Place) -> Iterator[Mistake]:
    families = {family for _, family in place.devices.values()}
    for field, named, known in (
        ("buildings", wish.buildings, place.buildings),
        ("families", wish.families, families),
        ("devices", wish.devices, place.devices),
    ):
        unknown = [one for one in named if one not in known]
        if unknown:
            listed = ", ".join(sorted(known)[:20]) or "none: this site has none"
            yield Mistake(f"scope.{field}", ", ".join(repr(one)[:66] for one in unknown[:5]), f"of {listed}")
