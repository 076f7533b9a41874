"""Which children a device has, as its profile and its params say: "port:1", "port:2", …"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from device_profiles.schema import DeviceProfile, Scalar

MOST_CHILDREN = 512
"""Of one kind: each costs a row and its rules."""


def children_of(profile: DeviceProfile, params: Mapping[str, Scalar]) -> Iterator[str]:
    """Every child that is declared, kind by kind."""
    for kind in profile.children:
        yield from (f"{kind}:{key}" for key in keys_of(profile, kind, params) or ())


def keys_of(profile: DeviceProfile, kind: str, params: Mapping[str, Scalar]) -> list[str] | None:
    """The keys of one kind of children; None where only messages tell which there are."""
    child = profile.children[kind]
    if child.keys is not None:
        named = str(_value(profile, params, child.keys) or "")
        return [key.strip() for key in named.split(",", MOST_CHILDREN)[:MOST_CHILDREN] if key.strip()]
    if child.count is None:
        return None
    count = child.count if isinstance(child.count, int) else _value(profile, params, child.count)
    return [str(child.start + i) for i in range(min(int(count or 0), MOST_CHILDREN))]


def _value(profile: DeviceProfile, params: Mapping[str, Scalar], name: str) -> Scalar | None:
    if name in params:
        return params[name]
    return profile.params[name].default if name in profile.params else None
