"""Frames of keys and values: a layout for each key, one after the other to the frame's end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from device_profiles.schema import TlvEntry, TlvLayout
from gateway.decode.errors import DecodeError, shown
from gateway.decode.frames import LARGEST_COUNT, Suspect
from gateway.decode.frames.decoder import compile_checks, trailing_check_bytes
from gateway.decode.frames.steps import Reader, Step, advance, compile_fields

MOST_KEYS: Final = LARGEST_COUNT
"""Keys in one frame."""
_MOST_REMEMBERED: Final = 1024
"""Keys whose pattern has been found once and need not be looked for again."""


class _Entry(NamedTuple):
    """What follows one key."""

    steps: list[Step]
    only: Step | None
    """The one step, where there is no more to do than to take it."""
    into: str | None
    many: bool
    key_as: str | None
    key_value: int


class _Pattern(NamedTuple):
    """A key with `?` digits."""

    mask: int
    wanted: int
    wild: int
    entry: _Entry


def tlv_decoder(layout: TlvLayout) -> Callable[[Any], Any]:
    """Compile a layout; raises ValueError for one that cannot be."""
    if layout.unknown == "skip" and not layout.length_bytes:
        raise ValueError("expected length_bytes with unknown: skip (nothing else says where an unknown key ends)")
    look_up = _Keys(layout).find
    checks = compile_checks(layout.integrity)
    trailing = trailing_check_bytes(layout.integrity)
    key_bytes, skip, value_end = layout.key_bytes, layout.skip, _value_end(layout)
    on_unknown = layout.unknown

    def decode(frame: Any) -> Any:
        if type(frame) is not bytes:
            raise DecodeError("wrong_type", found=shown(frame), expected="bytes for keys and values")
        sound = True
        for check in checks:
            sound = check(frame) and sound
        limit = max(len(frame) - trailing, 0)
        out: dict[str, Any] = {}
        reader, at, left = Reader(frame, limit, limit), skip, MOST_KEYS
        while at < limit:
            key = frame[at : at + key_bytes]
            entry = look_up(key)
            if entry is None and on_unknown != "skip":
                if on_unknown == "flag" and out:
                    return Suspect(out)
                raise DecodeError(
                    "unknown_key",
                    field=key.hex(),
                    found=f"{key.hex()} at byte {at}",
                    expected="a key that the layout lists",
                )
            if (left := left - 1) < 0:
                raise DecodeError("too_many", field="keys", found=f"more than {MOST_KEYS}", expected="fewer")
            at += key_bytes
            if value_end is not None:
                at, end = value_end(frame, at, limit)
                reader.end = reader.limit = end
                if entry is not None:
                    _take(entry, reader, at, out)
                at = end
            elif entry is not None:
                at = entry.only(reader, at, out) if entry.only is not None else _take(entry, reader, at, out)
        if at > limit:
            raise DecodeError("truncated", found=f"{len(frame)} bytes", expected=f"at least {at}")
        return out if sound else Suspect(out)

    return decode


def _take(entry: _Entry, reader: Reader, at: int, out: dict[str, Any]) -> int:
    """Read what follows a key, into the frame's object or into one of its own; the position after it."""
    name = entry.into
    if name is None:
        if entry.key_as is not None:
            out[entry.key_as] = entry.key_value
        return advance(entry.steps, reader, at, out)
    inner: dict[str, Any] = {}
    if entry.key_as is not None:
        inner[entry.key_as] = entry.key_value
    reader.around.append(out)
    at = advance(entry.steps, reader, at, inner)
    reader.around.pop()
    if entry.many:
        out.setdefault(name, []).append(inner)
    else:
        out.setdefault(name, {}).update(inner)
    return at


def _value_end(layout: TlvLayout) -> Callable[[bytes, int, int], tuple[int, int]] | None:
    """Reads the length between key and value: -> (where the value begins, where it ends)."""
    width = layout.length_bytes
    if not width:
        return None
    order: Any = "big" if layout.endian == "big" else "little"

    def read(frame: bytes, at: int, limit: int) -> tuple[int, int]:
        begins = at + width
        ends = begins + int.from_bytes(frame[at:begins], order)
        if begins > limit or ends > limit:
            raise DecodeError("truncated", field="length", found=f"{limit} bytes", expected=f"at least {ends}")
        return begins, ends

    return read


class _Keys:
    """The entries by their keys; those with `?` digits are tried in order, after the plain ones."""

    def __init__(self, layout: TlvLayout) -> None:
        self._plain: dict[bytes, _Entry] = {}
        self._patterns: list[_Pattern] = []
        self._found: dict[bytes, _Entry] = {}
        for key, entry in layout.entries.items():
            self._add(key.replace(" ", "").lower(), entry, layout)
        self._key_bytes = layout.key_bytes
        self.find: Callable[[bytes], _Entry | None] = self._search if self._patterns else self._plain.get

    def _add(self, digits: str, entry: TlvEntry, layout: TlvLayout) -> None:
        if len(digits) != 2 * layout.key_bytes or not set(digits) <= set("0123456789abcdef?"):
            raise ValueError(f"expected a key of {2 * layout.key_bytes} hex digits (? for any), found {digits!r}")
        if entry.many and entry.into is None:
            raise ValueError(f"expected into beside many at the key {digits}")
        if entry.key_as is not None and "?" not in digits:
            raise ValueError(f"expected ? digits in the key {digits}, because it has key_as")
        steps = compile_fields(entry.fields, layout.endian)
        alone = steps[0] if len(steps) == 1 and entry.into is None and entry.key_as is None else None
        if alone is not None and any(field.optional for field in entry.fields):
            alone = None
        compiled = _Entry(steps, alone, entry.into, entry.many, entry.key_as, 0)
        if "?" not in digits:
            self._plain[bytes.fromhex(digits)] = compiled
            return
        mask, wild = (
            int("".join("f" if (digit == "?") is wanted else "0" for digit in digits), 16) for wanted in (False, True)
        )
        self._patterns.append(_Pattern(mask, int(digits.replace("?", "0"), 16), wild, compiled))

    def _search(self, key: bytes) -> _Entry | None:
        found = self._plain.get(key) or self._found.get(key)
        if found is not None:
            return found
        if len(key) < self._key_bytes:
            return None
        number = int.from_bytes(key, "big")
        for mask, wanted, wild, entry in self._patterns:
            if number & mask == wanted:
                if len(self._found) >= _MOST_REMEMBERED:
                    self._found.clear()
                return self._found.setdefault(key, entry._replace(key_value=_gathered(number, wild)))
        return None


def _gathered(number: int, wild: int) -> int:
    """The digits of a number that the mask covers, put together."""
    value, at = 0, 0
    while wild:
        if wild & 0xF:
            value |= (number & 0xF) << at
            at += 4
        number >>= 4
        wild >>= 4
    return value
