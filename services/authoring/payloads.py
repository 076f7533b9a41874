"""What payloads are made of: JSON, words, XML, pairs, columns, hex digits or a binary frame; found out from samples."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from device_profiles.schema import Codec, Integrity
from gateway.decode.codecs import context_chain
from gateway.decode.context import NOTHING, Context
from gateway.decode.errors import DecodeError
from gateway.decode.frames import Suspect
from gateway.decode.integrity import checker
from gateway.decode.memory import Memory
from services.authoring.capture import Message

Kind = Literal["empty", "object", "scalar", "text", "binary"]
Step = dict[str, Any]
_NUMBER = re.compile(r"\s*[-+]?\d+(\.\d+)?([eE][-+]?\d+)?\s*")
_WITH_UNIT = re.compile(r"\s*[-+]?\d+(?:\.\d+)?(\s*(?:°C|℃|%|[a-zA-Zµ³Ω/]{1,6}))\s*")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}\s?){4,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}")
_LEAST_FRAMES = 2
_SHORTEST_CHECKED = 5
_MOST_LOOKED_AT = 400


@dataclass
class Coding:
    """How payloads are read, and what they then are. `roots` has one entry per message, None where it failed."""

    steps: list[Step]
    roots: list[Any]
    notes: list[str] = field(default_factory=list)
    opaque: bool = False
    """A frame whose fields nobody can know from its bytes alone."""

    @property
    def read(self) -> list[Any]:
        return [root for root in self.roots if root is not None]


def kind_of(payload: bytes) -> Kind:
    """The broad kind of one payload."""
    if not payload.strip():
        return "empty"
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return "binary"
    if any(ord(sign) < 32 and sign not in "\t\r\n" for sign in text):
        return "binary"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return "text"
    return "object" if isinstance(value, dict | list) else "scalar"


def leaf_of(payloads: Sequence[bytes]) -> frozenset[str]:
    """What a topic's messages look like: the keys of their objects, or the word for their kind."""
    found: set[str] = set()
    for payload in payloads[:_MOST_LOOKED_AT]:
        kind = kind_of(payload)
        if kind == "object":
            value = json.loads(payload)
            found |= {f".{key}" for key in value} if isinstance(value, dict) else {".[]"}
        elif kind != "empty":
            found.add("number" if kind == "scalar" and _NUMBER.fullmatch(payload.decode()) else kind)
    keys = frozenset(one for one in found if one.startswith("."))  # a word among objects makes it no other topic
    return keys or (frozenset({"text"}) if found else frozenset())


_CUT_OFF = re.compile(r'\s*(\{\s*"|\[\s*["{])')


def is_cut_off(payload: bytes) -> bool:
    """Whether this text, which is no JSON, began as such: its end is missing, or it is broken within."""
    return bool(_CUT_OFF.match(payload.decode()))


_ALIKE: tuple[Callable[[str], Any], ...] = (
    lambda text: bool(_NUMBER.fullmatch(text)),
    lambda text: bool(_WITH_UNIT.fullmatch(text)),
    lambda text: bool(_HEX.fullmatch(text)),
    lambda text: text.startswith("<"),
    lambda text: bytes_of_base64(text) is not None,
    lambda text: tuple(text.count(mark) for mark in "=:"),
    lambda text: tuple(text.count(mark) for mark in ",;\t|"),
)
_MOST_MISFITS = 0.2
_ENOUGH = 4


def fitting(messages: Sequence[Message]) -> list[Message]:
    """Those texts that can be read in one way, where that is nearly all of them; else all."""
    texts = [message.payload.decode().strip() for message in messages]
    if _reads(messages) or len(texts) < _ENOUGH:
        return list(messages)
    for alike in _ALIKE:
        faces = [alike(text) for text in texts]
        common, many = Counter(faces).most_common(1)[0]
        some = [message for message, face in zip(messages, faces, strict=True) if face == common]
        if len(texts) > many >= (1 - _MOST_MISFITS) * len(texts) and _reads(some):
            return some
    return list(messages)


