"""One field of a frame: how its bytes become a value, and how a value becomes its bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final, NamedTuple

from device_profiles.schema import StructField
from gateway.decode.errors import DecodeError

_CODES: Final = {
    "u8": "B",
    "u16": "H",
    "u32": "I",
    "u64": "Q",
    "i8": "b",
    "i16": "h",
    "i32": "i",
    "i64": "q",
    "f16": "e",
    "f32": "f",
    "f64": "d",
    "bool": "?",
}
_ODD: Final = {"u24": 3, "i24": 3, "u48": 6}
"""Whole numbers that `struct` does not know, and their bytes."""
SIZED: Final = frozenset({"bcd", "ascii", "text", "hex", "skip"})
UNSIGNED: Final = frozenset({"u8", "u16", "u24", "u32", "u48", "u64"})
_PADDING: Final = b"\0 "
_LARGEST_SIZE: Final = 65535

Turn = Callable[[bytes], Any]


class Packed(NamedTuple):
    """A field of fixed size: its `struct` code, and what turns what that unpacks into the value (None: nothing)."""

    code: str
    order: str
    """"<" or ">"; "" where it does not matter."""
    size: int
    turn: Turn | None = None


def is_number(type_: str) -> bool:
    return type_ in _CODES or type_ in _ODD


def number_size(type_: str) -> int:
    """Bytes of a number."""
    return _ODD[type_] if type_ in _ODD else struct.calcsize("<" + _CODES[type_])


def is_fixed(field: StructField) -> bool:
    """Whether a field has the same bytes in every frame."""
    return is_number(field.type) or (field.type in SIZED and isinstance(field.size, int))


def packed(field: StructField, endian: str) -> Packed:
    """How a field of fixed size is unpacked; raises ValueError."""
    if not is_number(field.type):
        size = fixed_size(field)
        return Packed(f"{size}x", "", size) if field.type == "skip" else Packed(f"{size}s", "", size, turn_of(field))
    order, size = field.endian or endian, number_size(field.type)
    if field.size not in (None, size) or field.prefix is not None:
        raise ValueError(f"expected no size and no prefix on a field of type {field.type}, found one")
    if size == 1:
        return Packed(_CODES[field.type], "", 1)
    if field.type in _CODES and (size == 2 or order in ("little", "big")):
        return Packed(_CODES[field.type], "<" if order in ("little", "byte_swapped") else ">", size)
    return Packed(f"{size}s", "", size, _number_turn(field.type, size, order))


def fixed_size(field: StructField) -> int:
    """The stated size of a bcd, ascii, text, hex or skip field; raises ValueError."""
    if field.type not in SIZED:
        known = ", ".join([*_CODES, *_ODD, *sorted(SIZED), "group", "switch"])
        raise ValueError(f"expected a field type of {known}, found {field.type!r}")
    if not isinstance(field.size, int) or not 1 <= field.size <= _LARGEST_SIZE:
        raise ValueError(f"expected size: 1 to {_LARGEST_SIZE} on a field of type {field.type}, found {field.size}")
    return field.size


def _number_turn(type_: str, size: int, order: str) -> Turn:
    permute = _permuted(size, order)
    if type_.startswith("f"):
        read = struct.Struct(">" + _CODES[type_]).unpack
        return lambda raw: read(permute(raw))[0]
    signed = type_.startswith("i")
    return lambda raw: int.from_bytes(permute(raw), "big", signed=signed)


def _permuted(size: int, order: str) -> Callable[[bytes], bytes]:
    """Bytes in this order -> big endian; and back, because each of the orders undoes itself."""
    if order == "big":
        return bytes
    if order == "little":
        return lambda raw: raw[::-1]
    if size % 2:
        raise ValueError(f"expected endian: big or little for {size} bytes, found {order}")
    places = reversed(range(size)) if order == "word_swapped" else range(size)
    pick = itemgetter(*(place ^ 1 for place in places))
    return lambda raw: bytes(pick(raw))


# --- texts -----------------------------------------------------------------------------------------------------------


def turn_of(field: StructField) -> Turn:
    """Bytes of any number -> the text of a bcd, ascii, text or hex field."""
    name = field.name or field.type
    if field.type == "hex":
        if field.endian == "little":
            return lambda raw: raw[::-1].hex().upper()
        return lambda raw: raw.hex().upper()
    if field.type == "bcd":
        return lambda raw: _digits(raw, name)
    encoding = "ascii" if field.type == "ascii" else field.encoding
    return lambda raw: _text(raw, encoding, name)


def _text(raw: bytes, encoding: str, name: str) -> str:
    try:
        return raw.rstrip(_PADDING).decode(encoding)
    except UnicodeDecodeError:
        raise DecodeError("malformed", field=name, found=raw[:32].hex(), expected=f"{encoding} text") from None


def _digits(raw: bytes, name: str) -> str:
    digits = raw.hex()
    if digits and not digits.isdigit():
        raise DecodeError("malformed", field=name, found=digits[:64], expected="decimal digits")
    return digits


# --- backwards -------------------------------------------------------------------------------------------------------


def pack(field: StructField, endian: str, value: Any) -> bytes:
    """The bytes of this value, padded to the field's size where it has one; None is zero. Raises ValueError."""
    if is_number(field.type):
        return _pack_number(field, endian, value)
    if field.type == "skip" or value is None:
        return bytes(field.size if isinstance(field.size, int) else 0)
    raw = _pack_text(field, str(value))
    if isinstance(field.size, int):
        if field.type in ("ascii", "text"):
            raw = raw.ljust(field.size, b"\0")
        if len(raw) != field.size:
            raise ValueError(f"expected {field.size} bytes for {field.name or field.type}, found {value!r}")
    return raw[::-1] if field.type == "hex" and field.endian == "little" else raw


def _pack_text(field: StructField, text: str) -> bytes:
    try:
        if field.type in ("hex", "bcd"):
            return bytes.fromhex(text)
        return text.encode("ascii" if field.type == "ascii" else field.encoding)
    except ValueError as error:
        raise ValueError(f"expected {field.name or field.type} as {field.type}, found {text!r}") from error


def _pack_number(field: StructField, endian: str, value: Any) -> bytes:
    how = packed(field, endian)
    try:
        number = _number(field.type, value)
        if how.turn is None:
            return struct.pack((how.order or ">") + how.code, number)
        if field.type in _CODES:
            raw = struct.pack(">" + _CODES[field.type], number)
        else:
            raw = int(number).to_bytes(how.size, "big", signed=field.type.startswith("i"))
    except (struct.error, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"expected {field.name or field.type} to fit {field.type}, found {value!r}") from error
    return _permuted(how.size, field.endian or endian)(raw)


def _number(type_: str, value: Any) -> float | int:
    if value is None:
        return 0
    if type_ == "bool":
        return bool(value)
    if type_.startswith("f"):
        return float(value)
    return value if type(value) is int else round(float(value))
