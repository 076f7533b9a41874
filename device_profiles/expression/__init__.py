"""The closed expression grammar of rules: text -> checked tree -> compiled closure.

    port_temp >= 80 °C and port_state in (charging, float)
    outlet_pressure < setpoint - 0.10 MPa
    run == running and (parent.inlet_pressure < 0.05 MPa or current < 0.6 * rated_current)
    presence == offline or age(tank_level) > 6m

Names are metrics, states and params of the profile, `parent.x` for the device a child belongs to, and the builtins
`presence` and `silence`. There are numbers with units, the words of a state, strings, `and or not`, comparisons, `in`,
`+ - * /`, `min max abs` and `age(name)`; nothing else. Types and units are checked when the profile is loaded.

Evaluation is three-valued: a name without a value is unknown (None), and only an operand that decides the result by
itself (`None or True`, `None and False`) makes it known.
"""

from __future__ import annotations

from dataclasses import dataclass

from device_profiles.expression.compile import compiled
from device_profiles.expression.node import Node, has_age
from device_profiles.expression.parser import Parser
from device_profiles.expression.tokens import shown, tokens_of
from device_profiles.expression.vocabulary import (
    BUILTINS,
    DEEPEST,
    LATER,
    LONGEST,
    PRESENCE_WORDS,
    Age,
    Condition,
    ExpressionError,
    Names,
    Type,
    Value,
    names_of,
)

__all__ = [
    "BUILTINS",
    "DEEPEST",
    "LATER",
    "LONGEST",
    "PRESENCE_WORDS",
    "Age",
    "Condition",
    "Expression",
    "ExpressionError",
    "Names",
    "Type",
    "Value",
    "names_of",
    "parse",
]


@dataclass(frozen=True)
class Expression:
    """A checked condition."""

    text: str
    root: Node
    names: frozenset[str]
    """Every name that is read, as it is written (`parent.x` included)."""
    aged: frozenset[str] = frozenset()
    """Those of which only the age is read."""

    @property
    def timed(self) -> bool:
        """It can change without a new value: presence, silence, age()."""
        return "presence" in self.names or self.aging

    @property
    def aging(self) -> bool:
        """It can change with every moment that passes: silence, age()."""
        return "silence" in self.names or has_age(self.root)

    def compile(self) -> Condition:
        """One closure; call it with (values, age)."""
        return compiled(self.root)


def parse(text: str, names: Names) -> Expression:
    """Check a condition against the names it may use; raises ExpressionError."""
    parser = Parser(tokens_of(text, names), names)
    root = parser.disjunction(0)
    end = parser.peek()
    if end.kind != "end":
        raise ExpressionError(end.column, shown(end), "an operator or the end")
    root = parser.condition(root)
    if not parser.used and not parser.aged:
        raise ExpressionError(1, "no name", "at least one metric, state or builtin")
    used = frozenset(parser.used | parser.aged)
    return Expression(text, root, used, frozenset(parser.aged - parser.used))
