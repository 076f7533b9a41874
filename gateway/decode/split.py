"""`split:` compiled: one message that holds many. Each element is taken as a message of its own.

Atomic: an element that cannot be decoded refuses the whole message, and nothing of it is taken. Half a message in the
quarantine could not be replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from device_profiles.schema import Split
from gateway.decode.elements import Elements, check_count, elements_of, zipped_objects
from gateway.decode.errors import DecodeError
from gateway.decode.paths import parse_path
from gateway.decode.pipeline import wire_word
from gateway.decode.scope import Scope, lenient_scope_getter
from gateway.reading import Millis, Quality, Reading

MOST_LOOKING_BACK = 64
"""Elements that may each fan out over the whole message once more."""
MOST_AT_ONCE = 100
"""Readings of one identity in one message."""

Splitter = Callable[[Scope], list[Scope]]


def splitter(splits: tuple[Split, ...]) -> Splitter:
    """A closure from a whole payload to the scopes of its elements, level by level. An element that is null says
    nothing. Raises ValueError."""
    levels = [(_name_of(split), split.capture, _elements(split), _namer(split.named)) for split in splits]

    def split_up(scope: Scope) -> list[Scope]:
        scopes = [scope]
        for over, capture, elements, name in levels:
            found = [element for outer in scopes for element in elements(outer) if element.node is not None]
            check_count(over, len(found))
            if capture is not None:
                for element in found:
                    element.captures = {**element.captures, capture: name(element)}
            scopes = found
        return scopes

    return split_up


def _name_of(split: Split) -> str:
    return ", ".join(split.zip) if split.over is None else split.over


def _elements(split: Split) -> Elements:
    if (split.over is None) != bool(split.zip):
        raise ValueError("expected over or zip in split, found " + ("neither" if split.over is None else "both"))
    return zipped_objects(split.zip) if split.over is None else elements_of(split.over, split.elements)


def _namer(path: str | None) -> Callable[[Scope], str]:
    """How an element is captured: by what stands at `path` in it, or by its key or position."""
    if path is None:
        return lambda element: element.key
    get = lenient_scope_getter(parse_path(path))

    def name(element: Scope) -> str:
        found = get(element)
        return wire_word(found) if isinstance(found, str | int | float) else element.key

    return name


def joined(readings: Iterable[Reading]) -> list[Reading]:
    """Readings of one message without two of one identity, which would overwrite each other when they are stored.

    Two that do not contradict each other become one; of two that do, the later one counts as measured a millisecond
    later.
    """
    out: dict[tuple[str, str, Millis, str], Reading] = {}
    for reading in readings:
        identity = (reading.device, reading.child, reading.measured_at, reading.binding)
        found = reading
        bumps = 0
        while (before := out.get(identity)) is not None:
            if _agree(before.values, found.values):
                found = _merged(before, found)
                break
            if (bumps := bumps + 1) > MOST_AT_ONCE:
                raise DecodeError(
                    "too_many",
                    field=reading.child or "measured_at",
                    found=f"more than {MOST_AT_ONCE} readings of one time that contradict each other",
                    expected="one reading of a device or child at a time",
                )
            found = msgspec.structs.replace(found, measured_at=found.measured_at + 1)
            identity = (found.device, found.child, found.measured_at, found.binding)
        out[identity] = found
    return list(out.values())


def _agree(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[name] == value for name, value in other.items() if name in one)


def _merged(one: Reading, other: Reading) -> Reading:
    return msgspec.structs.replace(
        one,
        values={**one.values, **other.values},
        events=one.events + other.events,
        quality=other.quality if one.quality is Quality.GOOD else one.quality,
        flags={**one.flags, **other.flags},
        presence=other.presence or one.presence,
        replies=one.replies + other.replies,
    )
