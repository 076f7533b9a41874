"""What an expression may talk about: names with their types, and how a mistake is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NamedTuple

from device_profiles.schema import DeviceProfile

Value = float | int | str | bool | None
Age = Callable[[str], float | None]
Condition = Callable[[Mapping[str, Value], Age], Value]
"""(the values visible, age of a name in seconds) -> the result, or None where it is unknown."""

LONGEST = 1000
DEEPEST = 24
BUILTINS = frozenset({"presence", "silence"})
PRESENCE_WORDS = ("online", "stale", "offline", "unknown")
LATER = frozenset({"rate", "delta", "mean", "count", "changed"})
FUNCTIONS = frozenset({"min", "max", "abs", "age"})
WORDS = frozenset({"and", "or", "not", "in", "true", "false"})


class ExpressionError(ValueError):
    """An expression that is refused: where (column from 1), what was found, what was expected."""

    def __init__(self, column: int, found: str, expected: str) -> None:
        super().__init__(f"column {column}: found {found}, expected {expected}")
        self.column = column
        self.found = found
        self.expected = expected


class Type(NamedTuple):
    """What kind of value a part of an expression has."""

    kind: str
    """number, state, text or boolean."""
    uom: str | None = None
    """A number's unit; None for one that takes the unit of what it meets."""
    words: frozenset[str] = frozenset()
    """A state's words."""


NUMBER = Type("number")
BOOLEAN = Type("boolean")
TEXT = Type("text")
SECONDS = Type("number", "s")


@dataclass(frozen=True)
class Names:
    """The names an expression may use, and what each one is."""

    types: Mapping[str, Type]
    aged: frozenset[str] = frozenset()
    """Those that have an age: metrics and states."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Names that exist, though not here -> where they are."""


def names_of(profile: DeviceProfile, scope: str | None) -> Names:
    """What a rule on this child kind (or on the device itself) can see."""
    types: dict[str, Type] = {"presence": Type("state", words=frozenset(PRESENCE_WORDS)), "silence": SECONDS}
    types |= {name: _param_type(param.type, param.uom) for name, param in profile.params.items()}
    aged: set[str] = set()
    elsewhere: dict[str, str] = {}
    for name, (type_, owner) in _measured(profile).items():
        visible = name if owner == scope else f"parent.{name}" if owner is None else None
        if visible is not None:
            types[visible] = type_
            aged.add(visible)
        if visible != name:
            elsewhere[name] = f"parent.{name}" if owner is None else f"a rule with scope: {owner}"
    return Names(types, frozenset(aged), elsewhere)


def _measured(profile: DeviceProfile) -> dict[str, tuple[Type, str | None]]:
    metrics = {name: (Type("number", metric.uom), metric.scope) for name, metric in profile.metrics.items()}
    states = {
        name: (Type("state", words=frozenset(state.values)), state.scope) for name, state in profile.states.items()
    }
    return {**metrics, **states}


def _param_type(kind: str, uom: str) -> Type:
    if kind in ("number", "integer"):
        return Type("number", uom)
    return BOOLEAN if kind == "boolean" else TEXT


def nearest(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    same = [name for name in names if name.lower() == word.lower()]
    close = same or get_close_matches(word, names, n=1, cutoff=0.55)
    return f" (did you mean {close[0]}?)" if close else ""
