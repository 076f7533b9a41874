"""The only place that reads the clock; everything that decides gets `now` as an argument."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware UTC."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def to_millis(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def from_millis(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)
