"""Which rules a reading can move, looked up once for each set of names that comes in; and the short way past those
that stay at rest, which is what nearly every rule does at nearly every reading.

A rule at rest is at rest still unless its condition holds. Most conditions read nothing but values of the device or
child itself, and params: those are asked about the values as they stand, without copying what each may see.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from device_profiles.expression import Condition
from gateway.reading import Millis, Value
from services.rules.automaton import FOREVER
from services.rules.compiled import CompiledProfile, CompiledRule, Source
from services.rules.schedule import Timetable
from services.rules.state import ChildState

_MOST_PLANS = 2_000


class Planned(NamedTuple):
    """One rule that new values of some names can move."""

    rule: CompiledRule
    id: str
    condition: Condition
    timetable: Timetable | None
    plain: bool
    """Its condition can be asked about the values as they stand, while none of them is flagged."""
    others: tuple[tuple[str, Millis], ...]
    """What it reads beside those names, and how long each of it may be trusted."""


def plan_of(profile: CompiledProfile, kind: str, names: tuple[str, ...]) -> tuple[Planned, ...]:
    """The rules of this scope that a reading of these names can move, each once."""
    plans = profile.plans
    found = plans.get((kind, names))
    if found is None:
        if len(plans) >= _MOST_PLANS:
            plans.clear()  # somebody sends another set of names each time
        touched = profile.touched.get(kind, {})
        rules = {rule.rule.id: rule for name in names for rule in touched.get(name, ())}
        found = plans[kind, names] = tuple(_planned(rule, frozenset(names)) for rule in rules.values())
    return found


def _planned(rule: CompiledRule, names: frozenset[str]) -> Planned:
    sources = {read.source for read in rule.reads}
    plain = not rule.looks and not rule.members and not rule.aging and sources <= {Source.OWN, Source.PARAM}
    others = tuple(
        (key, fresh_for)
        for _, source, key, fresh_for in rule.reads
        if source is Source.OWN and key not in names and fresh_for < FOREVER
    )
    return Planned(rule, rule.rule.id, rule.condition, rule.timetable, plain, others)


def stays_at_rest(planned: Planned, state: ChildState, values: Mapping[str, Value], zone: str, at: Millis) -> bool:
    """Whether a plain rule at rest goes on resting. False: it must be judged. `values`: those of the device or child
    as they stand, and the params."""
    for name, fresh_for in planned.others:
        if at - state.times.get(name, 0) > fresh_for:
            return False
    if planned.timetable is not None and not planned.timetable.in_zone(zone).applies(at):
        return True
    return planned.condition(values, _ageless) is not True


def _ageless(_name: str) -> float | None:
    """A plain rule asks for no ages."""
    return None
