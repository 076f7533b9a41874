"""The checked tree."""

from __future__ import annotations

from typing import NamedTuple

from device_profiles.expression.vocabulary import (
    Type,
)
from device_profiles.schema import Scalar


class Node(NamedTuple):
    """A checked part of an expression."""

    # const, name, word, age, window, number, share, neg, min, max, abs, + - * /, == != < <= > >=, in, and, or, not
    op: str
    type: Type
    args: tuple[Node, ...] = ()
    value: Scalar | frozenset[Scalar] = 0
    column: int = 0
    depth: int = 1


def described(node: Node) -> str:
    if node.op == "word":
        return repr(node.value)
    if node.type.kind == "number":
        return f"a number in {node.type.uom}" if node.type.uom else "a number"
    return {"state": "a state", "text": "a text", "boolean": "a condition"}[node.type.kind]


def mentioned(node: Node, op: str) -> frozenset[str]:
    """The names of all parts of one kind: `name`, `age` or `window`."""
    own = frozenset({str(node.value)}) if node.op == op else frozenset()
    return own.union(*(mentioned(arg, op) for arg in node.args))
