"""`when`: every test looks at something, and compares it with something."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from device_profiles.checks.codecs import pattern
from device_profiles.checks.subject import Mistakes, Path, Subject
from device_profiles.mistakes import shown
from device_profiles.schema import ValuePath, When

_DEEPEST = 8
_OF_BYTES = ("prefix", "text", "at", "length", "min_length")
_MOST = 50


def check(subject: Subject, when: When, captures: Collection[str], path: Path, depth: int = 1) -> Mistakes:
    """One condition over a message."""
    if depth > _DEEPEST:
        found = f"more than {_DEEPEST} levels of all_of, any_of and not"
        yield subject.mistake(path, found, "one list of conditions")
        return
    if when == When():
        yield subject.mistake(path, "no test", "at least one, such as path, capture, prefix or text")
    yield from _bytes(subject, when, path)
    yield from _values(subject, when, captures, path)
    for key in ("all_of", "any_of"):
        some: tuple[When, ...] = getattr(when, key)
        if len(some) > _MOST:
            yield subject.mistake((*path, key), f"{len(some)} of them", f"at most {_MOST}")
            return
        for i, inner in enumerate(some):
            yield from check(subject, inner, captures, (*path, key, i), depth + 1)
    if len(when.any_of) == 1:
        yield subject.mistake((*path, "any_of"), "one condition alone", "at least two, or all_of")
    if when.not_ is not None:
        yield from check(subject, when.not_, captures, (*path, "not"), depth + 1)


def of_values(subject: Subject, when: When, captures: Collection[str], path: Path) -> Mistakes:
    """One condition over a value: it stands where the bytes of the message are not looked at any more."""
    yield from check(subject, when, captures, path)
    for key, part in _parts(when):
        by_regex = part.regex is not None and part.path is None and part.capture is None
        for test in [name for name in _OF_BYTES if getattr(part, name) is not None] + ["regex"] * by_regex:
            expected = "path, absent, kind or capture: the bytes of the message belong into the binding's when"
            yield subject.mistake((*path, *key, test), f"{test} of the whole payload", expected)


def _parts(when: When, path: Path = ()) -> Iterator[tuple[Path, When]]:
    yield path, when
    for key in ("all_of", "any_of"):
        for i, inner in enumerate(getattr(when, key)):
            yield from _parts(inner, (*path, key, i))
    if when.not_ is not None:
        yield from _parts(when.not_, (*path, "not"))


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
        yield from value_paths(subject, (*path, "path"), when.path)
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


def value_paths(subject: Subject, path: Path, value: ValuePath) -> Mistakes:
    """A path into a payload, or several of which the first counts at which something stands."""
    if isinstance(value, str):
        yield from value_path(subject, path, value)
        return
    for i, text in enumerate(value):
        yield from value_path(subject, (*path, i), text)
        if text in value[:i]:
            yield subject.mistake((*path, i), f"{text!r} twice", "each path once")


def value_path(subject: Subject, path: Path, text: str) -> Mistakes:
    """A path into a payload: its quotes and brackets close."""
    bare = re.sub(r'"[^"]*"|\'[^\']*\'', "quoted", text)
    if len(text) > 500 or '"' in bare or bare.count("[") != bare.count("]"):
        yield subject.mistake(path, shown(text), 'a path such as a.b[0]."c:d"')
    elif ".." in bare or (len(bare) > 1 and bare.endswith(".")):
        yield subject.mistake(
            path, shown(text), 'a key between all dots, such as a.b; one with dots in quotes: a."b.c"'
        )
