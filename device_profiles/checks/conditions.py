"""`when`: every test looks at something, and compares it with something."""

from __future__ import annotations

import re
from collections.abc import Collection

from device_profiles.checks.codecs import pattern
from device_profiles.checks.subject import Mistakes, Path, Subject
from device_profiles.mistakes import shown
from device_profiles.schema import When

_DEEPEST = 8
_MOST = 50


def check(subject: Subject, when: When, captures: Collection[str], path: Path, depth: int = 1) -> Mistakes:
    """One condition over a message."""
    if depth > _DEEPEST:
        yield subject.mistake(path, f"more than {_DEEPEST} levels of all_of", "one list of conditions")
        return
    if when == When():
        yield subject.mistake(path, "no test", "at least one, such as path, capture, prefix or text")
    yield from _bytes(subject, when, path)
    yield from _values(subject, when, captures, path)
    if len(when.all_of) > _MOST:
        yield subject.mistake((*path, "all_of"), f"{len(when.all_of)} of them", f"at most {_MOST}")
        return
    for i, inner in enumerate(when.all_of):
        yield from check(subject, inner, captures, (*path, "all_of", i), depth + 1)


def _bytes(subject: Subject, when: When, path: Path) -> Mistakes:
    if when.prefix is not None and not re.fullmatch(r"[0-9a-fA-F?]+", "".join(when.prefix.split())):
        yield subject.mistake((*path, "prefix"), shown(when.prefix), "hex digits (or ?)")
    if (when.at is None) != (when.byte is None):
        yield subject.mistake(path, "at without byte" if when.byte is None else "byte without at", "at and byte")
    if when.byte is not None and not 0 <= when.byte <= 255:
        yield subject.mistake((*path, "byte"), f"{when.byte}", "0 to 255")
    for key in ("length", "min_length"):
        if (length := getattr(when, key)) is not None and length < 0:
            yield subject.mistake((*path, key), f"{length}", "a number of bytes")
    if when.length is not None and when.min_length is not None:
        yield subject.mistake(path, "length and min_length", "one of them")


def _values(subject: Subject, when: When, captures: Collection[str], path: Path) -> Mistakes:
    if when.path is not None:
        yield from value_path(subject, (*path, "path"), when.path)
    if when.absent is not None:
        yield from value_path(subject, (*path, "absent"), when.absent)
    if when.capture is not None:
        yield from subject.known((*path, "capture"), when.capture, captures, "topic capture")
        if not (when.equals is not None or when.one_of is not None or when.regex is not None):
            yield subject.mistake((*path, "capture"), "nothing to compare it with", "equals, one_of or regex")
    if when.path is not None and when.capture is not None:
        yield subject.mistake(path, "path and capture", "one of them; the other one goes into all_of")
    if when.equals is not None and when.one_of is not None:
        yield subject.mistake(path, "equals and one_of", "one of them")
    if when.one_of == ():
        yield subject.mistake((*path, "one_of"), "an empty list", "at least one value")
    compared = when.equals is not None or when.one_of is not None
    if compared and when.path is None and when.capture is None:
        yield subject.mistake(path, "equals or one_of alone", "path or capture: what is compared")
    if when.regex is not None:
        yield from pattern(subject, (*path, "regex"), when.regex)


def value_path(subject: Subject, path: Path, text: str) -> Mistakes:
    """A path into a payload: its quotes and brackets close."""
    bare = re.sub(r'"[^"]*"|\'[^\']*\'', "", text)
    if len(text) > 500 or '"' in bare or bare.count("[") != bare.count("]"):
        yield subject.mistake(path, shown(text), 'a path such as a.b[0]."c:d"')
