"""What a storm is called where usually a device stands: in alarms and tickets. It has no row among the devices."""

from __future__ import annotations

from device_profiles.schema import Text

STORMS = "courtyard_storms"
"""The profile of these alarms. Their rule is the one that was raised so often, their child its profile."""
STORM_NAME = Text(zh="多台设备", en="Several devices")
_STORM = "storm:"
_LONGEST_ID = 64


def storm_device(site: str) -> str:
    """What the alarms and tickets about storms at a site call their device: "storm:yard"."""
    return f"{_STORM}{site}"[:_LONGEST_ID]


def is_storm_device(device: str) -> bool:
    return device.startswith(_STORM)
