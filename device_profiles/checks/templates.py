"""Slots in templates: `{address}`, `{port+1}`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from device_profiles.checks.subject import Mistakes, Path, Subject
from device_profiles.mistakes import shown

_SLOT = re.compile(r"\{([^{}]+?)([+-]\d+)?\}")
_NAME = re.compile(r"\{([a-z][a-z0-9_]*)([+-]\d+)?\}")
_CAPTURE = re.compile(r"\{([a-z][a-z0-9_]*)\+?\}")
_LEVEL = re.compile(r"\+|#|\{[a-z][a-z0-9_]*\+\}|[^+#{}\0]*(\{[a-z][a-z0-9_]*\}[^+#{}\0]*)?")


def slots(text: str) -> list[str]:
    """What stands between the braces, without `+1`."""
    return [found[1].strip() for found in _SLOT.finditer(text)]


def without_slots(text: str) -> str:
    return _SLOT.sub("", text)


def captures_of(topic: str) -> list[str]:
    """The captures of a binding's topic, in order."""
    return [found[1] for found in _CAPTURE.finditer(topic)]


def topic(subject: Subject, path: Path, text: str) -> Mistakes:
    """A binding's topic: levels, captures, `+` and `#`."""
    levels = text.split("/")
    if not text or len(text) > 1024:
        yield subject.mistake(path, f"{len(text)} characters", "a topic of 1 to 1024 characters")
        return
    for level in levels:
        if not _LEVEL.fullmatch(level):
            yield subject.mistake(path, f"the level {level!r}", "a literal, {name}, {name+}, + or # as a level")
    if "#" in levels[:-1]:
        yield subject.mistake(path, shown(text), "# only as the last level")
    many = [level for level in levels if level == "#" or level.endswith("+}")]
    if len(many) > 1:
        yield subject.mistake(path, " and ".join(many), "at most one part of several levels")
    names = captures_of(text)
    for twice in sorted({name for name in names if names.count(name) > 1}):
        yield subject.mistake(path, f"the capture {{{twice}}} twice", "each capture once")


def template(subject: Subject, path: Path, text: str) -> Mistakes:
    """Any slots, as paths may be meant: but braces in pairs."""
    rest = without_slots(text)
    if not text or "{" in rest or "}" in rest:
        yield subject.mistake(path, shown(text), "a template such as {port+1}")


def over(subject: Subject, path: Path, text: str, known: Collection[str], what: str) -> Mistakes:
    """A template in which every slot has one of these names."""
    yield from template(subject, path, text) if text else ()
    for slot in slots(text):
        yield from subject.known(path, slot, known, what)


def named_in(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Every slot with a plain name in the texts of a structure. Braces of JSON text are none."""
    if isinstance(value, str):
        yield from ((path, found[1]) for found in _NAME.finditer(value))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from named_in(str(key), (*path, str(key)))
            yield from named_in(inner, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from named_in(inner, (*path, i))
