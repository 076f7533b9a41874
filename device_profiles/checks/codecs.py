"""Codec chains: one kind per step, each step can read what the one before gives, and every layout makes sense."""

from __future__ import annotations

from collections.abc import Collection

from device_profiles.checks import frames, templates
from device_profiles.checks.limits import MOST_FIELDS, MOST_STEPS
from device_profiles.checks.subject import Mistakes, Path, Subject
from device_profiles.mistakes import shown
from device_profiles.patterns import compile_pattern
from device_profiles.schema import Binding, Codec, Column, Csv, Sparkplug

KINDS = {field.alias or name: name for name, field in Codec.model_fields.items() if name != "at"}
_BINARY = frozenset({"struct", "tlv", "modbus", "sparkplug_b"})
_GIVES = {
    **dict.fromkeys(("json", "json_scalar", "json_string"), "a value"),
    **dict.fromkeys(("hex", "base64"), "bytes"),
    "text": "text",
}
"""What a step makes of its message; every other kind makes an object of it."""


def check(subject: Subject, binding: Binding, captures: Collection[str], path: Path) -> Mistakes:
    """The chain of one binding."""
    if len(binding.decode) > MOST_STEPS:
        yield subject.mistake((*path, "decode"), f"{len(binding.decode)} steps", f"at most {MOST_STEPS}")
    has = "bytes"
    for i, codec in enumerate(binding.decode):
        here: Path = (*path, "decode", i)
        given = [kind for kind, name in KINDS.items() if getattr(codec, name) not in (None, False)]
        if len(given) != 1:
            yield subject.mistake(here, f"{len(given)} steps in one", f"exactly one of {', '.join(KINDS)}")
            continue
        kind = given[0]
        yield from _layout(subject, codec, kind, captures, here)
        if codec.at is not None:
            if has in ("bytes", "text"):
                yield subject.mistake(
                    (*here, "at"), f"a path into {has}", "a step before it that decodes, such as json"
                )
            continue
        if not _can_read(kind, has):
            yield subject.mistake(here, f"{kind} after a step that gives {has}", _wanted(kind))
        has = has if kind == "check" else _GIVES.get(kind, "an object")


def _can_read(kind: str, has: str) -> bool:
    if kind in _BINARY:
        return has == "bytes"
    if kind == "pivot":
        return has in ("a value", "an object")
    return has != "an object"


def _wanted(kind: str) -> str:
    if kind in _BINARY:
        return "bytes: the message itself, or a step such as hex or base64 before it; inside of what is decoded, at: …"
    return "an array: a step such as json before it" if kind == "pivot" else "bytes or text; inside of an object, at: …"


def _layout(subject: Subject, codec: Codec, kind: str, captures: Collection[str], path: Path) -> Mistakes:
    here: Path = (*path, kind)
    if codec.regex is not None:
        yield from pattern(subject, (*here, "pattern"), codec.regex.pattern, groups=True)
    elif codec.csv is not None:
        yield from _csv(subject, codec.csv, here)
    elif codec.fixed is not None:
        yield from _columns(subject, codec.fixed, here)
    elif codec.check is not None:
        yield from frames.integrity(subject, codec.check, here)
    elif codec.struct is not None:
        yield from frames.struct(subject, codec.struct, here)
    elif codec.tlv is not None:
        yield from frames.tlv(subject, codec.tlv, here)
    elif codec.modbus is not None:
        yield from frames.modbus(subject, codec.modbus, captures, here)
    elif codec.sparkplug_b is not None:
        spec = codec.sparkplug_b if isinstance(codec.sparkplug_b, Sparkplug) else Sparkplug()
        for key in ("node", "device", "type"):
            yield from templates.over(subject, (*here, key), getattr(spec, key), captures, "topic capture")


def pattern(subject: Subject, path: Path, text: str, *, groups: bool = False) -> Mistakes:
    """A regular expression that RE2 takes."""
    try:
        compiled = compile_pattern(text)
    except ValueError as error:
        expected = "an RE2 expression: no look-around, no back references, no huge repetition"
        yield subject.mistake(path, f"{shown(text)} ({error})", expected)
        return
    if groups and not compiled.groupindex:
        yield subject.mistake(path, shown(text), "at least one named group such as (?P<level>[0-9.]+)")


def _csv(subject: Subject, csv: Csv, path: Path) -> Mistakes:
    yield from _named_once(subject, csv.columns, (*path, "columns"))
    if csv.header and not csv.rows:
        yield subject.mistake((*path, "header"), "header without rows", "rows: true, as the first line names columns")
    if csv.header and csv.columns:
        yield subject.mistake((*path, "columns"), "columns and header", "one of them")
    if csv.quote is not None and len(csv.quote) != 1:
        yield subject.mistake((*path, "quote"), shown(csv.quote), "one character")


def _columns(subject: Subject, columns: tuple[Column, ...], path: Path) -> Mistakes:
    yield from _named_once(subject, [column.name for column in columns], path, "name")
    for i, column in enumerate(columns):
        backwards = column.end is not None and (column.start < 0) == (column.end < 0) and column.end <= column.start
        if backwards:
            yield subject.mistake((*path, i, "end"), f"{column.start} to {column.end}", "an end behind the start")


def _named_once(subject: Subject, names: Collection[str | None], path: Path, key: str | None = None) -> Mistakes:
    if len(names) > MOST_FIELDS:
        yield subject.mistake(path, f"{len(names)} columns", f"at most {MOST_FIELDS}")
    seen: set[str] = set()
    for i, name in enumerate(names):
        if name is not None and name in seen:
            yield subject.mistake((*path, i, key) if key else (*path, i), f"{name!r} twice", "each name once")
        seen.add(name or "")
