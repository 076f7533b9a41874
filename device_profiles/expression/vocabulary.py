"""What an expression may talk about: names with their types, and how a mistake is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from device_profiles.schema import Command, DeviceProfile, Param

Value = float | int | str | bool | None
Age = Callable[[str], float | None]
Condition = Callable[[Mapping[str, Value], Age], Value]
"""(the values visible, age of a name in seconds) -> the result, or None where it is unknown."""

LONGEST = 1000
DEEPEST = 24
BUILTINS = frozenset({"presence", "silence"})
PRESENCE_WORDS = ("online", "stale", "offline", "unknown")
COMMAND_WORDS = ("queued", "sent", "acknowledged", "done", "failed", "expired")
"""How the last command of a kind fares: the words of the state `<command>_command`."""
WINDOWED = frozenset({"rate", "delta", "mean", "count", "changed"})
"""Functions that look back over a stretch of time."""
GROUPED = frozenset({"number", "share"})
"""Functions over the children of a device, or over the members of a rule of a site."""
FUNCTIONS = frozenset({"min", "max", "abs", "age"}) | WINDOWED | GROUPED
LONGEST_WINDOW = {"rate": 86_400, "mean": 86_400, "count": 86_400, "delta": 7 * 86_400, "changed": 7 * 86_400}
"""Seconds."""
SHORTEST_WINDOW = 1
MOST_WINDOWS = 8
"""Of one rule, its clear condition included."""
MOST_GROUPS = 8
"""Functions over members, of one expression."""
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
RATIO = Type("number", "ratio")
"""0 to 1; it is compared with 0.2 or with 20 %."""


@dataclass(frozen=True)
class Names:
    """The names an expression may use, and what each one is."""

    types: Mapping[str, Type]
    aged: frozenset[str] = frozenset()
    """Those that have an age: metrics and states."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Names that exist, though not here -> where they are."""
    moments: frozenset[str] = frozenset()
    """Events that do not last: they can be counted, and have no value."""
    windows: bool = True
    """Whether `rate`, `delta`, `mean`, `count` and `changed` may be used: whoever computes the expression watches."""
    groups: Mapping[str, Names] = field(default_factory=dict)
    """Kind of member -> the names of one of them, for `number` and `share`; empty where there are no members."""


def names_of(profile: DeviceProfile, scope: str | None) -> Names:
    """What a rule on this child kind (or on the device itself) can see."""
    types: dict[str, Type] = {"presence": Type("state", words=frozenset(PRESENCE_WORDS)), "silence": SECONDS}
    types |= _params(profile.params)
    aged: set[str] = set()
    elsewhere: dict[str, str] = {}
    for name, (type_, owner) in _measured(profile).items():
        visible = _seen_from(scope, owner, name)
        if visible is not None:
            types[visible] = type_
            aged.add(visible)
        if visible != name:
            elsewhere[name] = _where(owner, name)
    moments: set[str] = set()
    for name, event in profile.events.items():
        visible = None if event.lasting else _seen_from(scope, event.scope, name)
        if visible is not None:
            moments.add(visible)
            elsewhere[visible] = f"count({visible}, 10m): an event that does not last has no value"
        if visible != name and not event.lasting:
            elsewhere[name] = _where(event.scope, name)
    groups = {} if scope else {kind: names_of(profile, kind) for kind in profile.children}
    return Names(types, frozenset(aged), elsewhere, frozenset(moments), groups=groups)


def names_of_reading(profile: DeviceProfile, scope: str | None) -> Names:
    """What `derive` can see: metrics and states of the same reading, of a child also those that the same message says
    of its device (`parent.x`), and params."""
    types = _params(profile.params)
    elsewhere = {}
    for name, (type_, owner) in _reported(profile).items():
        visible = _seen_from(scope, owner, name)
        if visible is not None:
            types[visible] = type_
        if visible is None:
            elsewhere[name] = f"a name of the same reading: {name} is one of {owner}"
        elif visible != name:
            elsewhere[name] = visible
    return Names(types, elsewhere=elsewhere, windows=False)


def names_of_effect(profile: DeviceProfile, command: Command) -> Names:
    """What a command's effect can see: the names of its scope, and what the person said (the command's params)."""
    names = names_of(profile, command.scope)
    types = {**names.types, **_params(command.params)}
    return Names(types, names.aged, names.elsewhere, windows=False)


def _seen_from(scope: str | None, owner: str | None, name: str) -> str | None:
    """How a rule of this scope writes a name of that owner."""
    return name if owner == scope else f"parent.{name}" if owner is None else None


def _where(owner: str | None, name: str) -> str:
    return f"parent.{name}" if owner is None else f"a rule with scope: {owner}"


def _reported(profile: DeviceProfile) -> dict[str, tuple[Type, str | None]]:
    metrics = {name: (Type("number", metric.uom), metric.scope) for name, metric in profile.metrics.items()}
    states = {
        name: (Type("state", words=frozenset(state.values)), state.scope) for name, state in profile.states.items()
    }
    return {**metrics, **states}


def _measured(profile: DeviceProfile) -> dict[str, tuple[Type, str | None]]:
    """What is reported, what lasts, and how commands fare."""
    lasting = {name: (BOOLEAN, event.scope) for name, event in profile.events.items() if event.lasting}
    fate = Type("state", words=frozenset(COMMAND_WORDS))
    commands = {command_state(name): (fate, command.scope) for name, command in profile.commands.items()}
    return {**_reported(profile), **lasting, **commands}


def at_most(key: str) -> str:
    """Under which value stands how many it may be at most, where some members are unknown."""
    return f"{key} at most"


def met_by(key: str) -> str:
    """Under which value the members stand that meet it, as a text: no expression reads it, people do."""
    return f"{key} met by"


def unknown_of(key: str) -> str:
    """And under which those of whom it is not known."""
    return f"{key} unknown of"


def failed_by(key: str) -> str:
    """And those that are known not to meet it; of few members only."""
    return f"{key} not met by"


def command_state(command: str) -> str:
    """The name under which rules see how a command fares; its words are COMMAND_WORDS."""
    return f"{command}_command"


def _params(params: Mapping[str, Param]) -> dict[str, Type]:
    return {name: _param_type(param.type, param.uom) for name, param in params.items()}


def _param_type(kind: str, uom: str) -> Type:
    if kind in ("number", "integer"):
        return Type("number", uom)
    return BOOLEAN if kind == "boolean" else TEXT
