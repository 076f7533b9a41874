"""What is seen of that on which devices hang: bridges, recorders, nodes, DTUs. Plain looks at what is remembered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from heapq import nlargest
from typing import TYPE_CHECKING

from gateway.presence import Parent, PresenceReason
from gateway.reading import Millis

if TYPE_CHECKING:
    from services.rules.engine import GatewayView
    from services.rules.state import DeviceState


class Branches:
    """Devices by what they hang on. Built once per load; it looks at the states as they are when asked."""

    def __init__(self, devices: Mapping[str, DeviceState]) -> None:
        self._devices = devices
        self._below: dict[str, list[DeviceState]] = defaultdict(list)
        for device in devices.values():
            if device.parent and device.parent in devices and device.parent != device.id:
                self._below[device.parent].append(device)

    def parents(self) -> Iterable[tuple[DeviceState, list[DeviceState]]]:
        """Each device on which others hang, with those."""
        return ((self._devices[parent], below) for parent, below in self._below.items())

    def below(self, device: str) -> list[DeviceState]:
        """Every device that hangs on one, itself or by way of others."""
        found: dict[str, DeviceState] = {}
        ahead = list(self._below.get(device, ()))
        while ahead:
            one = ahead.pop()
            if one.id not in found and one.id != device:
                found[one.id] = one
                ahead += self._below.get(one.id, ())
        return list(found.values())

    def view_of(self, device: DeviceState, view: GatewayView) -> GatewayView:
        """How far a device can be judged: what its gateway lets us see, and what it hangs on."""
        parent = self._devices.get(device.parent) if device.parent else None
        if parent is None or parent is device:
            return view
        return self._seen(device, parent, view, self._heard(parent))

    def views(self) -> Callable[[DeviceState, GatewayView], GatewayView]:
        """`view_of` for many devices at one time: who was heard behind each parent is looked up once."""
        heard = {parent: self._heard(self._devices[parent]) for parent in self._below}

        def view_of(device: DeviceState, view: GatewayView) -> GatewayView:
            parent = self._devices.get(device.parent) if device.parent else None
            if parent is None or parent is device:
                return view
            return self._seen(device, parent, view, heard[parent.id])

        return view_of

    def _heard(self, parent: DeviceState) -> list[tuple[Millis, str]]:
        """The two who were heard last behind a parent, itself among them: who is judged is no witness for himself."""
        heard = [(one.heard_at, one.id) for one in (parent, *self._below[parent.id]) if _is_regular(one)]
        return nlargest(2, [(at, id) for at, id in heard if at is not None])

    @staticmethod
    def _seen(
        device: DeviceState, parent: DeviceState, view: GatewayView, heard: list[tuple[Millis, str]]
    ) -> GatewayView:
        since = max(view.watching_since or 0, parent.back_since or 0) or None
        witness = next((at for at, id in heard if id != device.id), None)
        return view._replace(watching_since=since, parent=Parent(parent.down_since, witness))


def _is_regular(device: DeviceState) -> bool:
    """Whether its silence would mean something."""
    return device.profile is not None and not device.profile.availability.event_driven and device.heard_at is not None


def blocked(below: Iterable[DeviceState]) -> tuple[int, Millis | None]:
    """How many devices are out of reach behind their parent, and since when the first of them is."""
    since = [device.since for device in below if device.reason == PresenceReason.PARENT_DOWN]
    return len(since), min((at for at in since if at is not None), default=None)
