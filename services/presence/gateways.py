"""What a gateway is called where usually a device stands: in alarms and tickets. It has no row among the devices."""

from __future__ import annotations

from device_profiles.schema import Text

_GATEWAY = "gateway:"
_LONGEST_ID = 64


def gateway_device(gateway: str) -> str:
    """What alarms and tickets about a gateway call it: "gateway:yard-3"."""
    return f"{_GATEWAY}{gateway}"[:_LONGEST_ID]


def gateway_of(device: str) -> str | None:
    """The gateway that an alarm's device means; None where it is a device."""
    return device.removeprefix(_GATEWAY) if device.startswith(_GATEWAY) else None


def gateway_name(gateway: str) -> Text:
    return Text(zh=f"网关 {gateway}", en=f"Gateway {gateway}")
