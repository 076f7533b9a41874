"""Binary layouts: struct fields and what they refer to, checks, TLV keys, Modbus polls and their registers."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from device_profiles.checks import templates
from device_profiles.checks.limits import MOST_FIELDS
from device_profiles.checks.subject import Mistakes, Path, Subject
from device_profiles.mistakes import nearest, one_of, shown
from device_profiles.schema import (
    Bits,
    Integrity,
    ModbusLayout,
    ModbusPoll,
    Register,
    StructField,
    StructLayout,
    TlvLayout,
)

NUMBERS = {
    **{f"{sign}{bits}": bits // 8 for sign in "ui" for bits in (8, 16, 24, 32, 48, 64)},
    **{f"f{bits}": bits // 8 for bits in (16, 32, 64)},
    "bool": 1,
}
"""Types of one size -> bytes."""
_SIZED = ("bcd", "ascii", "text", "hex", "skip")
_TYPES = (*NUMBERS, *_SIZED, "group", "switch")
_TO_THE_END = "*"
_MOST_REPEATED = 4096
_DEEPEST = 8
_LARGEST_SIZE = 65_535
_CHECK_BYTES = {"sum8": 1, "xor8": 1}


# --- struct ----------------------------------------------------------------------------------------------------------


@dataclass
class _Walk:
    """What has been read so far, on the way through a layout."""

    subject: Subject
    seen: list[set[str]] = field(default_factory=lambda: [set()])
    """Names of each object, the innermost last."""
    fields: int = 0

    def earlier(self) -> set[str]:
        return set().union(*self.seen)


def struct(subject: Subject, layout: StructLayout, path: Path) -> Mistakes:
    """A frame's layout."""
    for i, one in enumerate(layout.integrity):
        yield from integrity(subject, one, (*path, "integrity", i))
    if not layout.fields:
        yield subject.mistake((*path, "fields"), "no fields", "at least one field")
    yield from _fields(_Walk(subject), layout.fields, (*path, "fields"), 1)


def _fields(walk: _Walk, fields: tuple[StructField, ...], path: Path, depth: int) -> Mistakes:
    if depth > _DEEPEST:
        yield walk.subject.mistake(path, f"more than {_DEEPEST} levels of groups and cases", "a flatter layout")
        return
    walk.fields += len(fields)
    if walk.fields > MOST_FIELDS:
        yield walk.subject.mistake(path, f"more than {MOST_FIELDS} fields", f"at most {MOST_FIELDS} in one layout")
        return
    for i, one in enumerate(fields):
        yield from _field(walk, one, (*path, i), depth)


def _field(walk: _Walk, one: StructField, path: Path, depth: int) -> Mistakes:
    subject = walk.subject
    if one.type not in _TYPES:
        yield subject.mistake((*path, "type"), f"the type {one.type!r}", f"{one_of(_TYPES)}{nearest(one.type, _TYPES)}")
        return
    yield from _size(walk, one, path)
    yield from _count(walk, one, path)
    yield from _const(subject, one, path)
    yield from parts_of_number(subject, one.type, one.bits, one.flags, path)
    if one.type == "switch":
        yield from _switch(walk, one, path, depth)
        return
    for key in ("on", "cases"):
        if getattr(one, key):
            yield subject.mistake((*path, key), f"{key} on a field of type {one.type}", "type: switch")
    yield from _named(walk, one, path)
    if one.type == "group":
        walk.seen.append(set())
        yield from _fields(walk, one.fields, (*path, "fields"), depth + 1)
        walk.seen.pop()
        if not one.fields:
            yield subject.mistake(path, "a group without fields", "fields: […]")
    elif one.fields:
        yield subject.mistake((*path, "fields"), f"fields on a field of type {one.type}", "type: group")


