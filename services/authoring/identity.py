"""Which device a message is from: a level of its topic, or a key of its payload that names it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from services.authoring import ids
from services.authoring.capture import Message

_DEVICE_KEYS = tuple(
    """
    deviceid devid devicename deviceno devno imei mac macaddress sn serialno deveui chargerid stationid devicecode uuid
    uid addr address mn did device camera door station name id
    """.split()  # noqa: SIM905 -- in this order
)
_OF_MESSAGES = frozenset({"uuid", "uid", "id", "name"})
"""Keys that name a message as often as a device: only a name that comes again is a device's."""
_NUMBERED = ids.words("code no num number device dev tag")
_OF_STATES = ids.words("error err fault alarm status state result event warning mode type product model reason")
_SERIAL = re.compile(r"(?=\D*\d)[A-Za-z0-9][A-Za-z0-9:_.-]{4,63}")
_DEEPEST = 3
_MOST_LOOKED_AT = 100


class Claim(NamedTuple):
    """A key of a payload that names a device."""

    path: tuple[str, ...]
    value: str


def is_serial(key: str, seen: Sequence[str]) -> bool:
    """Whether these texts are serial numbers: `deviceCode: KS1001`, never those of an `errorCode`."""
    words = ids.identifier(key, "").split("_")
    if words[-1] not in _NUMBERED or set(words) & _OF_STATES:
        return False
    return all(_SERIAL.fullmatch(text.strip()) for text in seen)


def rank(path: str) -> int:
    """How clearly the last key of a path names a device; 9 where it does not."""
    last = re.sub(r"[^a-z0-9]", "", path.rpartition(".")[2].lower())
    return min(_DEVICE_KEYS.index(last), 8) if last in _DEVICE_KEYS else 9


def address_of(names: Sequence[tuple[str, list[Any]]]) -> str | None:
    """The template of the address: the key that is most clearly one of a device."""
    ranked = sorted(names, key=lambda one: (rank(one[0]), one[0].count("."), len(one[0])))
    for path, seen in ranked:
        if rank(path) < 9 and re.fullmatch(r"[\w.-]+", path) and _comes_again(path, seen):
            return f"{{{path}}}"
    return None


def _comes_again(path: str, seen: Sequence[Any]) -> bool:
    if path.rpartition(".")[2].lower() not in _OF_MESSAGES:
        return True
    return len({str(one) for one in seen}) * 2 <= len(seen) + 1


def claims_of(payload: bytes) -> list[Claim]:
    """What a payload says about who sent it."""
    try:
        root = json.loads(payload)
    except (ValueError, RecursionError):
        return []
    return list(_claims(root, ()))


def _claims(node: Any, at: tuple[str, ...]) -> Iterator[Claim]:
    if not isinstance(node, dict) or len(at) > _DEEPEST:
        return
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _claims(value, (*at, key))
        elif isinstance(value, str) and rank(key) < 9:
            yield Claim((*at, key), value)


def named_in_payloads(heard: Mapping[str, Sequence[Message]]) -> frozenset[str]:
    """Levels of the topics that their payloads name as a device: `face/KS1001/Rec` with `{"deviceCode": "KS1001"}`."""
    found: set[str] = set()
    for topic, messages in heard.items():
        levels = {level for level in topic.split("/") if len(level) > 2 and not ids.is_word(level)}
        for message in messages[:_MOST_LOOKED_AT]:
            found |= levels & {one.value for one in claims_of(message.payload)}
    return frozenset(one for one in found if not ids.is_number(one))


def only_in_payloads(heard: Mapping[str, Sequence[Message]]) -> bool:
    """Whether every message names its device by a serial number, under one key for each topic."""
    return bool(heard) and all(_told_by(messages[:_MOST_LOOKED_AT]) for messages in heard.values())


def _told_by(messages: Sequence[Message]) -> bool:
    said = [{one.path: one.value for one in claims_of(message.payload)} for message in messages]
    shared = set.intersection(*(set(one) for one in said)) if said else set()
    return any(
        path[-1].lower() not in _OF_MESSAGES and all(_SERIAL.fullmatch(one[path]) for one in said) for path in shared
    )