def _reads(messages: Sequence[Message]) -> bool:
    """Whether these are more than words: one codec reads them all, or they are numbers."""
    messages = messages[:_MOST_LOOKED_AT]
    texts = [message.payload.decode().strip() for message in messages]
    if all(_NUMBER.fullmatch(text) for text in texts):
        return True
    return _text(texts, messages).steps != [{"json_scalar": True}]


def code(messages: Sequence[Message], captures: Mapping[str, Mapping[str, str]] | None = None) -> Coding:
    """How these messages of one shape are read."""
    payloads = [message.payload for message in messages]
    kinds = {kind_of(payload) for payload in payloads} - {"empty"}
    if kinds <= {"object"}:
        return _coding([{"json": True}], messages, captures)
    if "binary" in kinds:
        return _binary([], payloads, messages)
    if kinds <= {"scalar"}:
        return _coding([{"json_scalar": True}], messages, captures)
    return _text([payload.decode().strip() for payload in payloads if payload.strip()], messages)


def run(
    steps: Sequence[Step], messages: Sequence[Message], captures: Mapping[str, Mapping[str, str]] | None = None
) -> list[Any] | None:
    """What the messages become; None in the place of one that fails; None altogether where the chain is none."""
    names = frozenset(name for held in (captures or {}).values() for name in held)
    try:
        decode = context_chain(tuple(Codec.model_validate(step) for step in steps), names)
    except ValueError:
        return None
    memory, out = Memory(), []
    for message in messages:
        context = Context(dict((captures or {}).get(message.topic, {})), memory, message.received_at)
        try:
            value = decode(message.payload, context)
        except DecodeError:
            value = None
        value = value.value if type(value) is Suspect else value
        out.append(None if value is NOTHING else value)
    return out


def _coding(
    steps: list[Step], messages: Sequence[Message], captures: Mapping[str, Mapping[str, str]] | None = None
) -> Coding:
    return Coding(steps, run(steps, messages, captures) or [None] * len(messages))


# --- text -----------------------------------------------------------------------------------------------------------


def _text(texts: Sequence[str], messages: Sequence[Message]) -> Coding:
    for tried in (_xml, _with_unit, _hex, _pairs, _columns, _base64):
        if (found := tried(texts, messages)) is not None:
            return found
    return _coding([{"json_scalar": True}], messages)


def _xml(texts: Sequence[str], messages: Sequence[Message]) -> Coding | None:
    return _proven([{"xml": True}], messages) if all(text.startswith("<") for text in texts) else None


def _with_unit(texts: Sequence[str], messages: Sequence[Message]) -> Coding | None:
    found = [_WITH_UNIT.fullmatch(text) for text in texts]
    units = {match[1] for match in found if match}
    return _coding([{"text": True}], messages) if all(found) and len(units) == 1 else None


def _hex(texts: Sequence[str], messages: Sequence[Message]) -> Coding | None:
    if not all(_HEX.fullmatch(text) for text in texts) or not any(re.search("[a-fA-F]", text) for text in texts):
        return None
    return _binary([{"hex": True}], [bytes.fromhex(text) for text in texts], messages)


def _base64(texts: Sequence[str], messages: Sequence[Message]) -> Coding | None:
    found = [bytes_of_base64(text) for text in texts]
    if any(one is None for one in found):
        return None
    return _binary([{"base64": True}], [one for one in found if one is not None], messages)


def bytes_of_base64(text: str) -> bytes | None:
    """The bytes where the text can hardly be anything but base64 of a binary frame; else None."""
    if len(text) % 4 or not _BASE64.fullmatch(text):
        return None
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if kind_of(found) == "binary" else None


