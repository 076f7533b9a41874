"""Values of Sparkplug B metrics: what their datatype makes of the number or the bytes on the wire."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.message import DecodeError as ProtobufError

from gateway.decode.errors import DecodeError, shown
from gateway.decode.sparkplug_messages import DataSet, Properties, Template

MOST_INNER_VALUES: Final = 16_384
"""In all arrays, data sets, templates and properties of one payload together."""
LARGEST_INNER: Final = 1 << 16
"""Bytes of one of these."""
_DEEPEST_TEMPLATE: Final = 4
_BYTES, _FILE, _DATASET, _TEMPLATE = 17, 18, 16, 19
_SIGNED: Final = {1: 8, 2: 16, 3: 32, 4: 64}
"""Datatype -> bits: signed numbers travel as unsigned ones, in two's complement."""
_ARRAYS: Final = {22: "b", 23: "h", 24: "i", 25: "q", 26: "B", 27: "H", 28: "I", 29: "Q", 30: "f", 31: "d", 34: "q"}
"""Datatype of an array -> `struct` code of its elements, little endian."""
_BOOLEANS, _STRINGS = 32, 33


class Room:
    """What one payload may still unfold into."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MOST_INNER_VALUES

    def take(self, values: int) -> None:
        self.left -= values
        if self.left < 0:
            raise DecodeError(
                "too_many", field="metrics", found=f"more than {MOST_INNER_VALUES} values in arrays", expected="fewer"
            )


def metric_value(metric: Any, datatype: int, room: Room) -> Any:
    """The value of a metric, a cell or a property; None where it is null or no number."""
    kind = metric.WhichOneof("value")
    if kind is None:
        return None
    value = getattr(metric, kind)
    kind_of = type(value)
    if kind_of is float:
        return value if math.isfinite(value) else None
    if kind_of is int:
        bits = _SIGNED.get(datatype)
        return value if bits is None else _signed(value, bits)
    if kind_of is bytes:
        return _unfolded(value, kind, datatype, room)
    return value


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _unfolded(raw: bytes, kind: str, datatype: int, room: Room) -> Any:
    if kind == "string_value":  # protobuf hands out what is no UTF-8 as bytes
        raise DecodeError("malformed", field="metrics", found=shown(raw), expected="UTF-8 text")
    if kind == "bytes_value" and datatype not in _READERS:
        return raw.hex().upper()
    if len(raw) > LARGEST_INNER:
        raise DecodeError("too_large", field="metrics", found=f"{len(raw)} bytes", expected=f"at most {LARGEST_INNER}")
    if kind == "dataset_value":
        return _data_set(raw, room)
    if kind == "template_value":
        return _template(raw, room, 1)
    return _READERS[datatype](raw, room)


# --- arrays ----------------------------------------------------------------------------------------------------------


def _numbers(code: str) -> Callable[[bytes, Room], list[Any]]:
    size = struct.calcsize("<" + code)

    def read(raw: bytes, room: Room) -> list[Any]:
        if len(raw) % size:
            raise DecodeError("truncated", field="metrics", found=f"{len(raw)} bytes", expected=f"elements of {size}")
        room.take(len(raw) // size)
        return list(struct.unpack(f"<{len(raw) // size}{code}", raw))

    return read


def _booleans(raw: bytes, room: Room) -> list[bool]:
    """Their number in four bytes, and then one bit each, the highest of a byte first."""
    count = int.from_bytes(raw[:4], "little")
    if len(raw) < 4 or count > 8 * (len(raw) - 4):
        raise DecodeError("truncated", field="metrics", found=f"{len(raw)} bytes", expected=f"{count} booleans")
    room.take(count)
    return [bool(raw[4 + i // 8] >> (7 - i % 8) & 1) for i in range(count)]


def _strings(raw: bytes, room: Room) -> list[str]:
    """Each ends in a zero."""
    parts = raw.removesuffix(b"\0").split(b"\0") if raw else []
    room.take(len(parts))
    try:
        return [part.decode("utf-8") for part in parts]
    except UnicodeDecodeError:
        raise DecodeError("malformed", field="metrics", found=shown(raw), expected="UTF-8 texts") from None


_READERS: Final[dict[int, Callable[[bytes, Room], list[Any]]]] = {
    **{datatype: _numbers(code) for datatype, code in _ARRAYS.items()},
    _BOOLEANS: _booleans,
    _STRINGS: _strings,
}

READ_BY_DATATYPE: Final = frozenset(_SIGNED) | frozenset(_READERS)
"""Datatypes without which a value cannot be read."""


# --- what has messages of its own ------------------------------------------------------------------------------------


def parsed(message: Any, raw: bytes) -> Any:
    """A protobuf message; raises DecodeError."""
    try:
        return message.FromString(raw)
    except ProtobufError:
        raise DecodeError("malformed", found=shown(raw), expected="a Sparkplug B payload (protobuf)") from None


def text_of(value: Any) -> str:
    """A protobuf string, which is bytes where it is no UTF-8."""
    if type(value) is not str:
        raise DecodeError("malformed", field="metrics", found=shown(value), expected="UTF-8 text")
    return value


def _data_set(raw: bytes, room: Room) -> list[dict[str, Any]]:
    """One object per row, by the names of the columns."""
    data = parsed(DataSet, raw)
    room.take(len(data.rows) + len(data.columns))
    columns, types = [text_of(name) for name in data.columns], [*data.types]
    types += [0] * (len(columns) - len(types))
    rows = []
    for row in data.rows:
        room.take(len(row.elements))
        cells = zip(columns, types, row.elements, strict=False)
        rows.append({name: metric_value(cell, type_, room) for name, type_, cell in cells})
    return rows


def _template(raw: bytes, room: Room, depth: int) -> dict[str, Any] | None:
    """The values of a template instance by the names of its members."""
    if depth > _DEEPEST_TEMPLATE:
        return None
    metrics = parsed(Template, raw).metrics
    room.take(len(metrics))
    values: dict[str, Any] = {}
    for metric in metrics:
        if metric.WhichOneof("value") == "template_value" and not metric.is_null:
            inner = metric.template_value
            values[text_of(metric.name)] = _template(inner, room, depth + 1)
        else:
            values[text_of(metric.name)] = None if metric.is_null else metric_value(metric, metric.datatype, room)
    return values


def property_values(raw: bytes, room: Room) -> dict[str, Any]:
    """The properties of a metric: quality, unit, limits."""
    if len(raw) > LARGEST_INNER:
        raise DecodeError("too_large", field="metrics", found=f"{len(raw)} bytes", expected=f"at most {LARGEST_INNER}")
    found = parsed(Properties, raw)
    room.take(len(found.keys) + len(found.values))
    return {
        text_of(key): None if value.is_null else metric_value(value, value.type, room)
        for key, value in zip(found.keys, found.values, strict=False)
    }
