"""A message as a command: the encoder backwards. For simulated devices, and to tell a command from what devices say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from device_profiles.schema import Command, DeviceProfile, Scalar
from gateway.decode.errors import DecodeError
from gateway.decode.frames import Suspect, frame_decoder
from gateway.decode.templates import Slot, parse_template
from gateway.reading import child_id

Slots = dict[str, Any]


class Heard(NamedTuple):
    """A command as a device hears it."""

    command: str
    child: str
    params: dict[str, Scalar]
    slots: Slots
    """Everything that its templates held: address, key, nonce, captures of the topic."""


def recognise(profile: DeviceProfile, topic: str, payload: bytes) -> Heard | None:
    """The first command of the profile that would give this message; None where none would."""
    for name, command in profile.commands.items():
        slots = _slots_of(command, topic, payload)
        if slots is not None:
            key = slots.get("key")
            child = child_id(command.scope, key) if command.scope is not None and key is not None else ""
            params = {one: slots.get(one, param.default) for one, param in command.params.items()}
            return Heard(name, child, params, slots)
    return None


def filters_of(profile: DeviceProfile, address: str) -> Iterator[str]:
    """Where a device of this address hears its commands, as MQTT filters."""
    for command in profile.commands.values():
        levels = command.topic.replace("{address}", address).split("/")
        yield "/".join("+" if "{" in level else level for level in levels)


def _slots_of(command: Command, topic: str, payload: bytes) -> Slots | None:
    slots: Slots = {}
    if not _fits(command.topic, topic, slots):
        return None
    try:
        return slots if _payload_fits(command, payload, slots) else None
    except (msgspec.DecodeError, UnicodeDecodeError, DecodeError):
        return None


def _payload_fits(command: Command, payload: bytes, slots: Slots) -> bool:
    if command.json_ is not None:
        return _fits(command.json_, msgspec.json.decode(payload), slots)
    if command.struct is not None:
        frame = frame_decoder(command.struct.layout)(payload)
        fields = frame.value if isinstance(frame, Suspect) else frame
        return all(_fits(value, fields.get(name), slots) for name, value in command.struct.values.items())
    if command.hex is not None:
        return _fits(command.hex.replace(" ", "").lower(), payload.hex(), slots)
    return _fits(command.text or "", payload.decode(), slots)


def _fits(pattern: Any, found: Any, slots: Slots) -> bool:
    """Whether `found` is what a structure of templates gives; what its slots held goes into `slots`."""
    if isinstance(pattern, Mapping):
        return isinstance(found, Mapping) and _object_fits(pattern, found, slots)
    if isinstance(pattern, list | tuple):
        same = isinstance(found, list | tuple) and len(pattern) == len(found)
        return same and all(_fits(one, other, slots) for one, other in zip(pattern, found, strict=True))
    if not isinstance(pattern, str) or "{" not in pattern:
        return bool(pattern == found)
    return _template_fits(pattern, found, slots)


def _object_fits(pattern: Mapping[str, Any], found: Mapping[str, Any], slots: Slots) -> bool:
    """Keys that are templates stand for the keys that no other names, in their order."""
    rest = [key for key in found if key not in pattern]
    templates = [key for key in pattern if key not in found]
    if len(rest) != len(templates) or not all("{" in key for key in templates):
        return False
    pairs = [*((key, key) for key in pattern if key in found), *zip(templates, rest, strict=True)]
    return all(_fits(one, other, slots) and _fits(pattern[one], found[other], slots) for one, other in pairs)


def _template_fits(pattern: str, found: Any, slots: Slots) -> bool:
    template = parse_template(pattern)
    if len(template.parts) == 1 and isinstance(template.parts[0], Slot):
        return _bind(template.parts[0], found, slots)
    try:
        held = template.invert(str(found))
    except ValueError:
        return False
    return all(slots.setdefault(name, text) == text for name, text in held.items())


def _bind(slot: Slot, found: Any, slots: Slots) -> bool:
    if found is None:
        return False
    value = found
    if slot.counted:
        if not isinstance(found, int):
            return False
        value = str(found - slot.plus)
    elif slot.name == "key":
        value = str(found)
    return bool(slots.setdefault(slot.name, value) == value)
