"""All shipped profiles on one gateway: none of them takes the messages of another's device.

Topics of public conventions overlap (half of all devices have a topic that ends in /status). A device that stands in a
site file must be read by its own profile, whatever else is loaded and whoever else is registered.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from typing import Any

import pytest

from device_profiles.library import load
from device_profiles.schema import DeviceProfile, Sample
from gateway.decode import DecodeError, Decoder
from gateway.decode.routes import Device
from gateway.decode.samples import facts, sample_readings
from gateway.reading import Registry, provisional_id

LIBRARY = load()
Known = frozenset[tuple[str, str]]
"""(profile, address) of every device that stands in a site file."""


class Gateway(Decoder):
    """A decoder whose registered devices are said one by one, with their profile's own params."""

    def __init__(self, profiles: list[DeviceProfile], known: Known | None) -> None:
        self._known_devices = known
        self._defaults_of = {
            profile.id: {name: param.default for name, param in profile.params.items()} for profile in profiles
        }
        super().__init__(profiles, Registry("samples", []))

    def known_device(self, profile: str, address: str) -> Device | None:
        if self._known_devices is not None and (profile, address) not in self._known_devices:
            return None
        return Device(provisional_id(profile, address), UTC, True, self._defaults_of[profile])


def read(gateway: Gateway, sample: Sample) -> list[dict[str, Any]] | str:
    """What a sample becomes: its readings with the profile that made them, or the code of its error."""
    try:
        return [{**facts(reading), "profile": reading.profile} for reading in sample_readings(gateway, sample)]
    except DecodeError as error:
        return error.code


def alone() -> Iterator[tuple[DeviceProfile, Sample, list[dict[str, Any]] | str]]:
    for profile in LIBRARY.values():
        gateway = Gateway([profile], None)
        for sample in profile.samples:
            if sample.said is None:  # what it is told is no message of a device
                yield profile, sample, read(gateway, sample)


ALONE = list(alone())
KNOWN: Known = frozenset(
    (profile.id, said["address"]) for profile, _, found in ALONE if isinstance(found, list) for said in found
)


@pytest.fixture(scope="module")
def everything() -> Gateway:
    return Gateway(list(LIBRARY.values()), KNOWN)


def test_every_profile_has_a_device_here() -> None:
    assert {profile for profile, _ in KNOWN} == set(LIBRARY)


@pytest.mark.parametrize("profile_id", LIBRARY)
def test_its_samples_are_read_as_if_it_were_alone(profile_id: str, everything: Gateway) -> None:
    for profile, sample, expected in ALONE:
        if profile.id != profile_id or sample.params:
            continue
        found = read(everything, sample)
        if isinstance(expected, str):
            assert isinstance(found, str), f"{sample.name}: found {found}, expected the error {expected}"
        else:
            assert found == expected, sample.name


def test_a_name_is_one_type_in_all_profiles_of_a_family() -> None:
    """They share one measurement of the time series, and there a field has one type."""
    types: dict[tuple[str, str], set[str]] = {}
    for profile in LIBRARY.values():
        lasting = [name for name, event in profile.events.items() if event.lasting]
        for kind, names in (("number", profile.metrics), ("text", profile.states), ("boolean", lasting)):
            for name in names:
                types.setdefault((profile.family, name), set()).add(kind)
    assert {key: kinds for key, kinds in types.items() if len(kinds) > 1} == {}
