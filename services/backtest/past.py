"""What else is known of a stretch of time, besides its readings. Plain: it goes to other processes with their task."""

from __future__ import annotations

from typing import Literal, NamedTuple

from gateway.reading import Millis
from services.presence.gaps import Gap

ActKind = Literal["acknowledged", "snoozed", "unsnoozed"]


class Act(NamedTuple):
    """What a person said about the alarm that stood on this rule then."""

    at: Millis
    device: str
    child: str
    rule: str
    kind: ActKind
    until: Millis | None = None
    """Of a snooze."""


class Happened(NamedTuple):
    """An event that a live reading told."""

    at: Millis
    device: str
    child: str
    event: str


class Past(NamedTuple):
    """Each in order of time."""

    gaps: tuple[Gap, ...] = ()
    acts: tuple[Act, ...] = ()
    events: tuple[Happened, ...] = ()
    left_out: int = 0
    """Events beyond the number that is kept in memory; the newest are there."""

    def of(self, devices: frozenset[str]) -> Past:
        """What matters where some of the devices are replayed; people act elsewhere."""
        return Past(self.gaps, (), tuple(one for one in self.events if one.device in devices), self.left_out)


NOTHING = Past()