def _pairs(texts: Sequence[str], messages: Sequence[Message]) -> Coding | None:
    for equals in "=:":
        pair = re.compile(rf"[^\s{equals},;&|]+\s*{equals}\s*[^{equals}]*")
        for between in ",;&|\n ":
            rows = [[part for part in re.split(re.escape(between), text) if part.strip()] for text in texts]
            if all(len(row) >= 2 and all(pair.fullmatch(part.strip()) for part in row) for row in rows):
                return _proven([{"pairs": {"between": between, "equals": equals}}], messages)
    return None


def _columns(texts: Sequence[str], messages: Sequence[Message]) -> Coding | None:
    for separator in ",;\t|":
        counts = {text.count(separator) for text in texts}
        if len(counts) == 1 and (count := counts.pop()) >= 1 and all("\n" not in text for text in texts):
            if not any(_NUMBER.fullmatch(part) for part in texts[0].split(separator)):
                return None
            columns = [f"c{i + 1}" for i in range(count + 1)]
            found = _proven([{"csv": {"separator": separator, "columns": columns}}], messages)
            if found is not None:
                found.notes.append("the columns have no names of their own: say what c1, c2, … are")
            return found
    return None


def _proven(steps: list[Step], messages: Sequence[Message]) -> Coding | None:
    """Only where every message that holds something can be read so."""
    roots = run(steps, messages)
    if roots is None:
        return None
    whole = all(root is not None for root, message in zip(roots, messages, strict=True) if message.payload.strip())
    return Coding(steps, roots) if whole else None


# --- binary ---------------------------------------------------------------------------------------------------------


def _binary(before: list[Step], frames: Sequence[bytes], messages: Sequence[Message]) -> Coding:
    frames = list(dict.fromkeys(frame for frame in frames if frame))
    checks, good = checks_of(frames)
    if (found := _modbus(before, good, messages)) is not None:
        found.notes += _broken(good, frames)
        return found
    layout, notes = _frame(good, checks)
    if checks:
        notes.append(f"a check holds on {_share(good, frames)}: {', '.join(check['kind'] for check in checks)}")
    return Coding([*before, {"struct": layout}], run([*before, {"struct": layout}], messages) or [], notes, opaque=True)


def _share(good: Sequence[bytes], frames: Sequence[bytes]) -> str:
    return "all of them" if len(good) == len(frames) else f"{len(good)} of {len(frames)}"


def _broken(good: Sequence[bytes], frames: Sequence[bytes]) -> list[str]:
    return [] if len(good) == len(frames) else [f"its CRC holds on {_share(good, frames)}: the others are refused"]