def _named(walk: _Walk, one: StructField, path: Path) -> Mistakes:
    names = [one.name, *one.bits, *one.flags]
    for name in names:
        if name is not None and name in walk.seen[-1]:
            yield walk.subject.mistake(path, f"{name!r} twice", "each name once")
        if name is not None:
            walk.seen[-1].add(name)
    if one.type == "skip" or one.const is not None or one.bits or one.flags:
        return
    if one.name is None:
        yield walk.subject.mistake(path, f"a {one.type} without a name", "a name, or type: skip")


def _size(walk: _Walk, one: StructField, path: Path) -> Mistakes:
    subject = walk.subject
    if one.type not in _SIZED:
        for key in ("size", "prefix"):
            if getattr(one, key) is not None:
                yield subject.mistake(
                    (*path, key), f"{key} on a field of type {one.type}", f"one of {', '.join(_SIZED)}"
                )
        return
    if (one.size is None) == (one.prefix is None):
        found = "neither size nor prefix" if one.size is None else "size and prefix"
        yield subject.mistake(path, found, f"one of size, prefix on a field of type {one.type}")
    if isinstance(one.size, int):
        if not 1 <= one.size <= _LARGEST_SIZE:
            yield subject.mistake((*path, "size"), f"{one.size} bytes", f"1 to {_LARGEST_SIZE}")
    elif one.size is not None and one.size != _TO_THE_END:
        yield from subject.known((*path, "size"), one.size, [*walk.earlier(), _TO_THE_END], "earlier field")


def _count(walk: _Walk, one: StructField, path: Path) -> Mistakes:
    if isinstance(one.count, int):
        if not 0 <= one.count <= _MOST_REPEATED:
            yield walk.subject.mistake((*path, "count"), f"{one.count} times", f"0 to {_MOST_REPEATED}")
    elif one.count is not None and one.count != _TO_THE_END:
        yield from walk.subject.known((*path, "count"), one.count, [*walk.earlier(), _TO_THE_END], "earlier field")
    if one.count is not None and one.type == "switch":
        yield walk.subject.mistake((*path, "count"), "count on a switch", "a group around it that is repeated")
    if one.count is not None and (one.bits or one.flags):
        yield walk.subject.mistake((*path, "count"), "bits of a repeated number", "a group that is repeated")


