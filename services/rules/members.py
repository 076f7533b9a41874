"""Counting members: how many children of a device meet a condition, for rules that say `number` or `share`.

Pure. A member for which the condition is unknown counts neither way; see `device_profiles.expression`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from device_profiles.expression import Age, Condition, at_most, met_by
from gateway.reading import Millis, Value, child_kind
from services.rules.compiled import PARENT, CompiledMembers, CompiledRule
from services.rules.state import DeviceState

MOST_NAMED = 12
"""Members that an alarm names; of more it says how many."""

See = Callable[[DeviceState, str, CompiledRule, CompiledMembers, Millis], Mapping[str, Value]]
"""What a rule may see of a member: `services.rules.seen.seen_of_member`."""


class Tally(NamedTuple):
    """How many members there are, of how many it is known, and how many of these meet it."""

    met: int = 0
    known: int = 0
    members: int = 0


def count_children(device: DeviceState, rule: CompiledRule, at: Millis, see: See) -> dict[str, Value]:
    """The results of everything in a rule that counts children, as values under their keys."""
    found: dict[str, Value] = {}
    for one in rule.members:
        if one.condition is None:
            found |= _as_told(device, one)
        else:
            met, tally = _count(device, rule, one, one.condition, at, see)
            found |= values_of_tally(one.of.key, one.of.function, tally, met)
    return found


def _count(
    device: DeviceState, rule: CompiledRule, one: CompiledMembers, condition: Condition, at: Millis, see: See
) -> tuple[list[str], Tally]:
    """Asked of every child at every new value of one of them: this is where the time goes."""
    prefix, plain, aging = f"{one.of.kind}:", one.plain, one.of.condition.ages
    met: list[str] = []
    known = members = 0
    for child, state in device.children.items():
        if not child.startswith(prefix):
            continue
        members += 1
        seen = state.values if plain and not state.flags else see(device, child, rule, one, at)
        holds = condition(seen, ages(device, child, at) if aging else _ageless)
        if holds is not None:
            known += 1
            if holds is True:
                met.append(child)
    return met, Tally(len(met), known, members)


def answers_as_before(device: DeviceState, child: str, rule: CompiledRule) -> bool:
    """Whether a child's new values leave all counts of a rule as they were: then a rule at rest goes on resting."""
    state = device.children[child]
    key, kind = (child, rule.rule.id), child_kind(child)
    if state.flags or not all(one.plain for one in rule.members):
        device.answers.pop(key, None)
        return False
    values = state.values
    now = tuple(
        one.condition(values, _ageless) for one in rule.members if one.of.kind == kind and one.condition is not None
    )
    before = device.answers.get(key)
    device.answers[key] = now
    return now == before


def count_among(
    members: Iterable[CompiledMembers],
    children: Mapping[str, Mapping[str, Value]],
    age_in: Callable[[str], Age],
) -> dict[str, Value]:
    """The same of children whose values are given: child -> every name that a condition on it may read, results of
    what looks back included. `age_in`: child -> the ages of its names."""
    found: dict[str, Value] = {}
    for one in members:
        holds = {
            child: one.condition(values, age_in(child))
            for child, values in children.items()
            if one.condition is not None and child_kind(child) == one.of.kind
        }
        met = [child for child, value in holds.items() if value is True]
        tally = Tally(len(met), sum(value is not None for value in holds.values()), len(holds))
        found |= values_of_tally(one.of.key, one.of.function, tally, met)
    return found


def values_of_tally(key: str, function: str, tally: Tally, met: Iterable[str]) -> dict[str, Value]:
    """What an expression reads, and who it was, for people. Nothing where it is unknown."""
    result = share_of(tally) if function == "share" else float(tally.met) if tally.members else None
    if result is None:
        return {}
    found: dict[str, Value] = {key: result}
    if function == "number" and tally.known < tally.members:
        found[at_most(key)] = float(tally.met + tally.members - tally.known)
    if tally.met:
        found[met_by(key)] = in_words(tally, met)
    return found


def met_and_most(key: str) -> tuple[str, str]:
    """What may stand beside the result itself."""
    return at_most(key), met_by(key)


def share_of(tally: Tally) -> float | None:
    """Of the known ones; unknown where fewer than half are known."""
    return tally.met / tally.known if tally.known and 2 * tally.known >= tally.members else None


def in_words(tally: Tally, met: Iterable[str]) -> str:
    """`3/10: port:1, port:4, port:7`."""
    shown = ", ".join(islice(met, MOST_NAMED)) + (", …" if tally.met > MOST_NAMED else "")
    return f"{tally.met}/{tally.members}: {shown}"


def _as_told(device: DeviceState, one: CompiledMembers) -> dict[str, Value]:
    """Counted elsewhere, over several devices, and told as values."""
    values, key = device.children[""].values, one.of.key
    names = (key, at_most(key), met_by(key))
    return {name: values[name] for name in names if values.get(name) is not None}


def _ageless(_name: str) -> float | None:
    """Of conditions that ask for none."""
    return None


def ages(device: DeviceState, child: str, at: Millis) -> Callable[[str], float | None]:
    """Seconds since a name was last measured."""

    def age(name: str) -> float | None:
        key = name.removeprefix(PARENT)
        state = device.children[""] if key != name else device.children.get(child)
        measured = state.times.get(key) if state is not None else None
        return None if measured is None else max(0, at - max(measured, device.listening_from or 0)) / 1000

    return age
