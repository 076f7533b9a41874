"""How severe an alarm is, and when it counts as flapping. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from device_profiles.expression import Age, Value
from gateway.reading import Millis
from services.rules.automaton import FOREVER
from services.rules.compiled import CompiledRule


def severity_at(rule: CompiledRule, values: Mapping[str, Value], age: Age, active_for: Millis, now: str = "") -> str:
    """The severity of the first grade that fits, else the rule's own.

    `now` is the severity that the alarm has: it stays while it is unknown whether the grade that gave it still fits.
    """
    for grade in rule.grades:
        if active_for < grade.after:
            continue
        fits = True if grade.condition is None else grade.condition(values, age)
        if fits is None and grade.severity == now:
            return now
        if fits is True:
            return grade.severity
    return rule.rule.severity.value


def next_age(rule: CompiledRule, raised_at: Millis, after: Millis) -> Millis:
    """The first moment later than `after` at which another grade may fit by age."""
    return next((raised_at + age for age in rule.ages if raised_at + age > after), FOREVER)


def with_onset(rule: CompiledRule, onsets: tuple[Millis, ...], at: Millis) -> tuple[Millis, ...]:
    """The onsets that still matter with one more: those within the rule's `flapping.within`, the newest last."""
    begin = at - rule.flapping_within
    return (*(one for one in onsets if one >= begin), at)[-rule.rule.flapping.times :]


def flaps(rule: CompiledRule, onsets: tuple[Millis, ...]) -> bool:
    """Whether it has begun often enough: `onsets` as `with_onset` gives them."""
    return len(onsets) >= rule.rule.flapping.times


def forgotten_at(rule: CompiledRule, onsets: tuple[Millis, ...]) -> Millis:
    """When the newest onset cannot make the alarm flap any more."""
    return onsets[-1] + rule.flapping_within + 1 if onsets else 0
