"""Members of supplies, written out: "port:*" is every port that the device has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from device_profiles.schema import (
    ChildKind,
    DeviceProfile,
)
from gateway.reading import child_id
from services.sites.model import (
    Member,
    SiteDevice,
    SiteFile,
)

Library = Mapping[str, DeviceProfile]


def expanded_members(site: SiteFile, library: Library) -> dict[str, list[Member]]:
    """Members per supply, "port:*" written out as port:1, port:2, …"""
    devices = with_all_params(site)
    return {
        supply.id: [one for member in supply.members for one in expand(member, devices[member.device], library)]
        for supply in site.supplies
    }


def with_all_params(site: SiteFile) -> dict[str, SiteDevice]:
    """The devices, each with the params that the file gives its profile here."""
    return {one.id: one.model_copy(update={"params": site.params_of(one)}) for one in site.devices}


def expand(member: Member, device: SiteDevice, library: Library) -> Iterator[Member]:
    kind, _, key = member.child.partition(":")
    if key != "*":
        yield member
        return
    profile = library[device.profile]
    child = profile.children[kind]
    for number in range(child_count(profile, child, device) or 0):
        yield member.model_copy(update={"child": child_id(kind, child.start + number)})


def child_count(profile: DeviceProfile, child: ChildKind, device: SiteDevice) -> int | None:
    """How many children of a kind the device has; None where only messages tell."""
    if isinstance(child.count, str):
        value = device.params.get(child.count, profile.params[child.count].default)
        return int(value) if isinstance(value, int | float) else None
    return child.count
