"""Compiled profiles, kept: a gateway makes a new decoder whenever its list of devices changes, and compiling a library
of a hundred profiles would hold up what arrives meanwhile."""

from __future__ import annotations

from device_profiles.schema import DeviceProfile
from gateway.decode.compile import CompiledBinding

_MOST = 500
_kept: dict[int, tuple[DeviceProfile, tuple[CompiledBinding, ...]]] = {}
"""By identity, with the profile itself, so that no other one can take its place. What is compiled holds no state."""


def compiled_bindings(profile: DeviceProfile) -> tuple[CompiledBinding, ...]:
    """The profile's bindings, in its order; raises ValueError for one that cannot be compiled."""
    found = _kept.get(id(profile))
    if found is None:
        if len(_kept) >= _MOST:
            _kept.pop(next(iter(_kept)), None)
        found = profile, tuple(_compiled(profile, index) for index in range(len(profile.bindings)))
        _kept[id(profile)] = found
    return found[1]


def _compiled(profile: DeviceProfile, index: int) -> CompiledBinding:
    binding = profile.bindings[index]
    try:
        return CompiledBinding(profile, binding)
    except ValueError as error:
        raise ValueError(f"{profile.id}: bindings[{index}] ({binding.id}): {error}") from error
