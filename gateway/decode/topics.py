"""Binding topics: `station/{address}/port/{n}` compiled to MQTT filters and to one dispatch tree.

A level is a literal, a capture `{name}`, literals with captures between them (`switch:{n}`, `{model}-{address}`), or a
capture of several levels `{name+}`. MQTT's own `+` and `#` are allowed too and capture nothing. A capture is never
empty; of several in one level, the earlier ones hold as little as they can.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

_CAPTURE = re.compile(r"\{([a-z][a-z0-9_]*)(\+?)\}")
_MOST_LEVELS = 64

T = TypeVar("T")


class Level(NamedTuple):
    """One level of a binding topic.

    A literal has no `names`; an anonymous wildcard has the name "". Captures stand between `around`, which has one
    text more than there are names; it is empty for a capture of the whole level.
    """

    literal: str | None
    names: tuple[str, ...] = ()
    many: bool = False
    around: tuple[str, ...] = ()

    def filled(self, captures: dict[str, str]) -> str:
        """The level with these captures; raises KeyError for one that is not given."""
        if self.literal is not None:
            return self.literal
        held = [captures[name] for name in self.names]
        if not self.around:
            return held[0]
        pieces = (piece for pair in zip(self.around, [*held, ""], strict=True) for piece in pair)
        return "".join(pieces)


class Pattern(NamedTuple):
    """A binding topic, taken apart."""

    topic: str
    levels: tuple[Level, ...]

    @property
    def captures(self) -> frozenset[str]:
        return frozenset(name for level in self.levels for name in level.names if name)

    @property
    def many(self) -> frozenset[str]:
        """Captures that may hold several levels."""
        return frozenset(name for level in self.levels if level.many for name in level.names if name)

    @property
    def filter(self) -> str:
        """The MQTT subscription that receives every topic of this pattern."""
        levels: list[str] = []
        for level in self.levels:
            if level.many:
                return "/".join([*levels, "#"])
            levels.append(level.literal if level.literal is not None else "+")
        return "/".join(levels)

    def filter_for(self, name: str, held: str) -> str:
        """The narrower subscription where this capture holds that text, if it is a whole level (or levels)."""
        levels: list[str] = []
        for level in self.levels:
            if level.names == (name,) and not level.around:
                levels.append(held)
            elif level.many:
                return "/".join([*levels, "#"])
            else:
                levels.append(level.literal if level.literal is not None else "+")
        return "/".join(levels)

    def fill(self, captures: dict[str, str]) -> str:
        """The topic with these captures; raises KeyError for one that is not given."""
        return "/".join(level.filled(captures) for level in self.levels)


def parse_topic(topic: str) -> Pattern:
    """Take a binding topic apart; raises ValueError."""
    levels = tuple(_parse_level(text, topic) for text in topic.split("/"))
    if not topic or len(topic) > 1024:
        raise ValueError("expected a topic of 1 to 1024 characters")
    if sum(level.many for level in levels) > 1:
        raise ValueError(f"expected at most one capture of several levels, found more in {topic!r}")
    if levels[-1].many and levels[-1].names == ("",) and "#" in topic[:-1]:
        raise ValueError(f"expected # only as the last level, found {topic!r}")
    names = [name for level in levels for name in level.names if name]
    if len(names) != len(set(names)):
        raise ValueError(f"expected each capture once, found one twice in {topic!r}")
    return Pattern(topic, levels)


def _parse_level(text: str, topic: str) -> Level:
    if text == "+":
        return Level(None, ("",))
    if text == "#":
        return Level(None, ("",), many=True)
    found = list(_CAPTURE.finditer(text))
    around = _CAPTURE.split(text)[::3]
    many = any(capture[2] for capture in found)
    if any(mark in literal for literal in around for mark in "+#{}\0") or (many and around != ["", ""]):
        raise ValueError(f"expected a literal, {{name}} or {{name+}} as a topic level, found {text!r} in {topic!r}")
    if not found:
        return Level(text)
    if "" in around[1:-1]:
        raise ValueError(f"expected a literal between the captures of a topic level, found {text!r} in {topic!r}")
    names = tuple(capture[1] for capture in found)
    return Level(None, names, many, tuple(around) if any(around) else ())


def covers(wide: str, narrow: str) -> bool:
    """Whether the MQTT filter `wide` receives everything that `narrow` does."""
    a, b = wide.split("/"), narrow.split("/")
    if b[0].startswith("$") != a[0].startswith("$"):
        return False
    for i, level in enumerate(a):
        if level == "#":
            return True
        if i >= len(b) or b[i] == "#" or (level not in {"+", b[i]}):
            return False
    return len(a) == len(b)


def fewest_filters(patterns: Iterable[Pattern | str]) -> tuple[str, ...]:
    """The filters to subscribe to, without those that another one covers: overlaps can deliver a message twice."""
    filters = sorted({pattern if isinstance(pattern, str) else pattern.filter for pattern in patterns})
    return tuple(f for f in filters if not any(other != f and covers(other, f) for other in filters))


class Match(NamedTuple, Generic[T]):
    """One pattern that a topic matches, and what its captures hold."""

    order: int
    item: T
    captures: dict[str, str]


class _Node(Generic[T]):
    __slots__ = ("any", "ends", "literals", "many", "partial")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[T]] = {}
        self.partial: dict[tuple[str, ...], _Node[T]] = {}
        self.any: _Node[T] | None = None
        self.many: _Node[T] | None = None
        self.ends: list[tuple[int, T, Pattern]] = []


class TopicTree(Generic[T]):
    """All patterns in one tree, so that finding those of a topic does not depend on how many there are."""

    def __init__(self, entries: Sequence[tuple[Pattern, T]]) -> None:
        self._root: _Node[T] = _Node()
        for order, (pattern, item) in enumerate(entries):
            self._add(order, pattern, item)

    def _add(self, order: int, pattern: Pattern, item: T) -> None:
        node = self._root
        for level in pattern.levels:
            if level.literal is not None:
                node = node.literals.setdefault(level.literal, _Node())
            elif level.many:
                node.many = node.many or _Node()
                node = node.many
            elif level.around:
                node = node.partial.setdefault(level.around, _Node())
            else:
                node.any = node.any or _Node()
                node = node.any
        node.ends.append((order, item, pattern))

    def find(self, topic: str) -> list[Match[T]]:
        """Every pattern that takes this topic, in the order they were given."""
        levels = topic.split("/")
        if len(levels) > _MOST_LEVELS:
            return []
        found: list[Match[T]] = []
        self._walk(self._root, levels, 0, [], found)
        found.sort(key=lambda match: match.order)
        return found

    def _walk(self, node: _Node[T], levels: list[str], at: int, held: list[str], found: list[Match[T]]) -> None:
        if at == len(levels):
            found.extend(Match(order, item, _captures(pattern, held)) for order, item, pattern in node.ends)
            return
        level = levels[at]
        if (below := node.literals.get(level)) is not None:
            self._walk(below, levels, at + 1, held, found)
        if at == 0 and level.startswith("$"):
            return  # MQTT: a wildcard in the first level does not receive $ topics
        for around, below in node.partial.items():
            if (between := _between(around, level)) is not None:
                self._walk(below, levels, at + 1, [*held, *between], found)
        if node.any is not None:
            self._walk(node.any, levels, at + 1, [*held, level], found)
        if node.many is not None:
            for end in range(at + 1, len(levels) + 1):
                self._walk(node.many, levels, end, [*held, "/".join(levels[at:end])], found)


def _between(around: tuple[str, ...], level: str) -> list[str] | None:
    """What stands between these texts in a level, none of it empty; None where it does not fit."""
    first, last = around[0], around[-1]
    end = len(level) - len(last)
    if not level.startswith(first) or not level.endswith(last):
        return None
    held: list[str] = []
    at = len(first)
    for text in around[1:-1]:
        found = level.find(text, at + 1, end)
        if found < 0:
            return None
        held.append(level[at:found])
        at = found + len(text)
    return [*held, level[at:end]] if at < end else None


def _captures(pattern: Pattern, held: list[str]) -> dict[str, str]:
    names = [name for level in pattern.levels for name in level.names]
    return {name: text for name, text in zip(names, held, strict=True) if name}
