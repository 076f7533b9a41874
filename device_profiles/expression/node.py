"""The checked tree."""

from __future__ import annotations

from typing import NamedTuple

from device_profiles.expression.vocabulary import (
    Type,
)
from device_profiles.schema import Scalar


class Node(NamedTuple):
    """A checked part of an expression."""

    op: str  # const, name, word, age, neg, min, max, abs, + - * /, == != < <= > >=, in, and, or, not
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


def has_age(node: Node) -> bool:
    return node.op == "age" or any(has_age(arg) for arg in node.args)
