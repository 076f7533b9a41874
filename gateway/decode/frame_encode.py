"""Struct layouts run backwards: a dict of raw fields becomes a frame with its lengths and checksums."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from device_profiles.schema import StructField, StructLayout, When
from gateway.decode.frames import NUMBERS, TO_THE_END, fixed_size, trailing_check_bytes, unturn


def encode_frame(layout: StructLayout, fields: Mapping[str, Any], when: When | None = None) -> bytes:
    """The frame of these raw fields; counts come from their arrays, absent fields are zero, optional ones stop.

    What `when` demands of the bytes (a command code in the prefix) is put in. Raises ValueError for a value that does
    not fit.
    """
    known = {**_counts(layout.fields, fields), **fields}
    frame = bytearray(_encode(layout.fields, known, layout.endian) + bytes(trailing_check_bytes(layout)))
    if when is not None:
        _demand(frame, when)
    for check in sorted(layout.integrity, key=lambda check: check.kind):  # lengths first: sums cover them
        at = check.offset if check.offset >= 0 else len(frame) + check.offset
        value = sum(frame[check.start : at]) & 0xFFFF if check.kind == "sum16" else len(frame) - check.counts_from
        struct.pack_into("<H" if check.endian == "little" else ">H", frame, at, value)
    return bytes(frame)


def _demand(frame: bytearray, when: When) -> None:
    digits = list(frame.hex())
    for i, digit in enumerate((when.prefix or "").replace(" ", "").lower()[: len(digits)]):
        if digit != "?":
            digits[i] = digit
    frame[:] = bytes.fromhex("".join(digits))
    if when.at is not None and when.byte is not None and -len(frame) <= when.at < len(frame):
        frame[when.at] = when.byte


def _counts(fields: tuple[StructField, ...], given: Mapping[str, Any]) -> dict[str, int]:
    return {
        field.count: len(given.get(field.name or "") or ())
        for field in fields
        if isinstance(field.count, str) and field.count != TO_THE_END
    }


def _encode(fields: tuple[StructField, ...], given: Mapping[str, Any], endian: str) -> bytes:
    out = bytearray()
    last = max((i for i, field in enumerate(fields) if field.name in given), default=-1)
    for i, field in enumerate(fields):
        if field.optional and i > last:
            break
        out += _field(field, given, endian)
    return bytes(out)


def _field(field: StructField, given: Mapping[str, Any], endian: str) -> bytes:
    if field.type == "skip":
        return bytes(fixed_size(field))
    value = given.get(field.name or "")
    if field.count is None:
        return _one(field, value, endian)
    items = list(value or ())
    if isinstance(field.count, int) and len(items) != field.count:
        items = [*items, *[None] * field.count][: field.count]
    return b"".join(_one(field, item, endian) for item in items)


def _one(field: StructField, value: Any, endian: str) -> bytes:
    if value is None:
        value = field.const
    if field.type == "group":
        inner = dict(value or {})
        return _encode(field.fields, {**_counts(field.fields, inner), **inner}, endian)
    if field.type in NUMBERS:
        number = 0 if value is None else float(value) if field.type.startswith("f") else round(float(value))
        try:
            return struct.pack(("<" if (field.endian or endian) == "little" else ">") + NUMBERS[field.type], number)
        except (struct.error, OverflowError) as error:
            raise ValueError(f"expected {field.name or field.type} to fit {field.type}, found {value!r}") from error
    return bytes(fixed_size(field)) if value is None else unturn(field, value)
