"""The port through which readings reach services: in process, over HTTP, later Kafka."""

from __future__ import annotations

from typing import Protocol

import msgspec

from gateway.reading import Batch, Millis, Registry, Value


class CommandOrder(msgspec.Struct, frozen=True):
    """One attempt at a command, for the gateway to say to the device. Services own its life; the gateway only sends."""

    id: str
    attempt: int
    """From 1. The same (id, attempt) is sent once, however often it is handed over."""
    device: str
    child: str
    command: str
    """As the device's profile names it."""
    params: dict[str, Value]
    nonce: int
    """1 to 65535."""
    expires_at: Millis
    """Not to be sent after this, on the gateway's clock: an uplink between two machines moves it onto that one."""
    urgent: bool = False
    """Ordered by a critical alarm: it goes before what others asked of the device, and what these asked of the same
    part and has not been said is not said any more. Services of older versions never say so."""


class CommandOutcome(msgspec.Struct, frozen=True):
    """What became of one attempt at the gateway."""

    id: str
    attempt: int
    status: str
    """`sent`: the broker has acknowledged it; `unsure`: it may have reached the broker, which cannot be told any more,
    and it is not said again; `failed`: it could not be said, for good; `expired`: too late."""
    at: Millis
    """When that was known."""
    reason: str = ""
    broker: str = ""
    """What the broker made of it, where it says so: "refused", or "unheard" (it took it, and nobody listens on the
    topic). Gateways of older versions never say."""
    began: Millis | None = None
    """When it was given to the broker: no effect of it is older. None where it never was, and from older versions."""


class UplinkUnavailable(Exception):
    """Services cannot take the batch now; the journal keeps it and the forwarder tries again."""


class UplinkRejected(Exception):
    """Services refuse this gateway (token, version): somebody must act; nothing is dropped meanwhile."""


class Uplink(Protocol):
    """Where a gateway hands its readings over. Every call may raise `UplinkUnavailable` or `UplinkRejected`."""

    def cursor(self, gateway: str) -> int:
        """The last journal sequence that services have committed for this gateway; 0 when none."""
        ...

    def deliver(self, batch: Batch) -> int:
        """Hand a batch over; returns the committed cursor. Delivering a batch again changes nothing."""
        ...

    def registry(self) -> Registry:
        """The devices this gateway serves."""
        ...


class CommandUplink(Protocol):
    """Where a gateway hears which commands to send. Every call may raise `UplinkUnavailable` or `UplinkRejected`."""

    def orders(self, gateway: str, wait_seconds: float) -> list[CommandOrder]:
        """Commands that this gateway should send now; waits up to so long for the first one.

        An order is handed over once, and again some seconds later where nothing was reported of it. With a wait of 0
        it is everything that waits, handed over before or not: for a gateway that has just started.
        """
        ...

    def report(self, gateway: str, outcomes: list[CommandOutcome]) -> None:
        """Say what became of them. Saying it again changes nothing."""
        ...