def _frame(frames: Sequence[bytes], checks: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """A layout that takes every frame: what never changes is said, the rest is bytes without a meaning yet."""
    shortest = min(map(len, frames))
    constant = _constant_beginning(frames) if len(frames) >= _LEAST_FRAMES else 0
    fields: list[dict[str, Any]] = []
    if constant:
        fields.append({"name": "start", "type": "hex", "size": constant, "const": frames[0][:constant].hex().upper()})
    fields.append({"name": "rest", "type": "hex", "size": "*"})
    lengths = sorted({len(frame) for frame in frames})
    many = ", ".join(map(str, lengths[:8])) + (" …" if len(lengths) > 8 else "")
    notes = [f"binary frames of {many} bytes: only the maker's description says what the bytes mean"]
    notes += [_varying(frames, shortest)] if len(frames) >= _LEAST_FRAMES else []
    return {**({"integrity": checks} if checks else {}), "fields": fields}, notes


def _constant_beginning(frames: Sequence[bytes]) -> int:
    length = 0
    for column in zip(*frames, strict=False):
        if len(set(column)) > 1:
            break
        length += 1
    return min(length, 4, min(map(len, frames)) - 1)


def _varying(frames: Sequence[bytes], shortest: int) -> str:
    varying = [i for i in range(shortest) if len({frame[i] for frame in frames}) > 1]
    return f"the bytes that change: {', '.join(map(str, varying[:24])) or 'none of the common ones'} (counted from 0)"


_CHECKS: tuple[dict[str, Any], ...] = (
    {"kind": "crc16_modbus"},
    {"kind": "crc16_modbus", "endian": "big"},
    {"kind": "sum16"},
    {"kind": "sum16", "endian": "big"},
    {"kind": "crc16_ccitt", "endian": "big"},
    {"kind": "crc16_ccitt"},
    {"kind": "crc16_xmodem", "endian": "big"},
    {"kind": "sum8"},
    {"kind": "xor8"},
)


def checks_of(frames: Sequence[bytes]) -> tuple[list[dict[str, Any]], list[bytes]]:
    """(the integrity check, the frames it holds on): on all, or on nearly all of many, where chance could hardly make
    it hold. Without one, all frames."""
    for check in _CHECKS:
        wide = check["kind"] not in ("sum8", "xor8")
        good = _holding(check, frames)
        nearly = len(good) >= _ENOUGH and len(good) >= (1 - _MOST_MISFITS) * len(frames)
        if nearly or (wide and len(good) == len(frames) > 0):
            return [check], good
    return [], list(frames)


def _holding(check: dict[str, Any], frames: Sequence[bytes]) -> list[bytes]:
    test: Callable[[bytes | str], bool] = checker(Integrity.model_validate(check))
    return [frame for frame in frames if len(frame) >= _SHORTEST_CHECKED and _passes(test, frame)]


def _passes(test: Callable[[bytes | str], bool], frame: bytes) -> bool:
    try:
        return test(frame)
    except DecodeError:
        return False


def _modbus(before: list[Step], frames: Sequence[bytes], messages: Sequence[Message]) -> Coding | None:
    """Modbus RTU: every frame has its CRC and a function of reading. Requests say which registers are asked for."""
    whole = all(len(frame) >= 5 and frame[1] & 0x7F in (1, 2, 3, 4) for frame in frames)
    if not whole or len(_holding({"kind": "crc16_modbus"}, frames)) < len(frames):
        return None
    asked = sorted({(f[0], f[1], int.from_bytes(f[2:4]), int.from_bytes(f[4:6])) for f in frames if _is_request(f)})
    known = {(slave, function, _size(function, count)) for slave, function, _, count in asked}
    answered = sorted({(f[0], f[1], f[2]) for f in frames if len(f) == f[2] + 5 and not f[1] & 0x80} - known)
    polls = [_poll(slave, function, start, count) for slave, function, start, count in asked]
    polls += [
        _poll(slave, function, 0, size // 2 if function in (3, 4) else size * 8) for slave, function, size in answered
    ]
    if not polls:
        return None
    steps: list[Step] = [*before, {"modbus": {"polls": polls}}]
    notes = ["Modbus RTU: what each register means, its type and scale, stands in the maker's register list"]
    notes += ["no request was seen: a reply does not say where its registers begin, put that into start and at"] * bool(
        answered
    )
    frame = ("poll", "slave", "function")  # of the frame itself, and no measurement
    roots = [
        {key: value for key, value in root.items() if key not in frame} if isinstance(root, dict) else None
        for root in run(steps, messages) or []
    ]
    if not any(roots):  # requests alone were heard
        roots = [{one["name"]: 0 for poll in polls for one in poll["registers"]}]
    return Coding(steps, roots, notes)


def _is_request(frame: bytes) -> bool:
    return len(frame) == 8 and frame[2] != 3 and 1 <= int.from_bytes(frame[4:6]) <= 125


def _size(function: int, count: int) -> int:
    return count * 2 if function in (3, 4) else (count + 7) // 8


def _poll(slave: int, function: int, start: int, count: int) -> dict[str, Any]:
    type_ = "u16" if function in (3, 4) else "coil"
    registers = [{"name": f"register_{start + i}", "at": start + i, "type": type_} for i in range(min(count, 32))]
    id_ = f"poll_{slave}_{function}_{start}"
    return {"id": id_, "slave": slave, "function": function, "start": start, "count": count, "registers": registers}
