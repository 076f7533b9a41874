"""A command as a message: topic and payload from the templates of the profile. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from device_profiles.schema import Command, DeviceProfile
from gateway.decode.frame_encode import encode_frame
from gateway.decode.templates import Slot, parse_template
from gateway.reading import DeviceEntry, Millis, Value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_TOPIC = 1024
_HEX = re.compile(r"(?:[0-9a-f]{2})*", re.IGNORECASE)


class CommandMistake(ValueError):
    """The command cannot be made into a message; the text says what was found and what was expected."""


def encode_command(
    profile: DeviceProfile,
    command: str,
    device: DeviceEntry,
    child: str,
    params: Mapping[str, Value],
    *,
    id: str,
    nonce: int,
    captures: Mapping[str, str],
    now: Millis,
) -> tuple[str, bytes]:
    """(topic, payload). `captures` are those of the topics that the device speaks on. Raises CommandMistake."""
    declared = profile.commands.get(command)
    if declared is None:
        raise CommandMistake(f"found the command {command!r}, expected one of {', '.join(profile.commands) or 'none'}")
    said: dict[str, Value] = {"address": device.address, "key": child.partition(":")[2], "id": id, "nonce": nonce}
    values = _slot_values(
        profile, declared, device, captures, {**said, "nonce_text": str(nonce), **_times(now)}, params
    )
    try:
        return _topic(declared, values), _payload(declared, values)
    except CommandMistake:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise CommandMistake(str(error)) from error


def _slot_values(
    profile: DeviceProfile,
    command: Command,
    device: DeviceEntry,
    captures: Mapping[str, str],
    said: Mapping[str, Value],
    params: Mapping[str, Value],
) -> dict[str, Value]:
    """What the slots of a command's templates stand for; the command's own params come before all others."""
    return {
        "site": device.site,
        **captures,
        **{name: param.default for name, param in profile.params.items()},
        **device.params,
        **said,
        **{name: param.default for name, param in command.params.items()},
        **params,
    }


def _times(now: Millis) -> dict[str, Value]:
    moment = _EPOCH + timedelta(milliseconds=now)
    iso = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"now_s": now // 1000, "now_ms": now, "now_iso": iso}


def fill(template: str, values: Mapping[str, Value]) -> Value:
    """A template with its slots filled; one slot alone keeps the type of its value. Raises CommandMistake."""
    if "{" not in template and "}" not in template:
        return template
    parts = parse_template(template).parts
    if len(parts) == 1 and isinstance(parts[0], Slot):
        return _value(parts[0], values)
    return "".join(part if isinstance(part, str) else _word(_value(part, values)) for part in parts)


def _value(slot: Slot, values: Mapping[str, Value]) -> Value:
    value = values.get(slot.name)
    if value is None:
        raise CommandMistake(
            f"found nothing for {{{slot.name}}}, expected a param, a capture of a topic that the device has spoken on, "
            f"or one of address, key, nonce, nonce_text, id, now_s, now_ms, now_iso"
        )
    if not slot.counted:
        return value
    try:
        return int(value) + slot.plus
    except ValueError as error:
        raise CommandMistake(f"{slot.name}: found {value!r}, expected a whole number to count from") from error


def _word(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _topic(command: Command, values: Mapping[str, Value]) -> str:
    """Values off the wire and out of forms must not lead elsewhere: no wildcards, and no levels made up by a person."""
    for slot in parse_template(command.topic).slots if "{" in command.topic else ():
        word = _word(_value(slot, values))
        bad = "+#\0/" if slot.name in command.params else "+#\0"
        if not word or not word.isprintable() or not set(bad).isdisjoint(word):
            raise CommandMistake(
                f"{slot.name}: found {word!r}, expected printable characters without {bad[:2]} in a topic"
            )
    topic = _word(fill(command.topic, values))
    if len(topic) > _LONGEST_TOPIC or not {"+", "#"}.isdisjoint(topic):
        raise CommandMistake(f"found the topic {topic[:80]!r}, expected one without wildcards")
    return topic


def _payload(command: Command, values: Mapping[str, Value]) -> bytes:
    if command.json_ is not None:
        return msgspec.json.encode(filled(command.json_, values))
    if command.struct is not None:
        return encode_frame(command.struct.layout, filled(command.struct.values, values))
    if command.hex is not None:
        digits = _word(fill(command.hex, values)).replace(" ", "")
        if not _HEX.fullmatch(digits):
            raise CommandMistake(f"found {digits[:80]!r}, expected hex digits, two for each byte")
        return bytes.fromhex(digits)
    return _word(fill(command.text or "", values)).encode()


def _key(key: Any, values: Mapping[str, Value]) -> str:
    """What a person names may be the key itself, such as a property to set."""
    return _word(fill(str(key), values))


def filled(structure: Any, values: Mapping[str, Value]) -> Any:
    """Any structure with the templates in its texts and keys filled. Raises CommandMistake."""
    if isinstance(structure, str):
        return fill(structure, values)
    if isinstance(structure, Mapping):
        named = {_key(key, values): filled(value, values) for key, value in structure.items()}
        if len(named) < len(structure):
            raise CommandMistake(f"found the same key twice among {', '.join(named)[:80]}, expected different ones")
        return named
    if isinstance(structure, list | tuple):
        return [filled(value, values) for value in structure]
    return structure
