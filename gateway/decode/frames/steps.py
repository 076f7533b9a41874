"""The fields of a layout compiled to steps: each reads on from a position and puts its values into the object."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from device_profiles.schema import Bits, StructField
from gateway.decode.errors import DecodeError, shown
from gateway.decode.frames.values import (
    SIZED,
    UNSIGNED,
    Turn,
    is_fixed,
    is_number,
    number_size,
    pack,
    packed,
    turn_of,
)

TO_THE_END: Final = "*"
"""A `count` that repeats until the frame ends, and a `size` that takes what is left."""
LARGEST_COUNT: Final = 4096
MOST_VALUES: Final = 65_536
"""In all repeated fields of one frame together: what nests multiplies."""
ABSENT: Final = -1
"""What a step returns instead of a position where an optional field is absent: nothing more follows."""


class Reader(msgspec.Struct):
    """A frame being read."""

    raw: bytes
    end: int
    """Where its bytes end for a field that must be there."""
    limit: int
    """Where they end for optional fields and for what takes all that is left: before the check."""
    left: int = MOST_VALUES
    around: list[dict[str, Any]] = []
    """The objects around the one that is filled, outermost first."""


Step = Callable[[Reader, int, dict[str, Any]], int]
"""(frame, position, object to fill) -> next position, or ABSENT."""


def compile_fields(fields: tuple[StructField, ...], endian: str) -> list[Step]:
    """One step for each run of plain fields and for each field that is none; raises ValueError."""
    steps: list[Step] = []
    run: list[StructField] = []
    for field in fields:
        if _is_plain(field) and (not run or _fits(run, field, endian)):
            run.append(field)
            continue
        if run:
            steps.append(_run_of(run, endian))
        run = [field] if _is_plain(field) else []
        if not run:
            step = _special(field, endian)
            steps.append(_optional(step) if field.optional else step)
    if run:
        steps.append(_run_of(run, endian))
    return steps


def advance(steps: list[Step], reader: Reader, at: int, out: dict[str, Any]) -> int:
    """Run the steps; the position after the last, or after the last one before an absent optional field."""
    for step in steps:
        after = step(reader, at, out)
        if after == ABSENT:
            return at
        at = after
    return at


def _is_plain(field: StructField) -> bool:
    return field.type not in ("group", "switch") and field.count is None and is_fixed(field) and field.prefix is None


def _special(field: StructField, endian: str) -> Step:
    if field.type == "switch":
        return _switch(field, endian)
    if (field.bits or field.flags) and (field.count is not None or not is_number(field.type)):
        raise ValueError(f"expected bits and flags on a single number, found them on {field.name or field.type}")
    if field.count is not None:
        return _repeated(field, endian)
    return _group(field, endian) if field.type == "group" else _sized(field, endian)


def _optional(step: Step) -> Step:
    def maybe(reader: Reader, at: int, out: dict[str, Any]) -> int:
        return ABSENT if at >= reader.limit else step(reader, at, out)

    return maybe


# --- runs of plain fields: one unpack --------------------------------------------------------------------------------


def _fits(run: list[StructField], field: StructField, endian: str) -> bool:
    """Whether a field can be unpacked together with those before it: same order, and optional ones only at the end."""
    orders = {order for one in (*run, field) if (order := packed(one, endian).order)}
    return len(orders) <= 1 and (field.optional or not run[-1].optional)


def _run_of(fields: list[StructField], endian: str) -> Step:
    must = [field for field in fields if not field.optional]
    if len(must) == len(fields):
        return fixed_run(fields, endian)
    return _tailed_run(fields, len(must), endian)


class _Parts(NamedTuple):
    """Bits and flags of the number at one place of a run."""

    place: int
    turn: Turn | None
    bits: tuple[tuple[str, int, int], ...]
    flags: tuple[tuple[str, int], ...]


def fixed_run(fields: list[StructField], endian: str) -> Step:
    """Fields of fixed size that follow each other."""
    how = [packed(field, endian) for field in fields]
    order = next((one.order for one in how if one.order), ">")
    unpacker = struct.Struct(order + "".join(one.code for one in how))
    kept = [(field, one) for field, one in zip(fields, how, strict=True) if field.type != "skip"]
    names = tuple(field.name or "" for field, _ in kept)
    constants = [(i, *_constant(field, endian)) for i, (field, _) in enumerate(kept) if field.const is not None]
    turns = [
        (field.name, i, one.turn)
        for i, (field, one) in enumerate(kept)
        if field.name and one.turn is not None and field.const is None
    ]
    known = {field.name: value for _, _, value, field in constants if field.name and not _is_native(field, endian)}
    parts = [_parts(i, field, one.turn) for i, (field, one) in enumerate(kept) if field.bits or field.flags]
    nameless, first = "" in names, next((field.name or field.type for field in fields), "")
    size, unpack = unpacker.size, unpacker.unpack_from

    def step(reader: Reader, at: int, out: dict[str, Any]) -> int:
        end = at + size
        if end > reader.end:
            raise DecodeError("truncated", field=first, found=f"{reader.end} bytes", expected=f"at least {end}")
        values = unpack(reader.raw, at)
        out.update(zip(names, values))  # noqa: B905 (as many by construction, and this runs per frame)
        for i, constant, expected, field in constants:
            if values[i] != constant:
                _refuse_constant(values[i], expected, field, at)
        for name, i, turn in turns:
            out[name] = turn(values[i])
        if known:
            out.update(known)
        if parts:
            for part in parts:
                _take_apart(part, values, out)
        if nameless:
            del out[""]
        return end

    return step


def _tailed_run(fields: list[StructField], must: int, endian: str) -> Step:
    """Plain fields of which the last may be absent: one unpack for each length the frame can have."""
    sizes = [packed(field, endian).size for field in fields]
    ends = [sum(sizes[: i + 1]) for i in range(len(fields))]
    least, longest = sum(sizes[:must]), ends[-1]
    by_size = {ends[i]: fixed_run(fields[: i + 1], endian) for i in range(max(must - 1, 0), len(fields))}
    whole = by_size[longest]
    beginning = by_size.get(least)

    def step(reader: Reader, at: int, out: dict[str, Any]) -> int:
        there = reader.limit - at
        if there >= longest:
            return whole(reader, at, out)
        if (upto := by_size.get(there)) is not None:
            upto(reader, at, out)
            return ABSENT
        if there < least and beginning is not None:
            return beginning(reader, at, out)
        if there <= 0 and not must:
            return ABSENT
        cut = fields[next(i for i, end in enumerate(ends) if end > there)]
        raise DecodeError(
            "truncated",
            field=cut.name or cut.type,
            found=f"{reader.limit} bytes",
            expected="a frame that ends after a field",
        )

    return step


def _is_native(field: StructField, endian: str) -> bool:
    return packed(field, endian).turn is None


def _constant(field: StructField, endian: str) -> tuple[Any, Any, StructField]:
    """What `struct` must unpack here, and the value that stands for it; raises ValueError."""
    if is_number(field.type) and type(field.const) is not int:
        raise ValueError(f"expected a whole number as const of {field.type}, found {field.const!r}")
    if _is_native(field, endian):
        pack(field, endian, field.const)
        return field.const, field.const, field
    raw, turn = pack(field, endian, field.const), packed(field, endian).turn
    return raw, turn(raw) if turn is not None else raw, field


def _refuse_constant(found: Any, expected: Any, field: StructField, at: int) -> None:
    if type(found) is bytes and (turn := packed(field, "big").turn) is not None and not is_number(field.type):
        with contextlib.suppress(DecodeError):
            found = turn(found)
    raise DecodeError("constant", field=field.name or f"byte {at}", found=shown(found), expected=shown(expected))


def _parts(place: int, field: StructField, turn: Turn | None) -> _Parts:
    if field.type not in UNSIGNED:
        raise ValueError(f"expected bits and flags on an unsigned number, found them on {field.type}")
    width = 8 * number_size(field.type)
    if len(field.flags) > width or any(bit.start + bit.width > width for bit in field.bits.values()):
        raise ValueError(f"expected bits and flags within the {width} bits of {field.name or field.type}, found more")
    return _Parts(place, turn, bits_of(field.bits), flags_of(field.flags))


def bits_of(bits: dict[str, Bits]) -> tuple[tuple[str, int, int], ...]:
    """(name, how far to shift, mask)"""
    return tuple((name, bit.start, (1 << bit.width) - 1) for name, bit in bits.items())


def flags_of(flags: tuple[str | None, ...]) -> tuple[tuple[str, int], ...]:
    return tuple((name, 1 << i) for i, name in enumerate(flags) if name)


def _take_apart(part: _Parts, values: tuple[Any, ...], out: dict[str, Any]) -> None:
    place, turn, bits, flags = part
    number = values[place] if turn is None else turn(values[place])
    for name, start, mask in bits:
        out[name] = number >> start & mask
    for name, mask in flags:
        out[name] = number & mask != 0


# --- fields whose size the frame says --------------------------------------------------------------------------------


def _sized(field: StructField, endian: str) -> Step:
    """A text of a length that stands before it, in an earlier field, or that takes all that is left."""
    if field.type not in SIZED:
        packed(field, endian)  # explains what is wrong
        raise ValueError(f"expected a size on text only, found one on {field.type}")
    if (field.prefix is None) == (field.size is None):
        raise ValueError(f"expected either size or prefix on {field.name or field.type}")
    name, measure = field.name, _prefixed(field, endian) if field.prefix else _measured(field)
    turn = None if field.type == "skip" or name is None else turn_of(field)
    constant = None if field.const is None else pack(field, endian, field.const)

    def step(reader: Reader, at: int, out: dict[str, Any]) -> int:
        at, size = measure(reader, at, out)
        end = at + size
        if end > reader.limit:
            raise DecodeError(
                "truncated", field=name or field.type, found=f"{reader.limit} bytes", expected=f"at least {end}"
            )
        raw = reader.raw[at:end]
        if constant is not None and raw != constant:
            raise DecodeError("constant", field=name or f"byte {at}", found=shown(raw), expected=shown(field.const))
        if turn is not None and name is not None:
            out[name] = turn(raw)
        return end

    return step


_Measure = Callable[[Reader, int, dict[str, Any]], tuple[int, int]]
"""-> (where the bytes begin, how many there are)"""


def _prefixed(field: StructField, endian: str) -> _Measure:
    own = None if field.type == "hex" else field.endian  # of hex it says how the digits read
    how = packed(StructField(name="length", type=field.prefix or "u8", endian=own), endian)
    unpack, size, turn = struct.Struct((how.order or ">") + how.code).unpack_from, how.size, how.turn
    name = field.name or field.type

    def measure(reader: Reader, at: int, _out: dict[str, Any]) -> tuple[int, int]:
        if at + size > reader.limit:
            raise DecodeError("truncated", field=name, found=f"{reader.limit} bytes", expected=f"at least {at + size}")
        length = unpack(reader.raw, at)[0]
        return at + size, length if turn is None else turn(length)

    return measure


def _measured(field: StructField) -> _Measure:
    if field.size == TO_THE_END:
        return lambda reader, at, _: (at, max(reader.limit - at, 0))
    if not isinstance(field.size, str):
        raise ValueError(f"expected a size on {field.name or field.type}, found none")
    source, name = field.size, field.name or field.type

    def measure(reader: Reader, at: int, out: dict[str, Any]) -> tuple[int, int]:
        size = find(source, name, reader, out)
        if type(size) is not int or size < 0:
            raise DecodeError("wrong_type", field=source, found=shown(size), expected=f"the size of {name}")
        return at, size

    return measure


def find(source: str, name: str, reader: Reader, out: dict[str, Any]) -> Any:
    """The value of an earlier field, of this object or of those around it; raises DecodeError."""
    if source in out:
        return out[source]
    for place in reversed(reader.around):
        if source in place:
            return place[source]
    raise DecodeError("missing", field=name, found=f"no field {source}", expected=f"{source} before {name}")


# --- groups, switches, repetition ------------------------------------------------------------------------------------


def _group(field: StructField, endian: str) -> Step:
    name, steps = _members(field, endian)

    def step(reader: Reader, at: int, out: dict[str, Any]) -> int:
        member: dict[str, Any] = {}
        reader.around.append(out)
        at = advance(steps, reader, at, member)
        reader.around.pop()
        out[name] = member
        return at

    return step


def _members(field: StructField, endian: str) -> tuple[str, list[Step]]:
    if not field.fields or field.name is None:
        raise ValueError(f"expected a name and fields in a group, found {field.name or 'neither'}")
    return field.name, compile_fields(field.fields, endian)


def _switch(field: StructField, endian: str) -> Step:
    if field.on is None or not field.cases:
        raise ValueError(f"expected on and cases in a switch, found {field.on or 'neither'}")
    if field.count is not None:
        raise ValueError("expected a switch without count (put it into a group), found one")
    source = field.on
    cases: dict[int | str, list[Step]] = {}
    for key, fields in field.cases.items():
        steps = compile_fields(fields, endian)
        cases[key] = steps
        if (number := whole_number(key)) is not None:
            cases[number] = steps
    other = cases.pop(TO_THE_END, None)
    expected = "one of " + ", ".join(field.cases)

    def step(reader: Reader, at: int, out: dict[str, Any]) -> int:
        value = find(source, "switch", reader, out)
        steps = cases.get(value, other) if isinstance(value, int | str) else other
        if steps is None:
            raise DecodeError("unknown_word", field=source, found=shown(value), expected=expected)
        for inner in steps:
            at = inner(reader, at, out)
            if at == ABSENT:
                return ABSENT
        return at

    return step


def whole_number(text: str) -> int | None:
    """`12` and `0x0c` -> 12; None for anything else."""
    try:
        return int(text, 16 if text.lower().startswith("0x") else 10)
    except ValueError:
        return None


def _repeated(field: StructField, endian: str) -> Step:
    if field.name is None:
        raise ValueError("expected a name on a repeated field")
    if field.type == "skip":
        raise ValueError(f"expected size on the skipped {field.name}, found count")
    name, count = field.name, _counter(field.count, field.name)
    if is_number(field.type) and packed(field, endian).turn is None:
        return _numbers(field, name, count, endian)
    if field.type == "group":
        steps, unwrap = _members(field, endian)[1], False
    else:
        single = {"count": None, "optional": False, "name": "value"}
        steps, unwrap = compile_fields((field.model_copy(update=single),), endian), True
    cost = _cost(field.fields)

    def step(reader: Reader, at: int, out: dict[str, Any]) -> int:
        wanted = count(reader, out)
        members: list[Any] = []
        reader.around.append(out)
        while len(members) < wanted if wanted >= 0 else at < reader.limit:
            _spend(reader, cost, len(members), name)
            member: dict[str, Any] = {}
            at = advance(steps, reader, at, member)
            members.append(member["value"] if unwrap else member)
        reader.around.pop()
        out[name] = members
        return at

    return step


def _cost(fields: tuple[StructField, ...]) -> int:
    """What a member counts for against MOST_VALUES: its values, and the work and room that any member takes."""
    cost = 4
    for field in fields:
        cost += 1 + len(field.bits) + len(field.flags)
        if field.count is None and field.fields:
            cost += _cost(field.fields)
        cost += max((_cost(case) for case in field.cases.values()), default=0)
    return cost


def _spend(reader: Reader, cost: int, so_far: int, name: str) -> None:
    reader.left -= cost
    if reader.left < 0 or so_far >= LARGEST_COUNT:
        most = LARGEST_COUNT if so_far >= LARGEST_COUNT else f"{MOST_VALUES} values in a frame"
        raise DecodeError("too_many", field=name, found=f"more than {most}", expected="fewer")


_Counter = Callable[[Reader, dict[str, Any]], int]


def _numbers(field: StructField, name: str, count: _Counter, endian: str) -> Step:
    """Numbers that `struct` knows, unpacked at once."""
    how = packed(field, endian)
    code, order, size = how.code, how.order or ">", how.size
    expected = field.const

    def step(reader: Reader, at: int, out: dict[str, Any]) -> int:
        n = count(reader, out)
        if n < 0:
            n = max(reader.limit - at, 0) // size
            if n > LARGEST_COUNT:
                raise DecodeError("too_many", field=name, found=str(n), expected=f"at most {LARGEST_COUNT}")
        end = at + n * size
        if end > reader.limit:
            raise DecodeError("truncated", field=name, found=f"{reader.limit} bytes", expected=f"at least {end}")
        reader.left -= n
        if reader.left < 0:
            _spend(reader, 0, 0, name)
        raw = reader.raw
        values = list(raw[at:end]) if code == "B" else list(struct.unpack_from(f"{order}{n}{code}", raw, at))
        if expected is not None and any(value != expected for value in values):
            raise DecodeError("constant", field=name, found=shown(values), expected=f"{expected} everywhere")
        out[name] = values
        return end

    return step


def _counter(count: int | str | None, name: str) -> _Counter:
    """How often a field repeats; negative means to the end."""
    if isinstance(count, int):
        if not 0 <= count <= LARGEST_COUNT:
            raise ValueError(f"expected a count of 0 to {LARGEST_COUNT} on {name}, found {count}")
        fixed = count
        return lambda _reader, _out: fixed
    if count == TO_THE_END:
        return lambda _reader, _out: -1
    source = str(count)

    def named(reader: Reader, out: dict[str, Any]) -> int:
        n = out[source] if source in out else find(source, name, reader, out)
        if type(n) is not int or not 0 <= n <= LARGEST_COUNT:
            raise DecodeError("too_many", field=source, found=shown(n), expected=f"0 to {LARGEST_COUNT}")
        return n

    return named
