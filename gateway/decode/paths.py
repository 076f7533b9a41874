"""Paths into decoded payloads: `a.b[0]."c:d"` and `services[?service_id=='Battery'].level`, compiled once to a closure.

Null and absent are both None (missing is not zero). Walking into a number or a text where an object is expected is a
DecodeError: the device speaks another dialect than its profile.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.decode.errors import DecodeError, shown


class Filter(NamedTuple):
    """`[?name=='x']`: the first element of an array of which this is so. `wanted` is as `literal` writes it."""

    inner: tuple[str | int, ...]
    wanted: tuple[str, str]
    equal: bool = True


Segment = str | int | Filter
Getter = Callable[[Any], Any]
Replace = Callable[[Any, Callable[[Any], Any]], Any]

_LONGEST = 500
MOST_FILTERED = 1024
"""Elements of an array among which one is looked for: every field of every child may do it anew."""
_TOKEN = re.compile(
    r"""\.?"(?P<quoted>[^"]*)"|\[(?P<index>-?\d+)\]|\["(?P<key>[^"]*)"\]|\['(?P<other>[^']*)'\]"""
    r"""|\[\?\(?\s*(?P<inner>(?:[^\s=!'"\[\]()]|"[^"]*")(?:[^=!'"\[\]()]|"[^"]*")*?)\s*(?P<sign>==|!=)"""
    r"""\s*(?P<value>'[^']*'|"[^"]*"|-?\d+(?:\.\d+)?|true|false)\s*\)?\]"""
    r"""|\.?(?P<bare>[^.\[\]"]+)"""
)


class Path(NamedTuple):
    """`absolute` paths start at the payload's root; others where the binding stands (an element of `each`)."""

    text: str
    segments: tuple[Segment, ...]
    absolute: bool


def parse_path(text: str) -> Path:
    """Take a path apart; raises ValueError. "" and "$" are the whole payload or element."""
    rest = text.strip()
    if len(rest) > _LONGEST:
        raise ValueError(f"expected a path of at most {_LONGEST} characters, found one of {len(rest)}")
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


def literal(value: Any) -> tuple[str, str]:
    """Kind and text of a scalar, to be compared: true is not 1, "1" is not 1, but 1.0 is."""
    if value is True or value is False:
        return "boolean", "true" if value else "false"
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            return "number", "huge"
        return "number", str(int(number)) if number.is_integer() else repr(number)
    return ("text", value) if isinstance(value, str) else ("other", "")


def _segment(found: re.Match[str]) -> Segment:
    if found["index"] is not None:
        return int(found["index"])
    if found["inner"] is not None:
        return _filter(found)
    for group in ("quoted", "key", "other", "bare"):
        if found[group] is not None:
            return found[group]
    raise AssertionError("a token always has one group")


def _filter(found: re.Match[str]) -> Filter:
    inner = tuple(segment for segment in parse_path(found["inner"]).segments if not isinstance(segment, Filter))
    value = found["value"]
    if value[0] in "'\"":
        wanted = "text", value[1:-1]
    elif value in ("true", "false"):
        wanted = "boolean", value
    else:
        wanted = literal(float(value))
    return Filter(inner, wanted, found["sign"] == "==")


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
    if node == "" or node == []:
        return None  # how an empty XML element, and some devices' empty object, are written
    if isinstance(segment, str):
        raise DecodeError("wrong_type", field=text, found=shown(node), expected=f"an object with {segment!r}")
    if isinstance(segment, Filter):
        elements = _elements(node, text)
        at = _first(elements, segment)
        return None if at is None else elements[at]
    if isinstance(node, list):
        return node[segment] if -len(node) <= segment < len(node) else None
    if segment == 0 and isinstance(node, float | int | str | bool):
        return node  # some meters send a number where others send an array of one
    raise DecodeError("wrong_type", field=text, found=shown(node), expected="an array")


def _elements(node: Any, text: str) -> list[Any]:
    if isinstance(node, list):
        if len(node) > MOST_FILTERED:
            raise DecodeError("too_many", field=text, found=shown(node), expected=f"at most {MOST_FILTERED} to look in")
        return node
    if isinstance(node, dict):
        return [node]  # an array of one, sent without its brackets
    raise DecodeError("wrong_type", field=text, found=shown(node), expected="an array of objects")


def _first(elements: list[Any], wanted: Filter) -> int | None:
    for at, element in enumerate(elements):
        if isinstance(element, dict) and (literal(_inside(element, wanted.inner)) == wanted.wanted) is wanted.equal:
            return at
    return None


def _inside(node: Any, segments: tuple[str | int, ...]) -> Any:
    """What stands there, or None: an element of another shape is not the one that is looked for."""
    for segment in segments:
        if isinstance(segment, str):
            node = node.get(segment) if isinstance(node, dict) else None
        elif isinstance(node, list):
            node = node[segment] if -len(node) <= segment < len(node) else None
        else:
            return None
    return node


def replacer(path: Path) -> Replace:
    """A closure that gives a node anew with what the path names put through a function. The node itself stays as it
    is, and so does all that the path does not name; where nothing stands, nothing is put."""
    segments, text = path.segments, path.text

    def put(node: Any, at: int, change: Callable[[Any], Any]) -> Any:
        if node is None:
            return None
        if at == len(segments):
            return change(node)
        segment = segments[at]
        if isinstance(segment, str):
            if not isinstance(node, dict):
                return _step(node, segment, text)
            before = node.get(segment)
            return node if before is None else {**node, segment: put(before, at + 1, change)}
        if not isinstance(node, list):
            return put(_step(node, segment, text), at + 1, change)
        place = _first(node, segment) if isinstance(segment, Filter) else segment
        if place is None or not -len(node) <= place < len(node):
            return node
        place %= len(node)
        return [*node[:place], put(node[place], at + 1, change), *node[place + 1 :]]

    return lambda node, change: put(node, 0, change)
