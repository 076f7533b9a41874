"""Orders that wait to be said: in order per device, spaced by its least interval, and never too late. Pure.

What is urgent goes first and is spaced from what is urgent only: a device that is flooded loses some of its orders.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.reading import Millis
from gateway.uplink import CommandOrder

Key = tuple[str, int]


class Waiting:
    def __init__(self) -> None:
        self.said: dict[str, Millis] = {}
        """When something was last said to each device."""
        self._urgent_said: dict[str, Millis] = {}
        self._orders: dict[str, dict[Key, CommandOrder]] = {}

    def __len__(self) -> int:
        return sum(len(orders) for orders in self._orders.values())

    def add(self, order: CommandOrder) -> None:
        """The same (id, attempt) again changes nothing."""
        self._orders.setdefault(order.device, {}).setdefault((order.id, order.attempt), order)

    def note_said(self, order: CommandOrder, now: Millis) -> None:
        self.said[order.device] = now
        if order.urgent:
            self._urgent_said[order.device] = now

    def take_overtaken(self, by: CommandOrder) -> list[CommandOrder]:
        """What is older than an urgent order, for the same part or for all of the device, and would undo it later."""
        if not by.urgent:
            return []
        waiting = self._orders.get(by.device, {}).values()
        older = [one for one in waiting if not one.urgent and one.id < by.id]
        found = [one for one in older if one.child == by.child or not one.child or not by.child]
        for order in found:
            self.remove(order)
        return found

    def remove(self, order: CommandOrder) -> None:
        mine = self._orders.get(order.device, {})
        mine.pop((order.id, order.attempt), None)
        if not mine:
            self._orders.pop(order.device, None)

    def take_expired(self, now: Millis) -> list[CommandOrder]:
        found = [order for orders in self._orders.values() for order in orders.values() if now >= order.expires_at]
        for order in found:
            self.remove(order)
        return found

    def due(self, now: Millis, least_interval: Callable[[CommandOrder], Millis]) -> list[CommandOrder]:
        """The oldest of each device (ids sort by time), an urgent one before others, where enough time has passed since
        the last one."""
        found = []
        for device, orders in self._orders.items():
            order = min(orders.values(), key=lambda one: (not one.urgent, one.id, one.attempt))
            said = self._urgent_said if order.urgent else self.said
            since = now - said.get(device, now - 10**12)
            # A clock that was put back must not silence a device until it has caught up.
            if since >= least_interval(order) or since < 0:
                found.append(order)
        return found
