"""The codec chain: bytes -> JSON, XML, text in columns, a binary frame, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from device_profiles.schema import Codec
from device_profiles.schema.layouts import Integrity, Sparkplug, Xml
from gateway.decode.context import NOTHING, Context, ContextStep
from gateway.decode.errors import DecodeError, shown
from gateway.decode.frames import Suspect, frame_decoder
from gateway.decode.integrity import checker
from gateway.decode.modbus import modbus_decoder
from gateway.decode.paths import Path, Replace, parse_path, replacer
from gateway.decode.sparkplug import sparkplug_decoder
from gateway.decode.text import read_base64, read_hex, read_json, read_json_scalar, read_json_string, read_text
from gateway.decode.text_tables import csv_reader, fixed_reader, pairs_reader, pivot_reader, regex_reader
from gateway.decode.tlv import tlv_decoder
from gateway.decode.xml_objects import xml_reader

Chain = Callable[[bytes], Any]
ContextChain = Callable[[bytes, Context], Any]
Step = Callable[[Any], Any]

_MOST_STEPS = 16
_SWITCHED: dict[str, Step] = {
    "json_": read_json,
    "json_scalar": read_json_scalar,
    "json_string": read_json_string,
    "text": read_text,
    "hex": read_hex,
    "base64": read_base64,
}
"""Codecs that are just `true`."""
_MADE = ("xml", "csv", "fixed", "pairs", "regex", "pivot", "check", "struct", "tlv")
"""Codecs with a layout."""
_REMEMBERING = ("modbus", "sparkplug_b")
"""Codecs that need the message's context."""
_SPOKEN = {"json_": "json"}


def needs_context(codecs: tuple[Codec, ...]) -> bool:
    """Whether a chain remembers from message to message, and so must run as a `context_chain`."""
    return any(getattr(codec, name) for codec in codecs for name in _REMEMBERING)


def is_shared(codec: Codec) -> bool:
    """Whether bindings that begin with this codec can share what it makes of a message: it is told by nothing else,
    and has no doubts of its own."""
    return codec.at is None and any(getattr(codec, name) for name in _SWITCHED)


def chain(codecs: tuple[Codec, ...]) -> Chain:
    """Compile a codec chain that needs no context; raises ValueError.

    It returns the decoded value; within a `Suspect` where a check failed that only flags; or `NOTHING` where the
    message says nothing.
    """
    if needs_context(codecs):
        raise ValueError("expected a codec chain without modbus and sparkplug_b here")
    steps = [_placed(codec, _step(codec)) for codec in _checked(codecs)]
    if len(steps) == 1:
        return steps[0]

    def run(payload: bytes) -> Any:
        value: Any = payload
        sound = True
        for step in steps:
            value = step(value)
            if type(value) is Suspect:
                value, sound = value.value, False
            if value is NOTHING:
                return NOTHING
        return value if sound else Suspect(value)

    return run


def context_chain(codecs: tuple[Codec, ...], captures: frozenset[str]) -> ContextChain:
    """Compile any codec chain; raises ValueError. `captures` are those of the binding's topic."""
    steps = [_context_step(codec, captures) for codec in _checked(codecs)]

    def run(payload: bytes, context: Context) -> Any:
        value: Any = payload
        sound = True
        for step in steps:
            value = step(value, context)
            if type(value) is Suspect:
                value, sound = value.value, False
            if value is NOTHING:
                return NOTHING
        return value if sound else Suspect(value)

    return run


def _checked(codecs: tuple[Codec, ...]) -> tuple[Codec, ...]:
    if not 1 <= len(codecs) <= _MOST_STEPS:
        raise ValueError(f"expected 1 to {_MOST_STEPS} codecs, found {len(codecs)}")
    for codec in codecs:
        _kind(codec)
    return codecs


def _kind(codec: Codec) -> str:
    """The one kind that a codec names."""
    kinds = (*_SWITCHED, *_MADE, *_REMEMBERING)
    given = [name for name in kinds if getattr(codec, name) not in (None, False)]
    if len(given) != 1:
        words = ", ".join(_SPOKEN.get(name, name) for name in kinds)
        found = ", ".join(_SPOKEN.get(name, name) for name in given) or "none"
        raise ValueError(f"expected exactly one of {words} in a codec, found {found}")
    return given[0]


def _step(codec: Codec) -> Step:
    kind = _kind(codec)
    if kind in _SWITCHED:
        return _SWITCHED[kind]
    layout: Any = getattr(codec, kind)
    if kind == "xml":
        return xml_reader(Xml() if layout is True else layout)
    makers: dict[str, Callable[[Any], Step]] = {
        "csv": csv_reader,
        "fixed": fixed_reader,
        "pairs": pairs_reader,
        "regex": regex_reader,
        "pivot": pivot_reader,
        "check": _check,
        "struct": frame_decoder,
        "tlv": tlv_decoder,
    }
    return makers[kind](layout)


def _check(check: Integrity) -> Step:
    """Hands on what it looks at, flagged where the check fails and the profile takes it all the same."""
    sound = checker(check)

    def look(value: Any) -> Any:
        if not isinstance(value, bytes | str):
            raise DecodeError("wrong_type", found=shown(value), expected="bytes or a text to check")
        return value if sound(value) else Suspect(value)

    return look


def _context_step(codec: Codec, captures: frozenset[str]) -> ContextStep:
    if codec.modbus is not None:
        inner = modbus_decoder(codec.modbus, captures)
    elif codec.sparkplug_b:
        spec = Sparkplug() if codec.sparkplug_b is True else codec.sparkplug_b
        inner = sparkplug_decoder(spec, captures)
    else:
        step = _placed(codec, _step(codec))
        return lambda value, _: step(value)
    path = _place(codec)
    if path is None:
        return inner
    replace = replacer(path)
    return lambda value, context: _at(replace, value, lambda found: inner(found, context))


def _placed(codec: Codec, step: Step) -> Step:
    """The step at its place inside what is decoded so far."""
    path = _place(codec)
    if path is None:
        return step
    replace = replacer(path)
    return lambda value: _at(replace, value, step)


def _place(codec: Codec) -> Path | None:
    path = parse_path(codec.at or "")
    return path if path.segments else None


def _at(replace: Replace, value: Any, step: Step) -> Any:
    """The value with what the step makes of one place in it. What was decoded before is not changed: it may be shared
    with bindings that read it otherwise."""
    last: Any = None

    def change(found: Any) -> Any:
        nonlocal last
        last = step(found)
        return last.value if type(last) is Suspect else last

    changed = replace(value, change)
    if last is NOTHING:
        return NOTHING
    return Suspect(changed) if type(last) is Suspect else changed
