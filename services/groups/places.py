"""What a rule over several devices is judged for: a site, a building, a feed, or what devices hang on. It has no row
among the devices; alarms and tickets name it where usually a device stands."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from services.sites.model import Feed, RuleMembers

_LONGEST_ID = 64
_KINDS = ("site:", "building:", "behind:", "feed:")


class Placed(NamedTuple):
    """Where a device stands, and what kind it is."""

    id: str
    site: str
    profile: str
    family: str
    building: str
    """"" where it stands in none."""
    parent: str
    """"" where it hangs on none."""
    feeds: tuple[str, ...] = ()
    """What it gets its power and its connection by, as far as the site file says."""


def is_place(device: str) -> bool:
    """Whether an alarm's device is a place, and no device."""
    return device.startswith(_KINDS)


def places_of(device: Placed, per: str) -> tuple[str, ...]:
    """For what a rule counts a device: one place, none, or several feeds."""
    if per == "site":
        return (site_place(device.site),)
    if per == "building":
        return (building_place(device.site, device.building),) if device.building else ()
    if per == "feed":
        return tuple(feed_place(device.site, feed) for feed in device.feeds)
    return (behind_place(device.parent),) if device.parent else ()


def feeds_by_device(feeds: Iterable[Feed]) -> dict[str, tuple[str, ...]]:
    """Device -> the ids of its feeds."""
    found: dict[str, tuple[str, ...]] = {}
    for feed in feeds:
        for device in feed.devices:
            found[device] = (*found.get(device, ()), feed.id)
    return found


def site_place(site: str) -> str:
    return _short(f"site:{site}")


def building_place(site: str, building: str) -> str:
    return _short(f"building:{site}/{building}")


def feed_place(site: str, feed: str) -> str:
    return _short(f"feed:{site}/{feed}")


def behind_place(parent: str) -> str:
    return _short(f"behind:{parent}")


def _short(id: str) -> str:
    """As long as the id of a device may be, and still of this place alone."""
    if len(id) <= _LONGEST_ID:
        return id
    digest = hashlib.sha256(id.encode()).hexdigest()[:12]
    return f"{id[: _LONGEST_ID - 13]}~{digest}"


def members_of(of: RuleMembers, devices: Iterable[Placed]) -> list[Placed]:
    """The devices of a site that a rule counts."""
    return [one for one in devices if _belongs(of, one)]


def _belongs(of: RuleMembers, device: Placed) -> bool:
    if of.buildings and device.building not in of.buildings:
        return False
    return device.id in of.devices or device.profile in of.profiles or device.family in of.families
