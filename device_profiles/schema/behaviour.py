"""When a device is unwell, and what follows: rules, tickets, what residents are told."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from device_profiles.schema.base import Duration, Identifier, Part, Priority, Severity, Text
from device_profiles.schema.commands import Order

_CONFIRMED = timedelta(seconds=30)
_SHORTEST_CLEAR, _LONGEST_CLEAR = timedelta(minutes=1), timedelta(minutes=10)


class Source(Part):
    kind: Literal["standard", "vendor", "judgement"]
    ref: str = ""


class Clear(Part):
    when: str | None = None
    """None: the opposite of the rule's condition."""
    for_: Duration | None = Field(None, alias="for")
    """None: as `Rule.clear_after` says."""


class RuleTest(Part):
    """`given` steps set values and hold them; `expect` is what the rule says at the end, and perhaps how severe."""

    given: tuple[dict[str, Any], ...]
    expect: Literal["raised", "quiet", "cleared"] | Annotated[dict[Literal["raised"], Severity], Field(min_length=1)]


Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
LocalTime = Annotated[str, Field(pattern=r"^(?:[01]\d|2[0-3]):[0-5]\d$|^24:00$")]


class Grade(Part):
    """A severity that replaces the rule's own while it fits. Of several the first that fits counts: it goes up and
    down. `when` is a condition; `after` is how long the alarm has been active; with both, both must hold."""

    severity: Severity
    when: str | None = None
    after: Duration | None = None


class Schedule(Part):
    """When a rule applies, on the clock of the site. A stretch that ends before it begins runs over midnight and
    belongs to the day on which it begins."""

    days: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    from_: LocalTime = Field("00:00", alias="from")
    to: LocalTime = "24:00"


class Flapping(Part):
    """An alarm that begins this often within this time is one alarm that flaps; it clears after that much calm."""

    times: int = Field(4, ge=2, le=100)
    within: Duration = timedelta(minutes=30)


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
    grades: tuple[Grade, ...] = ()
    schedule: tuple[Schedule, ...] = ()
    """When it applies; empty: always."""
    flapping: Flapping = Flapping()
    suppressed_by: tuple[Identifier, ...] = ()
    """Rules of the device, or of what it hangs on, that are the cause when they are active: this one then waits."""
    acknowledge_within: Duration | None = None
    """After this an alarm that nobody acknowledged goes one step up; None: by its severity."""
    mode: Literal["live", "shadow"] = "live"
    """`shadow`: judged like others, raises nothing, counted."""
    needs: Literal["good", "any"] = "good"
    source: Source
    ticket: Identifier | None = None
    residents: Identifier | None = None
    order: Order | None = None
    """The command that the alarm sends when it is raised. How it fares is seen as `<command>_command` in rules:
    queued, sent, acknowledged, done, failed or expired."""
    tests: tuple[RuleTest, ...] = ()

    @property
    def clear_after(self) -> timedelta:
        """How long it must be over. A rule that says nothing of its clearing waits for it as long as for its raising:
        at least a minute and at most ten, so that what trembles about a threshold is one alarm. One that clears by a
        condition of its own, and says no more, waits half a minute."""
        if self.clear.for_ is not None:
            return self.clear.for_
        if self.clear.when is not None:
            return _CONFIRMED
        return min(max(self.for_, _SHORTEST_CLEAR), _LONGEST_CLEAR)


class TicketTemplate(Part):
    """The maintenance need that an alarm opens."""

    title: Text
    trade: Literal["electrical", "plumbing", "access", "network", "fire", "general"]
    priority: Priority
    due: Duration
    steps: tuple[Text, ...] = ()


class ResidentWording(Part):
    """What residents lose, in their words: no device ids, no jargon."""

    service: Literal["water", "charging", "access", "video", "parking", "lift", "heating", "lighting"]
    loss: Literal["full", "degraded"] = "full"
    what: Text
    instead: Text | None = None
    """What they can do meanwhile."""
    restored: Text | None = None
    next_news: Duration = timedelta(hours=2)
    """When the next news is promised."""
