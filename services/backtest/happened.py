"""Events and readings put together again: a time series keeps values, the database keeps events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

import msgspec

from gateway.reading import Event, Millis, Reading
from services.backtest.past import Happened

_received = attrgetter("received_at")
Key = tuple[str, str, Millis]


def with_events(parts: Iterable[Sequence[Reading]], events: Sequence[Happened]) -> Iterator[Sequence[Reading]]:
    """Parts in order of hearing. An event goes with the reading of its device and moment; where there is none the
    message had no values, and is a reading of its own."""
    if not events:
        yield from parts
        return
    told: dict[Key, list[Event]] = defaultdict(list)
    for one in events:
        told[one.device, one.child, one.at].append(Event(one.event))
    order, place = list(dict.fromkeys((one.at, one.device, one.child) for one in events)), 0
    for part in parts:
        joined = [_joined(reading, told) for reading in part]
        until, before = part[-1].received_at, place
        while place < len(order) and order[place][0] <= until:
            place += 1
        alone = [_alone(key, told) for key in order[before:place] if (key[1], key[2], key[0]) in told]
        yield sorted([*alone, *joined], key=_received) if alone else joined
    rest = [_alone(key, told) for key in order[place:] if (key[1], key[2], key[0]) in told]
    if rest:
        yield rest


def _joined(reading: Reading, told: dict[Key, list[Event]]) -> Reading:
    found = told.pop((reading.device, reading.child, reading.measured_at), None)
    return reading if found is None else msgspec.structs.replace(reading, events=tuple(found))


def _alone(key: tuple[Millis, str, str], told: dict[Key, list[Event]]) -> Reading:
    at, device, child = key
    return Reading(device, child, at, at, "", {}, events=tuple(told.pop((device, child, at))))
