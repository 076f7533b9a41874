"""How one message reaches one recipient: a channel tries once and says what came of it, the outbox does the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message, its target already resolved (`env:NAME` stands only in the database)."""

    key: str
    """The same for every attempt, so that a receiver can tell a repetition."""
    target: str
    title: str
    body: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Delivered:
    """The other side has it."""


@dataclass(frozen=True)
class RetryLater:
    """Nobody's fault that lasts: try again, not before `after` where the other side named a time."""

    reason: str
    after: timedelta | None = None


@dataclass(frozen=True)
class Rejected:
    """Trying again would not help: somebody must act, and `reason` says what."""

    reason: str


Outcome = Delivered | RetryLater | Rejected


class Channel(Protocol):
    """Thread-safe. `send` returns within about half a minute and does not raise for what the network does."""

    def send(self, message: Message) -> Outcome: ...

    def close(self) -> None: ...
