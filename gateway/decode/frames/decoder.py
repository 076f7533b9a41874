"""A struct layout as one function from bytes to an object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from device_profiles.schema import Integrity, StructLayout
from gateway.decode.errors import DecodeError, shown
from gateway.decode.frames.steps import ABSENT, Reader, compile_fields
from gateway.decode.frames.values import is_fixed, packed
from gateway.decode.integrity import checker

_CHECK_WORDS: Final = ("check", "sum", "crc", "xor", "bcc", "lrc", "fcs", "cs")
"""What a field that holds a check is called, or begins with."""
_MOST_CHECKS: Final = 8


class Suspect(NamedTuple):
    """A decoded frame whose integrity check failed, accepted because the profile says so."""

    value: Any


def frame_decoder(layout: StructLayout) -> Callable[[Any], Any]:
    """Compile a layout; raises ValueError for one that cannot be."""
    steps = compile_fields(layout.fields, layout.endian)
    checks = compile_checks(layout.integrity)
    trailing = trailing_check_bytes(layout.integrity)
    named = names_its_check(layout)
    ignore_tail = layout.tail == "ignore"

    def decode(frame: Any) -> Any:
        if type(frame) is not bytes:
            raise DecodeError("wrong_type", found=shown(frame), expected="bytes for a struct")
        sound = True
        for check in checks:
            sound = check(frame) and sound
        end = len(frame)
        limit = end - trailing if end >= trailing else end
        out: dict[str, Any] = {}
        reader = Reader(frame, end if named else limit, limit)
        at = 0
        for step in steps:
            at = step(reader, at, out)
            if at == ABSENT:
                at = limit
                break
        if at != limit and not ignore_tail and not (named and at == end):
            raise DecodeError(
                "malformed", found=f"{limit - at} more bytes after the last field", expected=f"a frame of {at} bytes"
            )
        return out if sound else Suspect(out)

    return decode


def compile_checks(checks: tuple[Integrity, ...]) -> list[Callable[[bytes], bool]]:
    """The checks of a frame, cheapest to fail first; raises ValueError."""
    if len(checks) > _MOST_CHECKS:
        raise ValueError(f"expected at most {_MOST_CHECKS} integrity checks, found {len(checks)}")
    return [checker(check) for check in sorted(checks, key=lambda check: check.kind != "length")]


def trailing_check_bytes(checks: tuple[Integrity, ...]) -> int:
    """Bytes at the end, from the first check that is placed from there, that belong to no field."""
    return max((-check.offset for check in checks if check.offset < 0), default=0)


def names_its_check(layout: StructLayout) -> bool:
    """A layout may leave the check at the end out, or name it: `crc`, `checksum`, with a terminator behind it or not.
    Then, and only then, fields go on over it."""
    trailing, found = trailing_check_bytes(layout.integrity), 0
    for field in reversed(layout.fields):
        if found >= trailing or field.optional or field.count is not None or not is_fixed(field):
            return False
        found += packed(field, layout.endian).size
        if found == trailing:
            return any(word.startswith(_CHECK_WORDS) for word in (field.name or "").lower().split("_"))
    return False