def _const(subject: Subject, one: StructField, path: Path) -> Mistakes:
    if one.const is None:
        return
    here: Path = (*path, "const")
    if one.type in ("group", "switch", "skip"):
        yield subject.mistake(here, f"const on a field of type {one.type}", "a number, text or hex digits")
    elif one.type in NUMBERS and one.type != "bool" and not isinstance(one.const, int):
        yield subject.mistake(here, shown(one.const), f"a whole number for {one.type}")
    elif one.type == "hex" and not _hex(str(one.const)):
        yield subject.mistake(here, shown(one.const), "pairs of hex digits")
    elif one.type == "hex" and isinstance(one.size, int) and len(_hex(str(one.const)) or "") != 2 * one.size:
        yield subject.mistake(here, shown(one.const), f"{one.size} bytes of hex digits")
    elif one.type[0] in "ui" and isinstance(one.const, int):
        bits = 8 * NUMBERS[one.type]
        low, high = (0, 2**bits - 1) if one.type[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        if not low <= one.const <= high:
            yield subject.mistake(here, shown(one.const), f"{low} to {high} for {one.type}")


def _hex(text: str) -> str | None:
    digits = "".join(text.split())
    return digits if digits and re.fullmatch(r"(?:[0-9a-fA-F]{2})+", digits) else None


def parts_of_number(
    subject: Subject, type_: str, bits: dict[str, Bits], flags: tuple[str | None, ...], path: Path
) -> Mistakes:
    """Bits and flags lie within an unsigned number."""
    if not bits and not flags:
        return
    if type_ not in NUMBERS or type_[0] != "u":
        yield subject.mistake(path, f"bits of a field of type {type_}", "an unsigned number such as u16")
        return
    width = 8 * NUMBERS[type_]
    for name, part in bits.items():
        if part.start + part.width > width:
            found = f"bits {part.start} to {part.start + part.width - 1}"
            yield subject.mistake((*path, "bits", name), found, f"bits 0 to {width - 1} of {type_}")
    if len(flags) > width:
        yield subject.mistake((*path, "flags"), f"{len(flags)} flags", f"at most {width} in {type_}")
    named = [name for name in flags if name is not None]
    for name in sorted({name for name in named if named.count(name) > 1 or name in bits}):
        yield subject.mistake((*path, "flags"), f"{name!r} twice", "each name once")


def _switch(walk: _Walk, one: StructField, path: Path, depth: int) -> Mistakes:
    subject = walk.subject
    if one.on is None:
        yield subject.mistake(path, "a switch without on", "on: the earlier field that chooses")
    else:
        yield from subject.known((*path, "on"), one.on, sorted(walk.earlier()), "earlier field")
    if not one.cases:
        yield subject.mistake(path, "a switch without cases", "cases: {1: […]}")
    before = set(walk.seen[-1])
    after = set(before)
    for value, fields in one.cases.items():
        if value != _TO_THE_END and not re.fullmatch(r"-?\d+|0[xX][0-9a-fA-F]+|[^\s]+", value):
            yield subject.mistake((*path, "cases", value), repr(value), 'a number, 0x.., or "*"')
        # Cases exclude each other: what one reads, another may read too.
        walk.seen[-1] = set(before)
        yield from _fields(walk, fields, (*path, "cases", value), depth + 1)
        after |= walk.seen[-1]
    walk.seen[-1] = after


# --- checks ----------------------------------------------------------------------------------------------------------


def integrity(subject: Subject, one: Integrity, path: Path) -> Mistakes:
    """A check that can be where it says."""
    needed = _CHECK_BYTES.get(one.kind, 2)
    if one.kind != "length" and one.size is not None and one.size != needed:
        yield subject.mistake((*path, "size"), f"{one.size} bytes", f"{needed} for {one.kind}")
    if one.kind == "length" and one.at is None:
        yield subject.mistake(path, "no at", "at: the offset of the length field")
    if one.kind != "length" and (one.counts_from or one.counts_to):
        yield subject.mistake(path, f"counts_from or counts_to on {one.kind}", "kind: length, or start and end")
    if one.counts_to < 0:
        yield subject.mistake((*path, "counts_to"), f"{one.counts_to}", "the number of bytes at the end, from 0")
    if one.end is not None and (one.start < 0) == (one.end < 0) and one.end <= one.start:
        yield subject.mistake((*path, "end"), f"{one.start} to {one.end}", "an end behind the start")


# --- tlv -------------------------------------------------------------------------------------------------------------


def tlv(subject: Subject, layout: TlvLayout, path: Path) -> Mistakes:
    """Keys, and a layout for each."""
    for i, one in enumerate(layout.integrity):
        yield from integrity(subject, one, (*path, "integrity", i))
    if not layout.entries:
        yield subject.mistake((*path, "entries"), "no entries", "at least one key")
    if layout.unknown == "skip" and not layout.length_bytes:
        yield subject.mistake((*path, "unknown"), "skip without a length", "length_bytes: 1 or 2, or flag or reject")
    if layout.skip < 0:
        yield subject.mistake((*path, "skip"), f"{layout.skip}", "a number of bytes from 0")
    walk = _Walk(subject)
    seen: set[str] = set()
    for key, entry in layout.entries.items():
        here: Path = (*path, "entries", key)
        digits = "".join(key.split()).lower()
        if not re.fullmatch(r"[0-9a-f?]+", digits) or len(digits) != 2 * layout.key_bytes:
            yield subject.mistake(here, f"the key {key!r}", f"{2 * layout.key_bytes} hex digits (or ?)")
        if digits in seen:
            yield subject.mistake(here, f"the key {key!r} twice", "each key once")
        seen.add(digits)
        if entry.many and entry.into is None:
            yield subject.mistake((*here, "many"), "many without into", "into: the name of the array")
        if entry.key_as is not None and "?" not in digits:
            yield subject.mistake((*here, "key_as"), f"key_as for {key!r}", "a key with ? digits")
        walk.seen = [set()]
        yield from _fields(walk, entry.fields, (*here, "fields"), 1)


# --- modbus ----------------------------------------------------------------------------------------------------------


def modbus(subject: Subject, layout: ModbusLayout, captures: Collection[str], path: Path) -> Mistakes:
    """Polls, and the registers each one asks for."""
    if not layout.polls:
        yield subject.mistake((*path, "polls"), "no polls", "at least one poll")
    yield from subject.each_once((*path, "polls"), (poll.id for poll in layout.polls))
    if layout.request_topic is not None:
        here: Path = (*path, "request_topic")
        yield from templates.over(subject, here, layout.request_topic, captures, "topic capture")
        if {"+", "#"} & set(templates.without_slots(layout.request_topic)):
            yield subject.mistake(here, shown(layout.request_topic), "a topic without + and #")
    registers = 0
    for i, poll in enumerate(layout.polls):
        registers += len(poll.registers)
        if registers > MOST_FIELDS * 4:
            yield subject.mistake((*path, "polls", i), f"more than {MOST_FIELDS * 4} registers", "fewer registers")
            return
        yield from _poll(subject, layout, poll, (*path, "polls", i))


def _poll(subject: Subject, layout: ModbusLayout, poll: ModbusPoll, path: Path) -> Mistakes:
    coils = poll.function in (1, 2)
    most = 2000 if coils else 125
    if poll.count > most:
        yield subject.mistake((*path, "count"), f"{poll.count}", f"at most {most} with function {poll.function}")
    if poll.start + poll.count > 65_536:
        yield subject.mistake((*path, "count"), f"{poll.start} + {poll.count}", "addresses up to 65535")
    if poll.every is not None and layout.request_topic is None:
        yield subject.mistake((*path, "every"), "every without request_topic", "request_topic: where requests are sent")
    if poll.every is not None and poll.every.total_seconds() < 0.1:
        yield subject.mistake((*path, "every"), f"{poll.every.total_seconds():g}s", "at least 100ms")
    if not poll.registers:
        yield subject.mistake((*path, "registers"), "no registers", "at least one")
    names: set[str] = set()
    for i, register in enumerate(poll.registers):
        here: Path = (*path, "registers", i)
        for name in (register.name, *register.bits, *register.flags):
            if name is not None and name in names:
                yield subject.mistake(here, f"{name!r} twice", "each name once in a poll")
            names.add(name or "")
        yield from _register(subject, poll, register, here)


def _register(subject: Subject, poll: ModbusPoll, register: Register, path: Path) -> Mistakes:
    coils = poll.function in (1, 2)
    known = ("coil",) if coils else tuple(type_ for type_ in (*NUMBERS, *_SIZED) if type_ not in ("bool", "skip"))
    if register.type not in known and not (
        coils and register.type == "u16" and "type" not in register.model_fields_set
    ):
        expected = f"{one_of(known)} with function {poll.function}{nearest(register.type, known)}"
        yield subject.mistake((*path, "type"), f"the type {register.type!r}", expected)
        return
    sized = register.type in _SIZED
    if sized and not (register.size and 1 <= register.size <= 250):
        yield subject.mistake((*path, "size"), f"{register.size or 'nothing'}", f"1 to 250 bytes of {register.type}")
        return
    if not sized and register.size is not None:
        yield subject.mistake((*path, "size"), f"size on a register of type {register.type}", "no size")
    yield from parts_of_number(subject, register.type, register.bits, register.flags, path)
    wide = 1 if coils else ((register.size or NUMBERS.get(register.type, 2)) + 1) // 2
    last = register.at + wide - 1
    if register.at < poll.start or last >= poll.start + poll.count:
        found = f"{register.at}" if wide == 1 else f"{register.at} to {last}"
        yield subject.mistake((*path, "at"), found, f"{poll.start} to {poll.start + poll.count - 1}, as the poll asks")
