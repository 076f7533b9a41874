"""What a gateway let us judge at each moment of the past. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from gateway.presence import PresenceReason
from gateway.reading import Millis
from services.clock import from_millis
from services.groups.groups import GatewayTime
from services.presence.breaks import GatewaySeen
from services.presence.gaps import Gap
from services.rules.engine import GatewayView

SILENT_AFTER = timedelta(seconds=60)
_SILENT_AFTER_MILLIS: Millis = round(SILENT_AFTER.total_seconds() * 1000)


class Ears:
    """Of one gateway; its gaps do not overlap."""

    def __init__(self, gateway: str, gaps: Sequence[Gap], start: Millis) -> None:
        self.gateway = gateway
        self._gaps = sorted(gaps, key=lambda one: one.begins)
        self._begins = [one.begins for one in self._gaps]
        self._deaf_until = sorted(one.ends for one in self._gaps if one.kind != "uplink")
        self._start = start

    def heard(self, now: Millis) -> GatewayView:
        """What it is when a reading comes: whoever hands it over is there."""
        return GatewayView(now, True, self._since(now))

    def passed(self, now: Millis) -> GatewayView:
        """What it is when time has passed. In a gap none passes; a cut line is made up for by what comes after it."""
        gap = self._gap(now)
        if gap is None:
            return GatewayView(now, True, self._since(now))
        if gap.kind == "uplink":
            return GatewayView(gap.begins, True, self._since(gap.begins))
        if gap.kind == "broker":
            return GatewayView(gap.begins, False, self._since(gap.begins), PresenceReason.BROKER_DOWN)
        known = now - gap.begins <= _SILENT_AFTER_MILLIS
        broken = None if known else PresenceReason.UPLINK_CUT
        return GatewayView(gap.begins, known, self._since(gap.begins), broken)

    def time(self, now: Millis) -> GatewayTime:
        view = self.passed(now)
        return GatewayTime(view.progress, view.watching_since)

    def seen(self, now: Millis) -> GatewaySeen:
        """As services knew the gateway itself."""
        gap = self._gap(now)
        lost = gap is not None and gap.kind == "broker"
        begins = None if gap is None else from_millis(gap.begins)
        heard = from_millis(now) if begins is None or lost else begins
        return GatewaySeen(self.gateway, heard, heard, not lost, begins if lost else None)

    def _gap(self, now: Millis) -> Gap | None:
        place = bisect_right(self._begins, now) - 1
        found = self._gaps[place] if place >= 0 else None
        return found if found is not None and found.begins < now < found.ends else None

    def _since(self, now: Millis) -> Millis:
        """Since when it had been listening. Asked at every reading."""
        place = bisect_right(self._deaf_until, now)
        return self._deaf_until[place - 1] if place else self._start


def ears_of(gateways: Iterable[str], gaps: Iterable[Gap], start: Millis) -> Mapping[str, Ears]:
    every = list(gaps)
    return {id: Ears(id, [one for one in every if one.gateway == id], start) for id in gateways}
