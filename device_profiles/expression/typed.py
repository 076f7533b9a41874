"""Types and units: what may be compared, added and converted. Constants are folded here."""

from __future__ import annotations

from device_profiles import units
from device_profiles.expression.compile import compiled
from device_profiles.expression.node import Node
from device_profiles.expression.vocabulary import (
    DEEPEST,
    NUMBER,
    ExpressionError,
    Type,
)
from device_profiles.mistakes import nearest
from device_profiles.schema import Scalar


def make_node(
    op: str, type_: Type, args: tuple[Node, ...], value: Scalar | frozenset[Scalar] = 0, *, column: int = 0
) -> Node:
    depth = 1 + max(arg.depth for arg in args)
    if depth > 2 * DEEPEST:
        raise ExpressionError(column, "too many operators in a row", f"at most {2 * DEEPEST}")
    return Node(op, type_, args, value, column=column, depth=depth)


def kind_of(type_: Type) -> str:
    if type_.kind == "state":
        return f"one of {', '.join(sorted(type_.words))}"
    return {"number": "a number", "text": "a text", "boolean": "true or false"}[type_.kind]


def state_word(node: Node, state: Type) -> Node:
    word = str(node.value)
    if word not in state.words:
        expected = f"one of {', '.join(sorted(state.words))}{nearest(word, state.words)}"
        raise ExpressionError(node.column, repr(word), expected)
    return Node("const", state, value=word, column=node.column)


def same_unit(left: Node, right: Node) -> tuple[Node, Node]:
    """Bring two numbers into one unit: a constant goes to the other's."""
    if left.op == "const" and right.op != "const":
        return in_unit(left, right.type.uom), right
    return left, in_unit(right, left.type.uom)


def in_unit(node: Node, uom: str | None) -> Node:
    if uom is None or node.type.uom is None:
        return node
    factor = units.factor(node.type.uom, uom)
    if factor is None:
        found = f"a number in {node.type.uom}" if node.type.uom else "a number without a unit"
        expected = "a share such as 20 %" if uom == "ratio" else f"one in {uom}" if uom else "one without a unit"
        raise ExpressionError(node.column, found, expected)
    if factor == 1.0:
        return node
    if node.op == "const":
        assert isinstance(node.value, float)
        return node._replace(value=float(f"{node.value * factor:.12g}"), type=Type("number", uom))
    scale = Node("const", NUMBER, value=factor, column=node.column)
    return make_node("*", Type("number", uom), (node, scale), column=node.column)


def wider(*nodes: Node) -> Type:
    """The unit of a sum: that of the first part which has one."""
    return next((node.type for node in nodes if node.type.uom is not None), NUMBER)


def product_type(op: str, left: Node, right: Node) -> Type:
    if op == "/" and left.type.uom and right.type.uom and left.type.uom == right.type.uom:
        return NUMBER
    if right.type.uom in (None, ""):
        return left.type
    if op == "*" and left.type.uom in (None, ""):
        return right.type
    # Watts from volts and amperes: such a product takes the unit of what it is compared with.
    return NUMBER


def folded(node: Node) -> Node:
    if any(arg.op != "const" for arg in node.args):
        return node
    result = compiled(node)({}, lambda _name: None)
    if result is None:
        raise ExpressionError(node.column, "a number that cannot be computed", "a finite number")
    return Node("const", node.type, value=result, column=node.column)
