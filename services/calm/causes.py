"""What is the cause of what: an alarm above that explains the one below, so that only the cause is told.

A rule names its causes (`suppressed_by`): rules of the device itself, or of what it hangs on. Besides, a broken link
above explains what is judged by silence, and nothing else: what a device says got through, so no break explains it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from device_profiles.checks.rules import BREAKS
from gateway.reading import Millis

BREAK_RULES = frozenset(BREAKS)
GROUPED_WITHIN: Millis = 120_000
"""A cause that is raised this soon after what it explains is named on the alarms and tickets that came before it."""


class Episode(Protocol):
    """An alarm that is not over, as it is looked at here."""

    @property
    def id(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def child(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def suppressed_by(self) -> Mapping[str, Any] | None: ...


E = TypeVar("E", bound=Episode)


class Place(NamedTuple):
    """Where an alarm stands, and what could explain it."""

    device: str
    child: str
    causes: tuple[str, ...] = ()
    """The rules that its own rule names as causes."""
    above: tuple[str, ...] = ()
    """The devices it hangs on, the nearest first, and what it is fed by."""
    gateway: str = ""
    """What alarms call the gateway that hears it; "" where none does."""
    by_silence: bool = False
    """It is judged by what is not heard: presence, silence, the age of a value."""


def cause_of(
    place: Place, standing_on: Callable[[str], Iterable[E]], find: Callable[[str], E | None], own: str = ""
) -> E | None:
    """The alarm that explains this one, the nearest; None where none does.

    `standing_on`: the alarms of a device that are not over, `find`: one of them by its id. `own` is the id of the alarm
    that is looked at: what waits for it cannot be its cause.
    """
    for device in (place.device, *place.above, place.gateway):
        for episode in standing_on(device) if device else ():
            if explains(place, episode) and not _waits_for(episode, own, find):
                return episode
    return None


def explains(place: Place, cause: Episode) -> bool:
    """Whether an alarm of the device itself or of what it hangs on would be the cause of this one."""
    if cause.device == place.device:
        # What is wrong with one port says nothing of the next.
        near = not place.child or cause.child in ("", place.child)
        return near and cause.rule in place.causes
    if cause.child:
        return False
    return cause.rule in place.causes or (place.by_silence and cause.rule in BREAK_RULES)


def _waits_for(episode: E, own: str, find: Callable[[str], E | None]) -> bool:
    """Whether an alarm is suppressed by `own`, itself or by way of others: two never wait for each other."""
    seen: set[str] = set()
    found: E | None = episode
    while found is not None and found.id not in seen:
        seen.add(found.id)
        held = found.suppressed_by
        by = str(held["id"]) if held is not None and held.get("kind") == "cause" else ""
        if own and own in (found.id, by):
            return True
        found = find(by)
    return False


def came_before(dependent: Millis, cause: Millis) -> bool:
    """Whether an alarm was raised so shortly before its cause that people are told they belong together."""
    return 0 <= cause - dependent <= GROUPED_WITHIN
