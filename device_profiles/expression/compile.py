"""Checked tree -> nested closures, three-valued."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Mapping
from typing import Any

from device_profiles.expression.node import Node
from device_profiles.expression.vocabulary import (
    Age,
    Condition,
    Value,
    at_most,
)


def compiled(node: Node) -> Condition:
    if node.op == "const":
        value = node.value
        assert not isinstance(value, frozenset)
        return lambda _values, _age: value
    if node.op in ("name", "window", "share"):
        return _compile_name(str(node.value), node.type.kind)
    if node.op == "number":
        return _compile_number(str(node.value))
    if node.op == "age":
        name = str(node.value)
        return lambda _values, age: age(name)
    if node.op in _COMPARISONS:
        return _compile_comparison(node)
    return _OTHERS[node.op](node)


def _compile_name(name: str, kind: str) -> Condition:
    """A value of another kind than declared is unknown rather than an error in the middle of the night."""
    if kind == "number":

        def number(values: Mapping[str, Value], _age: Age) -> Value:
            value = values.get(name)
            if value.__class__ is float:
                return value
            return float(value) if value.__class__ is int else None

        return number
    wanted = bool if kind == "boolean" else str

    def other(values: Mapping[str, Value], _age: Age) -> Value:
        value = values.get(name)
        return value if value.__class__ is wanted else None

    return other


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _compile_number(key: str) -> Condition:
    """A number of members that is known: none of them is unknown."""
    most = at_most(key)

    def number(values: Mapping[str, Value], _age: Age) -> Value:
        return None if most in values else values.get(key)

    return number


_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def _compile_bounds(op: str, key: str, other: Condition) -> Condition:
    """A number of members against a number: known as soon as the known members decide."""
    compare, most = _COMPARISONS[op], at_most(key)
    alike = {"==": False, "!=": True}.get(op)

    def with_bounds(values: Mapping[str, Value], age: Age) -> Value:
        low, bound = values.get(key), other(values, age)
        if low is None or bound is None:
            return None
        high: Any = values.get(most, low)
        by_low, by_high = compare(low, bound), compare(high, bound)
        if alike is None or low == high:
            return by_low if by_low == by_high else None
        # Somewhere between the two it may be the same.
        return alike if bound < low or bound > high else None  # type: ignore[operator]

    return with_bounds


def _compile_comparison(node: Node) -> Condition:
    compare = _COMPARISONS[node.op]
    if node.args[0].op == "number":
        return _compile_bounds(node.op, str(node.args[0].value), compiled(node.args[1]))
    if node.args[1].op == "number":
        return _compile_bounds(_MIRRORED[node.op], str(node.args[1].value), compiled(node.args[0]))
    left, right = compiled(node.args[0]), compiled(node.args[1])
    if node.args[1].op == "const":
        constant = node.args[1].value

        def with_constant(values: Mapping[str, Value], age: Age) -> Value:
            value = left(values, age)
            return None if value is None else compare(value, constant)

        return with_constant

    def with_both(values: Mapping[str, Value], age: Age) -> Value:
        a, b = left(values, age), right(values, age)
        return None if a is None or b is None else compare(a, b)

    return with_both


def _compile_in(node: Node) -> Condition:
    inner, members = compiled(node.args[0]), node.value
    assert isinstance(members, frozenset)

    def contained(values: Mapping[str, Value], age: Age) -> Value:
        value = inner(values, age)
        return None if value is None else value in members

    return contained


def _compile_not(node: Node) -> Condition:
    inner = compiled(node.args[0])

    def opposite(values: Mapping[str, Value], age: Age) -> Value:
        value = inner(values, age)
        return None if value is None else not value

    return opposite


def _compile_chain(node: Node) -> Condition:
    """`and`, `or`: one part can decide alone, and then an unknown part does not matter."""
    parts = tuple(compiled(part) for part in node.args)
    decisive = node.op == "or"

    def chain(values: Mapping[str, Value], age: Age) -> Value:
        result: Value = not decisive
        for part in parts:
            value = part(values, age)
            if value is decisive:
                return decisive
            if value is None:
                result = None
        return result

    return chain


_LARGEST = sys.float_info.max
_ARITHMETIC: dict[str, Callable[..., float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "neg": operator.neg,
    "abs": abs,
    "min": min,
    "max": max,
}


def _compile_arithmetic(node: Node) -> Condition:
    compute = _ARITHMETIC[node.op]
    if len(node.args) == 2:
        return _compile_binary(compute, compiled(node.args[0]), compiled(node.args[1]))
    parts = tuple(compiled(part) for part in node.args)

    def arithmetic(values: Mapping[str, Value], age: Age) -> Value:
        numbers = [part(values, age) for part in parts]
        return None if None in numbers else _finite(compute(*numbers))

    return arithmetic


def _compile_binary(compute: Callable[..., float], left: Condition, right: Condition) -> Condition:
    def binary(values: Mapping[str, Value], age: Age) -> Value:
        a = left(values, age)
        if a is None:
            return None
        b = right(values, age)
        if b is None:
            return None
        try:
            result = compute(a, b)
        except ZeroDivisionError:
            return None
        return result if -_LARGEST <= result <= _LARGEST else None

    return binary


def _finite(number: float) -> float | None:
    return number if -_LARGEST <= number <= _LARGEST else None


_OTHERS: dict[str, Callable[[Node], Condition]] = {
    "in": _compile_in,
    "not": _compile_not,
    "and": _compile_chain,
    "or": _compile_chain,
    **dict.fromkeys(_ARITHMETIC, _compile_arithmetic),
}
