"""What one device adds to one rule, until when that stands, and the clock of the gateway by which it waits."""

from __future__ import annotations

from collections.abc import Collection

from gateway.reading import Millis
from services.groups.counting import Counted
from services.groups.group import Group, Key
from services.rules.automaton import FOREVER
from services.rules.state import DeviceState


class Part:
    """What one device adds to one group."""

    __slots__ = ("alarms", "by_silence", "children", "counted", "gateway", "group", "liveness", "moved_by", "waits")

    def __init__(self, group: Group, profile: str) -> None:
        self.group = group
        self.moved_by, self.alarms, self.by_silence = group.rule.moved_by(profile)
        self.counted: Counted | None = None
        self.gateway = ""
        self.liveness = ""
        self.children = 0
        self.waits: Millis = FOREVER
        """Until when it stands in the queue of what changes by time, on its gateway's clock."""

    def may_move(self, device: DeviceState, names: Collection[str], *, alarms: bool) -> bool:
        return (
            self.by_silence
            or not self.moved_by.isdisjoint(names)
            or (self.alarms and (alarms or self.waits < FOREVER))
            or self.liveness != device.liveness
            or self.children != len(device.children)
        )

    def follow_gateway(self, gateway: str) -> None:
        """Another one hears the device now: by its clock it waits."""
        self.group.gateways[self.gateway] -= 1
        self.group.gateways[gateway] += 1
        self.gateway, self.waits = gateway, FOREVER

    def turns_at(self, device: DeviceState) -> Millis:
        """When what it adds may change by time alone, on its gateway's clock."""
        if self.counted is None or self.counted.until >= FOREVER:
            return FOREVER
        return self.counted.until - device.ahead + 1  # event time of the device -> time of its gateway

    def expire(self) -> None:
        """What it adds is asked anew when its turn comes, whatever was known of it."""
        if self.counted is not None:
            self.counted = self.counted._replace(until=0)


class GatewayWatch:
    """The clock of one gateway: what has changed at its moment and is not told yet, and what changes by itself."""

    __slots__ = ("moment", "moved", "queue", "since")

    def __init__(self) -> None:
        self.moment: Millis = 0
        self.since: Millis = 0
        """Since when it has been listening."""
        self.moved: set[Key] = set()
        self.queue: list[tuple[Millis, str]] = []
        """(its time, device) whose answers change then."""
