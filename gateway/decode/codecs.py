"""The codec chain: bytes -> JSON, text, hex, base64 or a binary frame, step by step."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import msgspec

from device_profiles.schema import Codec
from gateway.decode.errors import DecodeError, shown
from gateway.decode.frames import Suspect, frame_decoder

Chain = Callable[[bytes], Any]

_read_json = msgspec.json.Decoder().decode


def chain(codecs: tuple[Codec, ...]) -> Chain:
    """Compile a codec chain; raises ValueError."""
    steps = [_step(codec) for codec in codecs]
    if not steps:
        raise ValueError("expected at least one codec")
    if len(steps) == 1:
        return steps[0]

    def run(payload: bytes) -> Any:
        value: Any = payload
        sound = True
        for step in steps:
            value = step(value)
            if type(value) is Suspect:
                value, sound = value.value, False
        return value if sound else Suspect(value)

    return run


def _step(codec: Codec) -> Callable[[Any], Any]:
    given = [name for name in ("json_", "text", "hex", "base64", "struct") if getattr(codec, name)]
    if len(given) != 1:
        raise ValueError(f"expected exactly one of json, text, hex, base64, struct in a codec, found {len(given)}")
    if codec.struct is not None:
        return frame_decoder(codec.struct)
    return {"json_": read_json, "text": read_text, "hex": read_hex, "base64": read_base64}[given[0]]


def read_json(raw: bytes | str) -> Any:
    """JSON as it is defined: NaN, 1e400 and trailing characters are malformed; of equal keys the last counts."""
    try:
        return _read_json(raw)
    except UnicodeDecodeError as error:
        raise DecodeError("malformed", found=f"bytes that are no UTF-8 ({error.reason})", expected="JSON") from None
    except msgspec.MsgspecError as error:
        if isinstance(raw, bytes) and raw.startswith(b"\xef\xbb\xbf"):
            return read_json(raw[3:])
        raise DecodeError("malformed", found=_why(raw, error), expected="JSON") from None
    except RecursionError:
        raise DecodeError("malformed", found="JSON nested too deeply", expected="a flatter payload") from None
    except TypeError:
        raise DecodeError("wrong_type", found=shown(raw), expected="a text that holds JSON") from None


def _why(raw: bytes | str, error: Exception) -> str:
    return f"{shown(raw)}: {error}" if raw else "an empty payload"


def read_text(raw: Any) -> str:
    """UTF-8 text, exactly."""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, bytes):
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise DecodeError("malformed", found=shown(raw), expected="UTF-8 text") from None
    raise DecodeError("wrong_type", found=shown(raw), expected="a text")


def read_hex(raw: Any) -> bytes:
    """Hex digits, blanks between bytes allowed."""
    text = read_text(raw).strip()
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise DecodeError("malformed", found=shown(text), expected="hex digits") from None


def read_base64(raw: Any) -> bytes:
    text = read_text(raw).strip()
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise DecodeError("malformed", found=shown(text), expected="base64") from None
