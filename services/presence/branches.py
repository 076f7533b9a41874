"""What is seen of that on which devices hang: bridges, recorders, nodes, DTUs. Plain looks at what is remembered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
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

    def view_of(self, device: DeviceState, view: GatewayView) -> GatewayView:
        """How far a device can be judged: what its gateway lets us see, and what it hangs on."""
        if not device.parent:
            return view
        parent = self._devices.get(device.parent)
        if parent is None or parent is device:
            return view
        since = max(view.watching_since or 0, parent.back_since or 0) or None
        return view._replace(watching_since=since, parent=self._seen(device, parent))

    def _seen(self, device: DeviceState, parent: DeviceState) -> Parent:
        witnesses = [
            one.heard_at for one in (parent, *self._below[parent.id]) if one is not device and _is_regular(one)
        ]
        heard = [at for at in witnesses if at is not None]
        return Parent(parent.down_since, max(heard, default=None))


def _is_regular(device: DeviceState) -> bool:
    """Whether its silence would mean something."""
    return device.profile is not None and not device.profile.availability.event_driven and device.heard_at is not None


def blocked(below: Iterable[DeviceState]) -> tuple[int, Millis | None]:
    """How many devices are out of reach behind their parent, and since when the first of them is."""
    since = [device.since for device in below if device.reason == PresenceReason.PARENT_DOWN]
    return len(since), min((at for at in since if at is not None), default=None)
