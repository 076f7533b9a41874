"""When an expression can change by time alone: where an age, silence or what looks back is compared with something."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from device_profiles.expression.compile import compiled
from device_profiles.expression.node import Node
from device_profiles.expression.vocabulary import Condition

_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})


class AgeLimit(NamedTuple):
    """An age that is compared with something: at that age the comparison may change."""

    name: str
    """Whose age; "silence" for the silence of the device."""
    seconds: Condition
    """What it is compared with."""


class LookLimit(NamedTuple):
    """What a function that looks back is compared with: where it passes that, the comparison may change."""

    key: str
    """The function as it reads: "mean(level, 10m)"."""
    value: Condition
    """What it is compared with."""


def age_limits(root: Node) -> tuple[AgeLimit, ...] | None:
    """Every comparison of an age; None where an age is used in another way."""
    found = _comparisons(root, _is_age)
    return None if found is None else tuple(AgeLimit(str(age.value), compiled(other)) for age, other in found)


def look_limits(root: Node, keys: Collection[str]) -> tuple[LookLimit, ...] | None:
    """Every comparison of these functions that look back; None where one of them is used in another way, such as
    within a sum, or compared with an age."""

    def is_look(node: Node) -> bool:
        return node.op == "window" and node.value in keys

    found = _comparisons(root, is_look)
    if found is None or any(_contains(other, _is_age) for _, other in found):
        return None
    return tuple(LookLimit(str(look.value), compiled(other)) for look, other in found)


_Is = Callable[[Node], bool]


def _comparisons(root: Node, is_it: _Is) -> tuple[tuple[Node, Node], ...] | None:
    """(it, what it is compared with), wherever it stands; None where it stands elsewhere than in a comparison."""
    try:
        return tuple(_compared(root, is_it))
    except _UsedOtherwise:
        return None


class _UsedOtherwise(Exception):
    """Within a sum, or compared with another one of its kind."""


def _compared(node: Node, is_it: _Is) -> Iterator[tuple[Node, Node]]:
    if is_it(node):
        raise _UsedOtherwise
    if node.op in _COMPARISONS and any(map(is_it, node.args)):
        it, other = node.args if is_it(node.args[0]) else (node.args[1], node.args[0])
        if _contains(other, is_it):
            raise _UsedOtherwise
        yield it, other
        return
    for part in node.args:
        yield from _compared(part, is_it)


def _contains(node: Node, is_it: _Is) -> bool:
    return is_it(node) or any(_contains(part, is_it) for part in node.args)


def _is_age(node: Node) -> bool:
    return node.op == "age" or (node.op == "name" and node.value == "silence")
