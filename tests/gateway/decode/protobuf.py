"""Protobuf written by hand, by the field numbers of the Sparkplug B specification: no descriptor of the product's."""

from __future__ import annotations

import struct
from typing import Any

_DATATYPES = {"Int8": 1, "Int16": 2, "Int32": 3, "Int64": 4, "UInt8": 5, "UInt16": 6, "UInt32": 7, "UInt64": 8}
_DATATYPES |= {"Float": 9, "Double": 10, "Boolean": 11, "String": 12, "DateTime": 13, "Text": 14, "UUID": 15}
_DATATYPES |= {"DataSet": 16, "Bytes": 17, "File": 18, "Template": 19, "Int8Array": 22, "Int16Array": 23}
_DATATYPES |= {"DoubleArray": 31, "BooleanArray": 32, "StringArray": 33}


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bool | bytes | str | None) -> bytes:
    """A varint, or bytes with their length; nothing for None."""
    if value is None:
        return b""
    if isinstance(value, int):
        return varint(number << 3) + varint(value & (1 << 64) - 1)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def float_(number: int, value: float) -> bytes:
    return varint(number << 3 | 5) + struct.pack("<f", value)


def double(number: int, value: float) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<d", value)


def metric(name: str | None = None, alias: int | None = None, type_: str | None = None, **more: Any) -> bytes:
    """`value` is one of int_ long float double boolean text bytes_ dataset template; also at, historical, null."""
    raw = field(1, name) + field(2, alias) + field(3, more.get("at"))
    raw += (
        field(4, _DATATYPES[type_] if type_ else None) + field(5, more.get("historical")) + field(7, more.get("null"))
    )
    raw += field(9, more.get("properties"))
    numbers = {"int_": 10, "long": 11, "boolean": 14, "text": 15, "bytes_": 16, "dataset": 17, "template": 18}
    for key, number in numbers.items():
        raw += field(number, more.get(key))
    if "float" in more:
        raw += float_(12, more["float"])
    if "double" in more:
        raw += double(13, more["double"])
    return raw


def payload(*metrics: bytes, seq: int | None = None, timestamp: int | None = None) -> bytes:
    return field(1, timestamp) + b"".join(field(2, one) for one in metrics) + field(3, seq)
