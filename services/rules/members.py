"""Counting members: how many children of a device meet a condition, for rules that say `number` or `share`.

Pure. A member for which the condition is unknown counts neither way; see `device_profiles.expression`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from device_profiles.expression import Age, Condition, at_most, failed_by, met_by, unknown_of
from gateway.reading import Millis, Value, child_kind
from services.rules.compiled import PARENT, CompiledMembers, CompiledRule
from services.rules.state import DeviceState

MOST_NAMED = 12
"""Members that an alarm names; of more it says how many."""

HALF = 0.5
"""Of the members, that must be known for a share of them to be."""

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
            met, unknown, tally = _count(device, rule, one, one.condition, at, see)
            found |= values_of_tally(one.of.key, one.of.function, tally, met, unknown)
    return found


def _count(
    device: DeviceState, rule: CompiledRule, one: CompiledMembers, condition: Condition, at: Millis, see: See
) -> tuple[list[str], list[str], Tally]:
    """Asked of every child at every new value of one of them: this is where the time goes."""
    prefix, plain, aging = f"{one.of.kind}:", one.plain, one.of.condition.ages
    met: list[str] = []
    unknown: list[str] = []
    members = 0
    for child, state in device.children.items():
        if not child.startswith(prefix):
            continue
        members += 1
        seen = state.values if plain and not state.flags else see(device, child, rule, one, at)
        holds = condition(seen, ages(device, child, at) if aging else _ageless)
        if holds is None:
            unknown.append(child)
        elif holds is True:
            met.append(child)
    return met, unknown, Tally(len(met), members - len(unknown), members)


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
        unknown = [child for child, value in holds.items() if value is None]
        tally = Tally(len(met), len(holds) - len(unknown), len(holds))
        found |= values_of_tally(one.of.key, one.of.function, tally, met, unknown)
    return found


def values_of_tally(
    key: str,
    function: str,
    tally: Tally,
    met: Iterable[str],
    unknown: Iterable[str] = (),
    other: Iterable[str] = (),
    least: float = HALF,
) -> dict[str, Value]:
    """What an expression reads, and who it was, for people: without a result where it is unknown. `least`: the share
    of the members that must be known for a share of them to be."""
    hidden = tally.members - tally.known
    found: dict[str, Value] = {}
    result = share_of(tally, least) if function == "share" else float(tally.met) if tally.members else None
    if result is not None:
        found[key] = result
        if function == "number" and hidden:
            found[at_most(key)] = float(tally.met + hidden)
    if tally.met:
        found[met_by(key)] = in_words(tally.met, tally.members, met)
    if hidden:
        found[unknown_of(key)] = in_words(hidden, tally.members, unknown)
    if names := list(islice(other, MOST_NAMED + 1)):
        found[failed_by(key)] = in_words(tally.known - tally.met, tally.members, names)
    return found


def keys_beside(key: str) -> tuple[str, ...]:
    """What may stand beside the result itself."""
    return at_most(key), met_by(key), unknown_of(key), failed_by(key), last_heard_of(key)


def last_heard_of(key: str) -> str:
    """Under which value stands who was heard last, and when; of conditions that ask who is not heard."""
    return f"{key} last heard"


def share_of(tally: Tally, least: float = HALF) -> float | None:
    """Of the known ones; unknown where too few are known, and where there are none."""
    return tally.met / tally.known if tally.known and tally.known >= least * tally.members else None


def in_words(count: int, members: int, names: Iterable[str]) -> str:
    """`3/10: port:1, port:4, port:7`."""
    shown = ", ".join(islice(names, MOST_NAMED)) + (", …" if count > MOST_NAMED else "")
    return f"{count}/{members}: {shown}"


def _as_told(device: DeviceState, one: CompiledMembers) -> dict[str, Value]:
    """Counted elsewhere, over several devices, and told as values."""
    values, key = device.children[""].values, one.of.key
    names = (key, *keys_beside(key))
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
