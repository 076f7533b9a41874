"""When an expression can change by time alone: where an age or the silence is compared with something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from device_profiles.expression.compile import compiled
from device_profiles.expression.node import Node, mentioned
from device_profiles.expression.vocabulary import Condition

_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})


class AgeLimit(NamedTuple):
    """An age that is compared with something: at that age the comparison may change."""

    name: str
    """Whose age; "silence" for the silence of the device."""
    seconds: Condition
    """What it is compared with."""


def age_limits(root: Node) -> tuple[AgeLimit, ...] | None:
    """Every comparison of an age; None where an age is used in another way."""
    try:
        return tuple(_limits(root))
    except _UsedOtherwise:
        return None


class _UsedOtherwise(Exception):
    """An age within a sum, or compared with another one."""


def _limits(node: Node) -> Iterator[AgeLimit]:
    if _is_age(node):
        raise _UsedOtherwise
    if node.op in _COMPARISONS and any(map(_is_age, node.args)):
        age, other = node.args if _is_age(node.args[0]) else (node.args[1], node.args[0])
        if _speaks_of_age(other):
            raise _UsedOtherwise
        yield AgeLimit(str(age.value), compiled(other))
        return
    for part in node.args:
        yield from _limits(part)


def _is_age(node: Node) -> bool:
    return node.op == "age" or (node.op == "name" and node.value == "silence")


def _speaks_of_age(node: Node) -> bool:
    return bool(mentioned(node, "age")) or "silence" in mentioned(node, "name")
