"""Binary frames: a struct layout compiled to runs of `struct.Struct`, with integrity, counts, groups, optional tail.

A frame decodes to a dict. Numbers stay raw numbers; `hex` becomes upper-case digits (reversed where the field itself
says `endian: little`, so that a little-endian id reads as people print it), `bcd` its digits, `ascii` its text
without padding.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from device_profiles.schema import Integrity, StructField, StructLayout
from gateway.decode.errors import DecodeError, shown

NUMBERS = {
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
}
SIZED = frozenset({"bcd", "ascii", "hex", "skip"})
TO_THE_END = "*"
"""A `count` that repeats until the frame ends."""
LARGEST_COUNT = 4096
_ABSENT = -1


class Suspect(NamedTuple):
    """A decoded frame whose integrity check failed, accepted because the profile says so."""

    value: Any


# (frame, position, limit, decoded so far, everything around it) -> next position, or _ABSENT: nothing more follows
_Step = Callable[[bytes, int, int, dict[str, Any], tuple[dict[str, Any], ...]], int]


def frame_decoder(layout: StructLayout) -> Callable[[bytes], Any]:
    """Compile a layout; raises ValueError for one that cannot be."""
    steps = _compile(layout.fields, layout.endian)
    checks = [_compile_check(check) for check in layout.integrity]
    trailing = trailing_check_bytes(layout)
    ignore_tail = layout.tail == "ignore"

    def decode(frame: Any) -> Any:
        if type(frame) is not bytes:
            raise DecodeError("wrong_type", found=shown(frame), expected="bytes for a struct")
        sound = True
        for check in checks:
            sound = check(frame) and sound
        end = len(frame)
        limit = end - trailing if end >= trailing else end
        out: dict[str, Any] = {}
        at = 0
        for step in steps:
            at = step(frame, at, limit, out, ())
            if at == _ABSENT:
                at = limit
                break
        # A layout may name the checksum as its last field or leave it out.
        if at not in (limit, end) and not ignore_tail:
            raise DecodeError(
                "malformed", found=f"{limit - at} more bytes after the last field", expected=f"a frame of {at} bytes"
            )
        return out if sound else Suspect(out)

    return decode


def trailing_check_bytes(layout: StructLayout) -> int:
    """Bytes at the end that belong to a checksum rather than to the fields."""
    return 2 if any(check.kind == "sum16" and check.offset == -2 for check in layout.integrity) else 0


# --- fields ----------------------------------------------------------------------------------------------------------


def _compile(fields: tuple[StructField, ...], endian: str) -> list[_Step]:
    steps: list[_Step] = []
    run: list[StructField] = []
    for field in fields:
        plain = field.type != "group" and field.count is None
        if plain and run and field.optional != run[0].optional:
            steps.append(_runs(run, endian))
            run = []
        if plain and (not run or _order(field, endian) == _order(run[0], endian)):
            run.append(field)
            continue
        if run:
            steps.append(_runs(run, endian))
            run = []
        if plain:
            run = [field]
        else:
            step = _repeated(field, endian) if field.count is not None else _group(field, endian)
            steps.append(_optional(step) if field.optional else step)
    if run:
        steps.append(_runs(run, endian))
    return steps


def _runs(fields: list[StructField], endian: str) -> _Step:
    return _optional_run(fields, endian) if fields[0].optional else _run(fields, endian)


def _optional_run(fields: list[StructField], endian: str) -> _Step:
    """A tail that may end after any of its fields: one unpack for each length it can have."""
    sizes = [struct.calcsize(_order(field, endian) + field_code(field)) for field in fields]
    ends = [sum(sizes[: i + 1]) for i in range(len(fields))]
    upto = {end: _run(fields[: i + 1], endian) for i, end in enumerate(ends)}
    longest = ends[-1]

    def step(frame: bytes, at: int, limit: int, out: dict[str, Any], around: tuple[dict[str, Any], ...]) -> int:
        there = limit - at
        if there <= 0:
            return _ABSENT
        if there >= longest:
            return upto[longest](frame, at, limit, out, around)
        whole = max((end for end in ends if end <= there), default=0)
        if whole:
            at = upto[whole](frame, at, limit, out, around)
        if whole != there:
            cut = fields[ends.index(whole) + 1 if whole else 0]
            raise DecodeError(
                "truncated",
                field=cut.name or cut.type,
                found=f"{limit} bytes",
                expected="a frame that ends after a field",
            )
        return _ABSENT

    return step


def _order(field: StructField, endian: str) -> str:
    return "<" if (field.endian or endian) == "little" else ">"


def field_code(field: StructField) -> str:
    """The `struct` code of a field; raises ValueError."""
    if field.type in NUMBERS:
        return NUMBERS[field.type]
    if field.type not in SIZED:
        known = ", ".join([*NUMBERS, *sorted(SIZED), "group"])
        raise ValueError(f"expected a field type of {known}, found {field.type!r}")
    if not isinstance(field.size, int) or not 1 <= field.size <= 65535:
        raise ValueError(f"expected size: 1 to 65535 on a field of type {field.type}, found {field.size}")
    return f"{field.size}{'x' if field.type == 'skip' else 's'}"


def _run(fields: list[StructField], endian: str) -> _Step:
    """Fields of fixed size that follow each other: one unpack."""
    packed = struct.Struct(_order(fields[0], endian) + "".join(field_code(field) for field in fields))
    kept = [field for field in fields if field.type != "skip"]
    names = tuple(field.name or "" for field in kept)
    turns = [(field.name, i, turn) for i, field in enumerate(kept) if field.name and (turn := _turn(field)) is not None]
    consts = [(i, field) for i, field in enumerate(kept) if field.const is not None]
    expected = [(i, _const(field), field) for i, field in consts]
    size = packed.size
    unpack = packed.unpack_from
    first = names[0] if names else ""

    def step(frame: bytes, at: int, _limit: int, out: dict[str, Any], _around: tuple[dict[str, Any], ...]) -> int:
        if at + size > len(frame):
            raise DecodeError("truncated", field=first, found=f"{len(frame)} bytes", expected=f"at least {at + size}")
        values = unpack(frame, at)
        out.update(zip(names, values))  # noqa: B905 (as many by construction, and this runs per frame)
        for name, i, turn in turns:
            out[name] = turn(values[i])
        for i, const, field in expected:
            if values[i] != const:
                raise DecodeError(
                    "constant", field=field.name or f"byte {at}", found=shown(values[i]), expected=shown(const)
                )
        return at + size

    return step


def _const(field: StructField) -> object:
    """A constant as `struct` unpacks it."""
    if field.type in NUMBERS:
        if not isinstance(field.const, int):
            raise ValueError(f"expected a whole number as const of {field.type}, found {field.const!r}")
        return field.const
    return unturn(field, field.const)


def _turn(field: StructField) -> Callable[[bytes], str] | None:
    if field.const is not None and field.type in ("ascii", "hex", "bcd"):
        text = str(field.const) if field.type == "ascii" else str(field.const).upper()
        return lambda _: text  # checked against its constant anyway
    if field.type == "hex":
        if field.endian == "little":
            return lambda raw: raw[::-1].hex().upper()
        return lambda raw: raw.hex().upper()
    if field.type == "ascii":
        return lambda raw: _ascii(raw, field.name or "ascii")
    if field.type == "bcd":
        return lambda raw: _digits(raw, field.name or "bcd")
    return None


def _ascii(raw: bytes, name: str) -> str:
    text = raw.rstrip(b"\0 ")
    if not text.isascii():
        raise DecodeError("malformed", field=name, found=text.hex(), expected="ASCII text")
    return text.decode("ascii")


def _digits(raw: bytes, name: str) -> str:
    digits = raw.hex()
    if not digits.isdigit():
        raise DecodeError("malformed", field=name, found=digits, expected="decimal digits")
    return digits


def fixed_size(field: StructField) -> int:
    """Bytes of a field whose size is a number."""
    return field.size if isinstance(field.size, int) else 0


def unturn(field: StructField, value: object) -> bytes:
    """The bytes of a hex, ascii or bcd field; raises ValueError."""
    size, text = fixed_size(field), str(value)
    raw = text.encode("ascii").ljust(size, b"\0") if field.type == "ascii" else bytes.fromhex(text)
    if len(raw) != size:
        raise ValueError(f"expected {size} bytes for {field.name or field.type}, found {text!r}")
    return raw[::-1] if field.type == "hex" and field.endian == "little" else raw


def _group(field: StructField, endian: str) -> _Step:
    if not field.fields or field.name is None:
        raise ValueError("expected a name and fields in a group")
    name, steps = field.name, _compile(field.fields, endian)

    def step(frame: bytes, at: int, limit: int, out: dict[str, Any], around: tuple[dict[str, Any], ...]) -> int:
        member, at = _member(steps, frame, at, limit, (out, *around))
        out[name] = member
        return at

    return step


def _member(
    steps: list[_Step], frame: bytes, at: int, limit: int, around: tuple[dict[str, Any], ...]
) -> tuple[dict[str, Any], int]:
    member: dict[str, Any] = {}
    for step in steps:
        after = step(frame, at, limit, member, around)
        if after == _ABSENT:
            break
        at = after
    return member, at


def _optional(step: _Step) -> _Step:
    def maybe(frame: bytes, at: int, limit: int, out: dict[str, Any], around: tuple[dict[str, Any], ...]) -> int:
        return _ABSENT if at >= limit else step(frame, at, limit, out, around)

    return maybe


def _repeated(field: StructField, endian: str) -> _Step:
    if field.name is None:
        raise ValueError("expected a name on a repeated field")
    name, count = field.name, _counter(field.count, field.name)
    if field.type in NUMBERS:
        return _numbers(field, name, count, _order(field, endian))
    if field.type != "group":
        inner = StructField(**{**field.model_dump(), "count": None, "optional": False, "name": "value"})
        steps, unwrap = [_run([inner], endian)], True
    else:
        if not field.fields:
            raise ValueError(f"expected fields in the group {name}")
        steps, unwrap = _compile(field.fields, endian), False

    def step(frame: bytes, at: int, limit: int, out: dict[str, Any], around: tuple[dict[str, Any], ...]) -> int:
        wanted = count(out, around)
        members: list[Any] = []
        while len(members) < wanted if wanted >= 0 else at < limit:
            if len(members) >= LARGEST_COUNT:
                raise DecodeError("too_many", field=name, found=f"more than {LARGEST_COUNT}", expected="fewer")
            member, at = _member(steps, frame, at, limit, (out, *around))
            members.append(member["value"] if unwrap else member)
        out[name] = members
        return at

    return step


def _numbers(field: StructField, name: str, count: _Counter, order: str) -> _Step:
    code = NUMBERS[field.type]
    size = struct.calcsize(order + code)

    def step(frame: bytes, at: int, limit: int, out: dict[str, Any], around: tuple[dict[str, Any], ...]) -> int:
        n = count(out, around)
        if n < 0:
            n = min(max(limit - at, 0) // size, LARGEST_COUNT)
        end = at + n * size
        if end > len(frame):
            raise DecodeError("truncated", field=name, found=f"{len(frame)} bytes", expected=f"at least {end}")
        out[name] = list(frame[at:end]) if code == "B" else list(struct.unpack_from(f"{order}{n}{code}", frame, at))
        return end

    return step


_Counter = Callable[[dict[str, Any], tuple[dict[str, Any], ...]], int]


def _counter(count: int | str | None, name: str) -> _Counter:
    """How often a field repeats; negative means to the end."""
    if isinstance(count, int):
        if not 0 <= count <= LARGEST_COUNT:
            raise ValueError(f"expected a count of 0 to {LARGEST_COUNT} on {name}, found {count}")
        fixed = count
        return lambda _out, _around: fixed
    if count == TO_THE_END:
        return lambda _out, _around: -1
    source = str(count)

    def named(out: dict[str, Any], around: tuple[dict[str, Any], ...]) -> int:
        for place in (out, *around):
            if source in place:
                n = place[source]
                if type(n) is not int or not 0 <= n <= LARGEST_COUNT:
                    raise DecodeError("too_many", field=source, found=shown(n), expected=f"0 to {LARGEST_COUNT}")
                return n
        raise DecodeError("missing", field=name, found=f"no field {source}", expected="a count before its array")

    return named


# --- integrity -------------------------------------------------------------------------------------------------------


def _compile_check(check: Integrity) -> Callable[[bytes], bool]:
    order = "<" if check.endian == "little" else ">"
    word = struct.Struct(order + "H")
    reject = check.on_failure == "reject"
    from_, kind, offset, counts_from = check.start, check.kind, check.offset, check.counts_from

    def holds(frame: bytes) -> bool:
        at = offset if offset >= 0 else len(frame) + offset
        if at < 0 or at + 2 > len(frame):
            raise DecodeError("truncated", field=kind, found=f"{len(frame)} bytes", expected=f"a {kind} at {offset}")
        stated = word.unpack_from(frame, at)[0]
        real = sum(frame[from_:at]) & 0xFFFF if kind == "sum16" else len(frame) - counts_from
        if stated == real:
            return True
        if reject:
            raise DecodeError("integrity", field=kind, found=f"{stated:#06x}", expected=f"{real & 0xFFFF:#06x}")
        return False

    return holds
