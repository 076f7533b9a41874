"""Paths into decoded payloads: `a.b[0]."c:d"`, compiled once to a closure.

Null and absent are both None (missing is not zero). Walking into a number or a text where an object is expected is a
DecodeError: the device speaks another dialect than its profile.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.decode.errors import DecodeError, shown

Segment = str | int
Getter = Callable[[Any], Any]

_TOKEN = re.compile(r'\.?"(?P<quoted>[^"]*)"|\[(?P<index>-?\d+)\]|\["(?P<key>[^"]*)"\]|\.?(?P<bare>[^.\[\]"]+)')


class Path(NamedTuple):
    """`absolute` paths start at the payload's root; others where the binding stands (an element of `each`)."""

    text: str
    segments: tuple[Segment, ...]
    absolute: bool


def parse_path(text: str) -> Path:
    """Take a path apart; raises ValueError. "" and "$" are the whole payload or element."""
    rest = text.strip()
    absolute = False
    if rest == "$" or rest.startswith(("$.", "$[")):
        absolute = rest != "$"
        rest = rest[1:]
    elif rest == "@" or rest.startswith(("@.", "@[")):
        rest = rest[1:]
    segments: list[Segment] = []
    at = 0
    while at < len(rest):
        found = _TOKEN.match(rest, at)
        if found is None or (found["bare"] is not None and at > 0 and rest[at] != "."):
            raise ValueError(f'expected a path such as a.b[0]."c:d", found {text!r} (stuck at {rest[at:]!r})')
        segments.append(_segment(found))
        at = found.end()
    return Path(text, tuple(segments), absolute)


def _segment(found: re.Match[str]) -> Segment:
    if found["index"] is not None:
        return int(found["index"])
    for group in ("quoted", "key", "bare"):
        if found[group] is not None:
            return found[group]
    raise AssertionError("a token always has one group")


def getter(path: Path) -> Getter:
    """A closure from a node to what the path names there, or None."""
    segments, text = path.segments, path.text
    if not segments:
        return _itself
    if len(segments) == 1 and isinstance(segments[0], str):
        return _key_getter(segments[0], text)

    def walk(node: Any) -> Any:
        for segment in segments:
            kind = type(node)
            if kind is dict and type(segment) is str:
                node = node.get(segment)
            elif node is None:
                return None
            else:
                node = _step(node, segment, text)
        return node

    return walk


def lenient_getter(path: Path) -> Getter:
    """Like `getter`, but a payload of another shape simply has nothing there: for telling bindings apart."""
    strict = getter(path)

    def look(node: Any) -> Any:
        try:
            return strict(node)
        except DecodeError:
            return None

    return look


def _itself(node: Any) -> Any:
    return node


def _key_getter(key: str, text: str) -> Getter:
    def get(node: Any) -> Any:
        if type(node) is dict:
            return node.get(key)
        return None if node is None else _step(node, key, text)

    return get


def _step(node: Any, segment: Segment, text: str) -> Any:
    if isinstance(segment, int):
        if isinstance(node, list):
            return node[segment] if -len(node) <= segment < len(node) else None
        if segment == 0 and isinstance(node, float | int | str | bool):
            return node  # some meters send a number where others send an array of one
        raise DecodeError("wrong_type", field=text, found=shown(node), expected="an array")
    raise DecodeError("wrong_type", field=text, found=shown(node), expected=f"an object with {segment!r}")
