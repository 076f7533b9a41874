"""The port through which readings reach services: in process, over HTTP, later Kafka."""

from __future__ import annotations

from typing import Protocol

from gateway.reading import Batch, Registry


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
