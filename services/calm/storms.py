"""Storms: one rule raised so often at one site that it is one event, to be told once.

The first alarms stay as they were, with tickets of their own: when they came nobody knew that more would. From then
on each is folded under one parent, whose ticket says to look for the common cause.
"""

from __future__ import annotations

from bisect import insort
from typing import NamedTuple

from gateway.reading import Millis


class Limits(NamedTuple):
    """More than `over` alarms of one rule at one site `within` milliseconds of event time are a storm."""

    over: int = 10
    within: Millis = 600_000


class Cause(NamedTuple):
    """What is counted together."""

    site: str
    profile: str
    rule: str


class Raises:
    """When alarms were raised last, by what is counted together. It keeps as many times as the limit needs: the same,
    whether it saw them happen or was told afterwards, in whatever order."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._newest: dict[Cause, list[Millis]] = {}
        """Ascending."""

    def note(self, cause: Cause, at: Millis) -> None:
        times = self._newest.setdefault(cause, [])
        insort(times, at)
        del times[: -self.limits.over]

    def is_storm(self, cause: Cause, at: Millis) -> bool:
        """Whether one more at `at` would be beyond the limit. Those before count from the moment they were raised."""
        times = self._newest.get(cause, [])
        return len(times) >= self.limits.over and times[0] > at - self.limits.within


def is_news(count: int, told: int) -> bool:
    """Whether a storm has grown so much since its ticket was told that people must know: it has doubled."""
    return count >= 2 * told
