"""Text and JSON out of bytes, and bytes out of text: the codecs json, json_scalar, json_string, text, hex, base64.

A payload has at most 1 MiB. JSON blows up on the way to objects, up to fortyfold, so a large payload is weighed before
it is read: what would take more than about 10 MB of memory is refused.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import msgspec

from gateway.decode.errors import DecodeError, shown

_SMALL = 4096
"""JSON up to here is read at once; what is larger is weighed first."""
_HEAVIEST = 8_000_000
_OBJECT, _ARRAY, _VALUE = 200, 90, 80
"""Bytes of memory that each costs, as measured; those of a value include its share of the container."""

_LONGEST_SCALAR = 64
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_LONGEST_MENDED = 65_536
_NO_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[+-]?\b(?:nan|inf(?:inity)?)\b', re.IGNORECASE | re.DOTALL)
"""A text, which is stepped over (one that is never closed reaches to the end, so that it is looked at once), or one of
the words that stand where a number should."""
_BETWEEN_BYTES = b" \t\r\n,:-"


def _finite(digits: str) -> float:
    number = float(digits)
    if number - number != 0:
        raise ValueError("number out of range")
    return number


_read_json = msgspec.json.Decoder().decode
_read_large_json = msgspec.json.Decoder(float_hook=_finite).decode
"""The plain reader takes 12 us for a number such as 1e300; a large payload full of them would take seconds."""


def read_json(raw: bytes | str) -> Any:
    """JSON as it is defined: 1e400 and trailing characters are malformed; of equal keys the last counts.

    Two habits of firmware are let pass: a mark before and zero bytes behind the JSON, and inside objects and arrays a
    bare NaN or infinity, which is null.
    """
    try:
        return _read(raw)
    except msgspec.MsgspecError as error:
        mended = _mended(raw)
        if mended is None:
            raise DecodeError("malformed", found=_why(raw, error), expected="JSON") from None
    try:
        return _read(mended)
    except msgspec.MsgspecError as error:
        raise DecodeError("malformed", found=_why(raw, error), expected="JSON") from None


def _read(raw: bytes | str) -> Any:
    """As read_json, but strict, and a MsgspecError for what is no JSON."""
    try:
        if len(raw) <= _SMALL:
            return _read_json(raw)
        _weigh(raw)
        return _read_large_json(raw)
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise DecodeError("malformed", found=f"what is no UTF-8 ({error.reason})", expected="JSON") from None
    except RecursionError:
        raise DecodeError("malformed", found="JSON nested too deeply", expected="a flatter payload") from None
    except TypeError:
        raise DecodeError("wrong_type", found=shown(raw), expected="a text that holds JSON") from None


def _mended(raw: bytes | str) -> bytes | None:
    """What is malformed, without the habits that are let pass; None where it has none of them."""
    whole = raw.encode() if isinstance(raw, str) else raw
    bare = whole.removeprefix(b"\xef\xbb\xbf").strip(b"\0 \t\r\n")
    if bare[:1] in (b"{", b"[") and len(bare) <= _LONGEST_MENDED:
        bare = _NO_NUMBER.sub(lambda found: found[0] if found[0][:1] == b'"' else b"null", bare)
    return bare if bare and bare != whole else None


def _weigh(raw: bytes | str) -> None:
    """Brackets and commas in texts are counted too; the limit lies far beyond what devices send."""
    if isinstance(raw, str):
        counts = raw.count("{"), raw.count("["), raw.count(",")
    elif isinstance(raw, bytes):
        counts = raw.count(b"{"), raw.count(b"["), raw.count(b",")
    else:
        raise TypeError("JSON stands in a text")
    weight = _OBJECT * counts[0] + _ARRAY * counts[1] + _VALUE * (counts[2] + 1)
    if weight > _HEAVIEST:
        raise DecodeError(
            "too_many",
            found=f"JSON of {len(raw)} characters with {counts[0]} objects, {counts[1]} arrays and {counts[2]} commas",
            expected=f"at most {_HEAVIEST // _OBJECT} objects or {_HEAVIEST // _VALUE} values",
        )


def _why(raw: bytes | str, error: Exception) -> str:
    return f"{shown(raw)}: {error}" if raw else "an empty payload"


def read_json_string(raw: Any) -> Any:
    """What a text says that holds JSON. An empty text says nothing: some networks send it where nothing was decoded."""
    text = read_text(raw)
    return None if not text or text.isspace() else read_json(text)


def read_json_scalar(raw: Any) -> Any:
    """A number, true, false, null or quoted text as JSON writes them; any other text is the word that it is.

    `ON`, `NaN`, `0301` and `21.5 C` are words: a metric's field still makes a number of those that hold one.
    """
    text = read_text(raw).strip()
    if text in _WORDS:
        return _WORDS[text]
    if (text.startswith('"') and text.endswith('"')) or (len(text) <= _LONGEST_SCALAR and _JSON_NUMBER.fullmatch(text)):
        try:
            return _read_json(text)
        except msgspec.MsgspecError:
            return text
    return text


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
    """Hex digits; blanks, commas, colons, dashes and `0x` between bytes are allowed."""
    text = read_text(raw).strip()
    try:
        return bytes.fromhex(text)
    except ValueError:
        try:
            digits = text.encode("ascii").replace(b"0x", b"").replace(b"0X", b"")
            return binascii.unhexlify(digits.translate(None, _BETWEEN_BYTES))
        except ValueError:
            raise DecodeError("malformed", found=shown(text), expected="hex digits, two to a byte") from None


def read_base64(raw: Any) -> bytes:
    """Base64 of either alphabet, with or without padding."""
    text = read_text(raw).strip()
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return _read_loose_base64(text)


def _read_loose_base64(text: str) -> bytes:
    plain = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise DecodeError("malformed", found=shown(text), expected="base64") from None
