"""Storms: one rule raised so often at one site that it is one event, to be told once.

The first alarms stay as they were, with tickets of their own: when they came nobody knew that more would. From then
on each is folded under one parent, whose ticket says to look for the common cause.
"""

from __future__ import annotations

from bisect import insort
from typing import NamedTuple

from gateway.reading import Millis

_MOST_STRETCHES = 4500
"""More than a month of ten minutes each: no backlog is longer."""


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
    """When alarms were raised, by what is counted together: the same, whether it saw them happen or was told
    afterwards, in whatever order. A gateway with a wrong clock or a backlog makes storms of its own time only."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._times: dict[Cause, dict[int, list[Millis]]] = {}
        """Cause -> number of the stretch of `within` -> times in it, ascending. The first and the last `over` of each
        are enough to count as far as the limit."""

    def note(self, cause: Cause, at: Millis) -> None:
        stretches, over = self._times.setdefault(cause, {}), self.limits.over
        times = stretches.setdefault(at // self.limits.within, [])
        insort(times, at)
        del times[over : max(over, len(times) - over)]
        if len(stretches) > _MOST_STRETCHES:
            del stretches[min(stretches)]

    def is_storm(self, cause: Cause, at: Millis) -> bool:
        """Whether one more at `at` would be beyond the limit. Those before count from the moment they were raised; of
        several gateways one may be ahead, so those that come a little later count as well."""
        stretches, within = self._times.get(cause, {}), self.limits.within
        around = range(at // within - 1, at // within + 2)
        return sum(abs(one - at) < within for number in around for one in stretches.get(number, ())) >= self.limits.over


def goes_on(ended: Millis, at: Millis, limits: Limits) -> bool:
    """Whether a storm that had ended, and begins again, is still the same."""
    return abs(at - ended) < limits.within


def is_news(count: int, told: int) -> bool:
    """Whether a storm has grown so much since its ticket was told that people must know: it has doubled."""
    return count >= 2 * told
