"""Times in which a gateway heard nothing, or services heard nothing of it: no delay ran, and no silence was judged.

Each is put on record when it is over, for backtests to judge the same stretch as it was judged live.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from gateway.reading import Millis

GapKind = Literal["gateway", "broker", "uplink"]
"""`gateway`: it was off; `broker`: it had no session with its broker; `uplink`: it went on listening, and services
heard of it later (a cut line, or services that were down)."""


class Gap(NamedTuple):
    """By the gateway's clock; within [begins, ends) nothing of its devices was judged when it happened."""

    gateway: str
    kind: GapKind
    begins: Millis
    ends: Millis
