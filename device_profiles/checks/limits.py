"""How large a profile may be. What is larger is a mistake, or means harm."""

from __future__ import annotations

from collections.abc import Sized

from device_profiles.checks.subject import Mistakes, Path, Subject
from device_profiles.schema import Rule

MOST = {
    "params": 200,
    "children": 50,
    "metrics": 500,
    "states": 500,
    "events": 500,
    "bindings": 200,
    "commands": 200,
    "rules": 200,
    "tickets": 200,
    "residents": 200,
    "samples": 1000,
}
MOST_FIELDS = 500
"""Of one binding, event, layout or state."""
MOST_STEPS = 16
"""Of one codec chain, and fan-outs of one binding."""
MOST_TESTS = 50
MOST_TEST_STEPS = 30


def check(subject: Subject) -> Mistakes:
    """Parts of which there are too many."""
    profile = subject.profile
    for section, most in MOST.items():
        yield from _at_most(subject, (section,), getattr(profile, section), most)
    for name, state in profile.states.items():
        yield from _at_most(subject, ("states", name, "values"), state.values, MOST_FIELDS)
    for i, binding in enumerate(profile.bindings):
        path: Path = ("bindings", i)
        for key, most in (("fields", MOST_FIELDS), ("events", MOST_FIELDS), ("when", 100)):
            yield from _at_most(subject, (*path, key), getattr(binding, key), most)
        for key in ("decode", "each"):
            yield from _at_most(subject, (*path, key), getattr(binding, key), 4 * MOST_STEPS)
        for j, each in enumerate(binding.each):
            yield from _at_most(subject, (*path, "each", j, "fields"), each.fields, MOST_FIELDS)
    for i, rule in enumerate(profile.rules):
        yield from _tests(subject, rule, ("rules", i))


def _tests(subject: Subject, rule: Rule, path: Path) -> Mistakes:
    yield from _at_most(subject, (*path, "tests"), rule.tests, MOST_TESTS)
    for j, test in enumerate(rule.tests):
        yield from _at_most(subject, (*path, "tests", j, "given"), test.given, MOST_TEST_STEPS)


def _at_most(subject: Subject, path: Path, part: Sized, most: int) -> Mistakes:
    if len(part) > most:
        yield subject.mistake(path, f"{len(part)} of them", f"at most {most}")
