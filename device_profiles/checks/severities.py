"""The grades of a rule: each can win, and says something else than what holds without it."""

from __future__ import annotations

from datetime import timedelta

from device_profiles.checks.subject import Mistakes, Path, Subject
from device_profiles.schema import Grade, Rule
from device_profiles.schema.behaviour import Flapping

_LONGEST_FLAPPING = timedelta(days=1)
_SHORTEST_FLAPPING = timedelta(minutes=1)


def check(subject: Subject, rule: Rule, path: Path) -> Mistakes:
    """Of the grades, and of what counts as flapping."""
    for j, grade in enumerate(rule.grades):
        here: Path = (*path, "grades", j)
        if grade.when is None and not grade.after:
            yield subject.mistake(here, f"always {grade.severity.value}", "`when` or `after`: when it is that severe")
            continue
        earlier = next((one for one in rule.grades[:j] if _hides(one, grade)), None)
        if earlier is not None:
            found = f"a grade that never counts: {_said(earlier)} stands before it and fits whenever it does"
            yield subject.mistake(here, found, "the later or rarer grade first")
        elif grade.severity is rule.severity and not _can_be_hidden_by(rule.grades[j + 1 :], grade):
            expected = "another severity, or a grade behind it that it keeps from counting"
            yield subject.mistake((*here, "severity"), f"{grade.severity.value}, the rule's own", expected)
    if rule.flapping != Flapping():
        yield from _flapping(subject, rule, (*path, "flapping"))


def _hides(earlier: Grade, grade: Grade) -> bool:
    """Whether the earlier one fits whenever this one does."""
    same = earlier.when is None or earlier.when == grade.when
    return same and (earlier.after or timedelta(0)) <= (grade.after or timedelta(0))


def _can_be_hidden_by(later: tuple[Grade, ...], grade: Grade) -> bool:
    """A grade with the rule's own severity makes sense as an exception from one behind it."""
    return any(one.severity is not grade.severity for one in later)


def _said(grade: Grade) -> str:
    parts = [f"when {grade.when}"] if grade.when is not None else []
    parts += [f"after {grade.after.total_seconds():g}s"] if grade.after else []
    return " ".join([grade.severity.value, *parts])


def _flapping(subject: Subject, rule: Rule, path: Path) -> Mistakes:
    within = rule.flapping.within
    if not _SHORTEST_FLAPPING <= within <= _LONGEST_FLAPPING:
        yield subject.mistake((*path, "within"), f"{within.total_seconds():g}s", "1m to 1d")
