"""The closed expression grammar of rules: text -> checked tree -> compiled closure.

    port_temp >= 80 °C and port_state in (charging, float)
    outlet_pressure < setpoint - 0.10 MPa
    run == running and (parent.inlet_pressure < 0.05 MPa or current < 0.6 * rated_current)
    presence == offline or age(tank_level) > 6m
    delta(level, 10m) > 20 cm or count(door == open, 5m) >= 3 or not changed(flow, 30m)
    number(port, port_state == fault) >= 3 or share(port, port_state in (idle, full)) < 20 %

Names are metrics, states, lasting events and params of the profile, `parent.x` for the device a child belongs to,
`<command>_command` for how the last command of a kind fares, and the builtins `presence` and `silence`. There are
numbers with units, the words of a state, strings, `and or not`, comparisons, `in`, `+ - * /`, `min max abs`,
`age(name)`, and `rate delta mean count changed`, which look back over a stretch of time; nothing else. Types and units
are checked when the profile is loaded.

Evaluation is three-valued: a name without a value is unknown (None), and only an operand that decides the result by
itself (`None or True`, `None and False`) makes it known.

What looks back is a value like any other: whoever computes the expression watches what `Expression.windows` says and
puts each result among the values, under the window's key.

So are `number` and `share`, which count the members of a group: the children of a kind that a device has, and in the
rules of a site file also devices. Their condition speaks of one member, in the names that a rule on it would use, ages
and looks back included.
A member for which it is unknown counts neither way: `number` is how many are known to hold, and a comparison with it is
unknown as long as the unknown ones could turn it; `share` (0 to 1, or per cent) is of the known ones, and unknown where
fewer than half are known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from device_profiles.expression.compile import compiled
from device_profiles.expression.limits import AgeLimit, LookLimit, age_limits, look_limits
from device_profiles.expression.node import Node, mentioned
from device_profiles.expression.parser import Group, Parser, Window, stretch_text
from device_profiles.expression.tokens import shown
from device_profiles.expression.typed import in_unit
from device_profiles.expression.vocabulary import (
    BUILTINS,
    COMMAND_WORDS,
    DEEPEST,
    FUNCTIONS,
    GROUPED,
    LONGEST,
    LONGEST_WINDOW,
    MOST_GROUPS,
    MOST_WINDOWS,
    PRESENCE_WORDS,
    WINDOWED,
    Age,
    Condition,
    ExpressionError,
    Names,
    Type,
    Value,
    at_most,
    command_state,
    failed_by,
    met_by,
    names_of,
    names_of_effect,
    names_of_reading,
    unknown_of,
)

__all__ = [
    "BUILTINS",
    "COMMAND_WORDS",
    "DEEPEST",
    "FUNCTIONS",
    "GROUPED",
    "LONGEST",
    "LONGEST_WINDOW",
    "MOST_GROUPS",
    "MOST_WINDOWS",
    "PRESENCE_WORDS",
    "WINDOWED",
    "Age",
    "AgeLimit",
    "Condition",
    "Expression",
    "ExpressionError",
    "Look",
    "LookLimit",
    "Members",
    "Names",
    "Type",
    "Value",
    "at_most",
    "command_state",
    "failed_by",
    "met_by",
    "names_of",
    "names_of_effect",
    "names_of_reading",
    "parse",
    "parse_number",
    "stretch_text",
    "unknown_of",
]


@dataclass(frozen=True)
class Expression:
    """A checked expression."""

    text: str
    root: Node
    names: frozenset[str]
    """Every name that is looked at, as it is written (`parent.x` included)."""
    indirect: frozenset[str] = frozenset()
    """Those whose own value is not read: only their age, or only what has been counted."""
    windows: tuple[Look, ...] = ()
    """What must be watched."""
    groups: tuple[Members, ...] = ()
    """Whose members must be counted."""

    @property
    def timed(self) -> bool:
        """It can change without a new value: presence, silence, age(), and what looks back."""
        return "presence" in self.names or self.aging or any(one.condition.timed for one in self.groups)

    @property
    def aging(self) -> bool:
        """It can change with every moment that passes: silence, age(), and what looks back."""
        own = "silence" in self.names or bool(self.windows) or self.ages
        return own or any(one.condition.aging for one in self.groups)

    @property
    def ages(self) -> bool:
        """It asks for the age of something."""
        return bool(mentioned(self.root, "age"))

    def age_limits(self) -> tuple[AgeLimit, ...] | None:
        """What ages and silence are compared with: nothing else in it but what looks back changes with time alone.
        None where an age is used in another way, so that it may change at any moment."""
        return age_limits(self.root)

    def look_limits(self, keys: Collection[str]) -> tuple[LookLimit, ...] | None:
        """What these of its functions that look back are compared with. None where one is used in another way."""
        return look_limits(self.root, keys)

    def compile(self) -> Condition:
        """One closure; call it with (values, age)."""
        return compiled(self.root)


@dataclass(frozen=True)
class Look:
    """One function that looks back. Its result belongs among the values under `key`; unknown is no value."""

    key: str
    """As it reads: "delta(level, 10m)"."""
    function: str
    """rate (per second), delta, mean, changed, or count."""
    name: str
    """The metric or state that is watched, as it is written; of `count`, the event, or "" for a condition."""
    condition: Expression | None
    """What `count` counts: how often it became true."""
    seconds: float

    @property
    def names(self) -> frozenset[str]:
        """The names whose new values must be watched; none where an event is counted."""
        if self.function != "count":
            return frozenset({self.name})
        return self.condition.names if self.condition is not None else frozenset()

    @property
    def moment(self) -> str:
        """The event that is counted; "" where values are watched."""
        return self.name if self.function == "count" else ""


@dataclass(frozen=True)
class Members:
    """One function that counts members. Its result belongs among the values under `key`, see `at_most` and `met_by`;
    unknown is no value."""

    key: str
    """As it reads: "number(port, port_state == fault)"."""
    function: str
    """number or share."""
    kind: str
    condition: Expression
    """What is asked of each member."""


def parse(text: str, names: Names) -> Expression:
    """Check a condition against the names it may use; raises ExpressionError."""
    parser = Parser(text, names)
    root = parser.condition(_whole(parser))
    return _expression(text, root, parser)


def parse_number(text: str, names: Names, uom: str = "") -> Expression:
    """Check what computes a number, in this unit where it has one ("" takes any); raises ExpressionError."""
    parser = Parser(text, names)
    root = parser.number(_whole(parser))
    return _expression(text, in_unit(root, uom) if uom and root.type.uom else root, parser)


def _whole(parser: Parser) -> Node:
    root = parser.disjunction(0)
    end = parser.peek()
    if end.kind != "end":
        raise ExpressionError(end.column, shown(end), "an operator or the end")
    return root


def _expression(text: str, root: Node, parser: Parser) -> Expression:
    groups = tuple(_members(group) for group in parser.groups.values())
    if len(groups) > MOST_GROUPS:
        raise ExpressionError(1, f"{len(groups)} functions over members", f"at most {MOST_GROUPS}")
    looks = len(parser.windows) + sum(len(one.condition.windows) for one in groups)
    if looks > MOST_WINDOWS:
        raise ExpressionError(1, f"{looks} functions that look back", f"at most {MOST_WINDOWS}")
    found = _with_windows(text, root, parser.windows.values(), groups)
    if not found.names and not found.windows and not groups:
        raise ExpressionError(1, "no name", "at least one metric, state or builtin")
    return found


def _with_windows(text: str, root: Node, watched: Iterable[Window], groups: tuple[Members, ...] = ()) -> Expression:
    windows = tuple(_look(window) for window in watched)
    read = mentioned(root, "name").union(*(window.names for window in windows if window.function != "count"))
    indirect = mentioned(root, "age").union(*(window.names for window in windows)) - read
    return Expression(text, root, read | indirect, indirect, windows, groups)


def _members(group: Group) -> Members:
    condition = _with_windows(group.key, group.condition, group.windows)
    return Members(group.key, group.function, group.kind, condition)


def _look(window: Window) -> Look:
    inner = window.condition
    condition = None
    if inner is not None:
        condition = Expression(window.key, inner, mentioned(inner, "name"))
    return Look(window.key, window.function, window.name, condition, window.seconds)
