"""The lines that a rule draws: at which value of a metric one of its comparisons turns. Pure.

A side of a comparison that is a number, a param or arithmetic of these is computed; the metric may be scaled, shifted
or within `abs`: `outlet_pressure < setpoint - 0.10 MPa`, `abs(level - 50) > 20`, `mean(current, 10m) > 0.6 * rated`.
Where two metrics are compared the first is drawn, against the value that the other had; `min` and `max` of metrics
give each of them the line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from device_profiles.expression import Expression, ExpressionError, Look, Value, names_of, parse
from device_profiles.expression.compile import compiled
from device_profiles.expression.node import Node, mentioned
from device_profiles.schema import DeviceProfile, Rule

COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


class Threshold(NamedTuple):
    """The comparison holds on that side of the line."""

    metric: str
    """As it is written (`parent.x` included)."""
    sign: str
    """<, <=, >, >=, == or !=: how the metric is compared."""
    value: float
    """In the metric's own unit."""
    look: str = ""
    """Where not the value itself is compared: the function that looks back, as it reads ("mean(level, 10m)")."""
    params: tuple[str, ...] = ()
    """What it was computed from."""


class _Line(NamedTuple):
    """slope * measured + base. A slope of 0: a plain number."""

    slope: float
    base: float
    measured: str = ""
    """A name, or the key of a mean."""


def thresholds_of(profile: DeviceProfile, rule: Rule, values: Mapping[str, Value]) -> tuple[Threshold, ...]:
    """Of a rule's condition; none where it cannot be read on this profile. `values`: of its params, and of what the
    drawn metric is compared with."""
    return _of_text(profile, rule.scope, rule.when, values)


def clear_thresholds_of(profile: DeviceProfile, rule: Rule, values: Mapping[str, Value]) -> tuple[Threshold, ...]:
    """Of its clear condition; none where that is only the opposite of the rule's own."""
    return _of_text(profile, rule.scope, rule.clear.when, values) if rule.clear.when is not None else ()


def _of_text(
    profile: DeviceProfile, scope: str | None, text: str, values: Mapping[str, Value]
) -> tuple[Threshold, ...]:
    try:
        read = parse(text, names_of(profile, scope))
    except ExpressionError:
        return ()
    return thresholds(read, profile, values)


def thresholds(read: Expression, profile: DeviceProfile, values: Mapping[str, Value]) -> tuple[Threshold, ...]:
    """Each once, in the order in which the condition names them."""
    reader = _Reader(profile, {one.key: one for one in read.windows if one.function == "mean"}, values)
    return tuple(dict.fromkeys(_found(read.root, reader, negated=False)))


class _Reader:
    """Which names are metrics, and what params are worth."""

    def __init__(self, profile: DeviceProfile, looks: Mapping[str, Look], values: Mapping[str, Value]) -> None:
        self._metrics = profile.metrics
        self._looks = looks
        self._values = values
        self._params = {name: value for name, value in values.items() if name in profile.params}

    def line(self, node: Node) -> _Line | None:
        """A side of a comparison as a line over one metric; None where it is more than that."""
        if node.type.kind != "number":
            return None
        if node.op == "name" and str(node.value).removeprefix("parent.") in self._metrics:
            return _Line(1.0, 0.0, str(node.value))
        if node.op == "window":
            return _Line(1.0, 0.0, str(node.value)) if str(node.value) in self._looks else None
        if not node.args or node.op in ("min", "max"):
            return self._number(node)
        parts = [self.line(arg) for arg in node.args]
        known = [one for one in parts if one is not None]
        if len(known) < len(parts):
            return None
        return _computed(node.op, [known[0], *(self.beside(one, known[0]) for one in known[1:])])

    def beside(self, line: _Line, first: _Line) -> _Line:
        """Of two metrics the first is drawn, and the other one counts with the value it had."""
        value = self._values.get(line.measured)
        if not first.measured or not line.measured or not isinstance(value, int | float) or isinstance(value, bool):
            return line
        return _Line(0.0, line.slope * value + line.base)

    def _number(self, node: Node) -> _Line | None:
        """What is computed from numbers and params alone."""
        read = mentioned(node, "name") | mentioned(node, "age") | mentioned(node, "number") | mentioned(node, "share")
        if not read <= self._params.keys():
            return None
        value = compiled(node)(self._params, lambda _name: None)
        return _Line(0.0, float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def metric_of(self, measured: str) -> tuple[str, str]:
        """(metric, the function that looks back or "")."""
        look = self._looks.get(measured)
        return (measured, "") if look is None else (look.name, measured)

    def params_in(self, node: Node) -> tuple[str, ...]:
        return tuple(sorted(mentioned(node, "name") & self._params.keys()))


def _computed(op: str, parts: list[_Line]) -> _Line | None:
    left, right = parts[0], parts[-1]
    if op == "neg":
        return _Line(-left.slope, -left.base, left.measured)
    if op in ("+", "-") and (not left.measured or not right.measured):
        sign = 1.0 if op == "+" else -1.0
        measured = left.measured or right.measured
        return _Line(left.slope + sign * right.slope, left.base + sign * right.base, measured)
    if op == "*" and (not left.measured or not right.measured):
        line, factor = (left, right.base) if left.measured else (right, left.base)
        return _Line(line.slope * factor, line.base * factor, line.measured)
    if op == "/" and not right.measured and right.base:
        return _Line(left.slope / right.base, left.base / right.base, left.measured)
    if op == "abs" and not left.measured:
        return _Line(0.0, abs(left.base))
    return None


def _found(node: Node, reader: _Reader, *, negated: bool) -> Iterator[Threshold]:
    if node.op in ("and", "or", "not"):
        for arg in node.args:
            yield from _found(arg, reader, negated=negated != (node.op == "not"))
    elif node.op in COMPARISONS:
        yield from _compared(node, reader, OPPOSITE[node.op] if negated else node.op)


def _compared(node: Node, reader: _Reader, sign: str) -> Iterator[Threshold]:
    left, right = node.args
    params = reader.params_in(node)
    if right.op == "abs":
        left, right, sign = right, left, MIRRORED[sign]
    if left.op == "abs":
        yield from _of_size(left.args[0], right, reader, sign, params)
        return
    other = reader.line(right)
    for part in left.args if left.op in ("min", "max") else (left,):
        one = reader.line(part)
        if one is not None and other is not None:
            yield from _turning(one, reader.beside(other, one), sign, reader, params)


def _of_size(inner: Node, bound: Node, reader: _Reader, sign: str, params: tuple[str, ...]) -> Iterator[Threshold]:
    """`abs(x) > b` has a line above and one below."""
    one, other = reader.line(inner), reader.line(bound)
    if one is None or other is None or other.measured:
        return
    yield from _turning(one, other, sign, reader, params)
    yield from _turning(one, _Line(0.0, -other.base), MIRRORED[sign], reader, params)


def _turning(one: _Line, other: _Line, sign: str, reader: _Reader, params: tuple[str, ...]) -> Iterator[Threshold]:
    """Where `one sign other` turns."""
    if one.measured and other.measured and one.measured != other.measured:
        return
    slope, measured = one.slope - other.slope, one.measured or other.measured
    if not measured or not slope:
        return
    metric, look = reader.metric_of(measured)
    value = float(f"{(other.base - one.base) / slope:.12g}")
    yield Threshold(metric, sign if slope > 0 else MIRRORED[sign], value, look, params)
