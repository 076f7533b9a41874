"""Struct layouts run backwards: a dict of raw fields becomes a frame with its lengths, sizes and checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from device_profiles.schema import StructField, StructLayout, When
from gateway.decode.frames.decoder import names_its_check, trailing_check_bytes
from gateway.decode.frames.steps import TO_THE_END, whole_number
from gateway.decode.frames.values import pack
from gateway.decode.integrity import put_checks


def encode_frame(layout: StructLayout, fields: Mapping[str, Any], when: When | None = None) -> bytes:
    """The frame of these raw fields; counts and sizes come from what they count, absent fields are zero, optional ones
    stop.

    What `when` demands of the bytes (a command code in the prefix) is put in. Raises ValueError for a value that does
    not fit.
    """
    known = {**_counts(layout.fields, fields, layout.endian), **fields}
    trailing = 0 if names_its_check(layout) else trailing_check_bytes(layout.integrity)
    frame = bytearray(_encode(layout.fields, known, layout.endian) + bytes(trailing))
    if when is not None:
        _demand(frame, when)
    put_checks(layout.integrity, frame)
    return bytes(frame)


def _demand(frame: bytearray, when: When) -> None:
    digits = list(frame.hex())
    for i, digit in enumerate((when.prefix or "").replace(" ", "").lower()[: len(digits)]):
        if digit != "?":
            digits[i] = digit
    frame[:] = bytes.fromhex("".join(digits))
    if when.at is not None and when.byte is not None and -len(frame) <= when.at < len(frame):
        frame[when.at] = when.byte


def _counts(fields: tuple[StructField, ...], given: Mapping[str, Any], endian: str) -> dict[str, int]:
    """The fields that say how many of something follow, or how many bytes."""
    counts: dict[str, int] = {}
    for field in fields:
        value = given.get(field.name or "")
        if isinstance(field.count, str) and field.count != TO_THE_END:
            counts[field.count] = len(value or ())
        elif isinstance(field.size, str) and field.size != TO_THE_END:
            counts[field.size] = len(pack(field, endian, value))
        for case in field.cases.values():
            counts |= {name: n for name, n in _counts(case, given, endian).items() if n}
    return counts


def _encode(fields: tuple[StructField, ...], given: Mapping[str, Any], endian: str) -> bytes:
    out = bytearray()
    last = max((i for i, field in enumerate(fields) if field.name in given), default=-1)
    for i, field in enumerate(fields):
        if field.optional and i > last:
            break
        out += _field(field, fields, given, endian)
    return bytes(out)


def _field(field: StructField, fields: tuple[StructField, ...], given: Mapping[str, Any], endian: str) -> bytes:
    if field.type == "switch":
        return _encode(_case(field, fields, given), given, endian)
    value = given.get(field.name or "")
    if field.count is None:
        return _one(field, _joined(field, given) if value is None else value, endian)
    items = list(value or ())
    if isinstance(field.count, int) and len(items) != field.count:
        items = [*items, *[None] * field.count][: field.count]
    return b"".join(_one(field, item, endian) for item in items)


def _joined(field: StructField, given: Mapping[str, Any]) -> int | None:
    """A number from its bits and flags, where they are given instead of it."""
    if not any(name in given for name in (*field.bits, *field.flags)):
        return None
    number = 0
    for name, bit in field.bits.items():
        number |= (int(given.get(name) or 0) & (1 << bit.width) - 1) << bit.start
    for i, flag in enumerate(field.flags):
        number |= bool(flag and given.get(flag)) << i
    return number


def _case(field: StructField, fields: tuple[StructField, ...], given: Mapping[str, Any]) -> tuple[StructField, ...]:
    chooser = next((one for one in fields if one.name == field.on), None)
    value = given.get(field.on or "", chooser.const if chooser is not None else None)
    for key, case in field.cases.items():
        if key == str(value) or (value is not None and whole_number(key) == value):
            return case
    if TO_THE_END in field.cases:
        return field.cases[TO_THE_END]
    raise ValueError(f"expected one of {', '.join(field.cases)} as {field.on}, found {value!r}")


def _one(field: StructField, value: Any, endian: str) -> bytes:
    if value is None:
        value = field.const
    if field.type == "group":
        inner = dict(value or {})
        return _encode(field.fields, {**_counts(field.fields, inner, endian), **inner}, endian)
    raw = pack(field, endian, value)
    if field.prefix is None:
        return raw
    own = None if field.type == "hex" else field.endian
    length = StructField(name=f"length of {field.name}", type=field.prefix, endian=own)
    return pack(length, endian, len(raw)) + raw
