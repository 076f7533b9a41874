"""Telling a slow clock from a backlog: both make readings late, but only a backlog should page nobody.

A device whose clock is hours behind (local time sent as UTC, a flat backup battery) is late by the same span with every
message, at the pace of its ordinary reports. A backlog comes faster than it was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from gateway.reading import Millis, Quality, Reading

_APART: Millis = 5_000
"""Two late messages closer than this say nothing about the pace."""
_JITTER: Millis = 2_000
_MOST = 100_000


class _Seen(NamedTuple):
    received_at: Millis
    lag: Millis
    slow: bool


class SlowClocks:
    """What is remembered of devices whose readings came late. One decoder owns it."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def judge(self, device: str, readings: Sequence[Reading]) -> list[Reading]:
        """Late readings of a device; those of a slow clock come back stamped on arrival and marked `skewed`."""
        first = readings[0]
        lag = first.received_at - first.measured_at
        before = self._seen.get(device)
        passed = first.received_at - before.received_at if before else 0
        steady = before is not None and abs(lag - before.lag) <= max(_JITTER, passed // 10)
        if before is not None and 0 <= passed < _APART:
            return _on_arrival(readings) if before.slow and steady else list(readings)
        if before is None and len(self._seen) >= _MOST:
            self._seen.clear()
        self._seen[device] = _Seen(first.received_at, lag, steady)
        return _on_arrival(readings) if steady else list(readings)


def _on_arrival(readings: Sequence[Reading]) -> list[Reading]:
    replace = msgspec.structs.replace
    return [
        replace(r, measured_at=r.received_at, quality=Quality.SKEWED) if r.quality is Quality.LATE else r
        for r in readings
    ]
