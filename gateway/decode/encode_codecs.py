"""Codec chains run backwards, as far as there is a way back: what decodes from bytes is made into bytes again."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from device_profiles.schema import Codec, Csv, Pairs, Pivot, StructLayout, TlvEntry, TlvLayout, When
from gateway.decode.frame_encode import encode_frame
from gateway.decode.frames.decoder import trailing_check_bytes
from gateway.decode.integrity import put_checks
from gateway.decode.paths import getter, parse_path, replacer


def uncoded(codec: Codec, value: Any, when: When | None) -> Any:
    """One step of a chain backwards; raises ValueError where there is no way back. `when` is what the bytes must be
    like to be taken by the binding."""
    if codec.at is None:
        return _uncoded(codec, value, when)
    path = parse_path(codec.at)
    if getter(path)(value) is None:
        return value
    return replacer(path)(value, lambda inner: _as_text(_uncoded(codec, inner, None)))


def _uncoded(codec: Codec, value: Any, when: When | None) -> Any:
    for name, back in _BACK.items():
        if getattr(codec, name):
            return back(value)
    if codec.csv is not None:
        return _csv_line(codec.csv, value)
    if codec.pairs is not None:
        return _pairs(codec.pairs, value)
    if codec.pivot is not None:
        return _unpivoted(codec.pivot, value)
    if codec.tlv is not None:
        return encode_tlv(codec.tlv, _object(value))
    if codec.struct is not None:
        return encode_frame(codec.struct, _object(value), when)
    raise ValueError(f"expected a codec with a way back, found {_name(codec)}")


def _name(codec: Codec) -> str:
    return ", ".join(name.rstrip("_") for name in codec.model_fields_set - {"at"}) or "none"


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value if value is not None else {})


def _text(value: Any) -> bytes:
    if value is None:
        return b""
    return value if isinstance(value, bytes) else word(value).encode()


def _scalar(value: Any) -> bytes:
    return _text(value) if isinstance(value, str) else msgspec.json.encode(value)


_BACK: Mapping[str, Callable[[Any], bytes]] = {
    "json_": _json,
    "json_string": _json,
    "json_scalar": _scalar,
    "text": _text,
    "hex": lambda value: bytes(value).hex().encode(),
    "base64": lambda value: base64.b64encode(bytes(value)),
}


def _as_text(value: Any) -> Any:
    """What stands inside JSON is text; what stands inside a frame stays bytes."""
    try:
        return value.decode("ascii") if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def word(value: Any) -> str:
    """A scalar as devices write it in texts."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _csv_line(layout: Csv, value: Any) -> bytes:
    if layout.rows or layout.header or layout.quote is not None:
        raise ValueError("expected a line of plain values, found a table")
    if isinstance(value, list):
        items = value
    else:
        given = _object(value)
        items = [None if name is None else given.get(name) for name in layout.columns]
    return layout.separator.join("" if item is None else word(item) for item in items).encode()


def _pairs(layout: Pairs, value: Any) -> bytes:
    flat: dict[str, Any] = {}
    for key, item in _object(value).items():
        if isinstance(item, dict) and layout.nest is not None:
            flat |= {f"{key}{layout.nest}{inner}": one for inner, one in item.items()}
        else:
            flat[key] = item
    return layout.between[0].join(f"{key}{layout.equals}{word(item)}" for key, item in flat.items()).encode()


def _unpivoted(layout: Pivot, value: Any) -> list[dict[str, Any]]:
    """Raises ValueError where the names stand deeper than in the element itself."""
    paths = parse_path(layout.name).segments, parse_path(layout.value).segments
    if any(len(path) != 1 for path in paths):
        raise ValueError("expected a pivot over plain keys, found a path")
    return [{str(paths[0][0]): name, str(paths[1][0]): item} for name, item in _object(value).items()]


def encode_tlv(layout: TlvLayout, values: Mapping[str, Any]) -> bytes:
    """The keys of which something is said, in the order of the layout. Raises ValueError for keys with open digits."""
    out = bytearray(layout.skip)
    for key, entry in layout.entries.items():
        for inner in _said_under(entry, values):
            if "?" in key:
                raise ValueError(f"expected a key without open digits, found {key!r}")
            body = encode_frame(StructLayout(endian=layout.endian, fields=entry.fields), inner)
            out += bytes.fromhex(key.replace(" ", ""))
            if layout.length_bytes:
                out += len(body).to_bytes(layout.length_bytes, "big" if layout.endian == "big" else "little")
            out += body
    out += bytes(trailing_check_bytes(layout.integrity))
    put_checks(layout.integrity, out)
    return bytes(out)


def _said_under(entry: TlvEntry, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The objects that stand under a key; none where nothing of them is said."""
    found: Any = values if entry.into is None else values.get(entry.into)
    objects = found if isinstance(found, list) else [found]
    names = {name for field in entry.fields for name in (field.name, *field.bits, *field.flags) if name is not None}
    return [one for one in objects if isinstance(one, dict) and names & one.keys()]
