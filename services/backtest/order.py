"""Readings in the order in which the gateway heard them; a store gives them in the order of their measurement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from operator import attrgetter

from gateway.reading import Millis, Reading

_AT_ONCE = 4096
_AHEAD: Millis = 10 * 60_000
"""How much later than heard a reading may claim to be measured; a clock further ahead is stamped on arrival."""
_MOST_HELD = 200_000
_received = attrgetter("received_at")


def as_heard(readings: Iterable[Reading]) -> Iterator[list[Reading]]:
    """In parts of some thousand. What was heard long after it was measured is held until its time; where too many are
    held (a gateway that was cut off for days), the oldest go on early."""
    source = iter(readings)
    held: list[Reading] = []
    while some := list(islice(source, _AT_ONCE)):
        held += some
        held.sort(key=_received)  # nearly in order already
        safe = some[-1].measured_at - _AHEAD
        ready = _first_after(held, safe)
        ready = max(ready, len(held) - _MOST_HELD)
        if ready:
            yield held[:ready]
            del held[:ready]
    if held:
        yield held


def _first_after(held: list[Reading], at: Millis) -> int:
    low, high = 0, len(held)
    while low < high:
        middle = (low + high) // 2
        if held[middle].received_at < at:
            low = middle + 1
        else:
            high = middle
    return low
