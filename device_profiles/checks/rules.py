"""Rules: their expressions, what follows from them, and their tests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from device_profiles.checks import severities
from device_profiles.checks.expressions import check_condition
from device_profiles.checks.limits import MOST_TEST_STEPS
from device_profiles.checks.subject import Mistakes, Path, Subject
from device_profiles.expression import MOST_WINDOWS, ExpressionError, Look, Names, names_of, parse, stretch_text
from device_profiles.mistakes import shown
from device_profiles.schema import Order, Rule, parse_duration

_MOST_TIMES = 100
_CLOCK = re.compile(r"^(?:(?:mon|tue|wed|thu|fri|sat|sun) )?(?:[01]\d|2[0-3]):[0-5]\d$")
_MOST_PLAYED = 1000
"""Steps of one test, repetitions written out."""


def check(subject: Subject) -> Mistakes:
    """Every rule, its expressions first."""
    profile = subject.profile
    yield from subject.each_once(("rules",), (rule.id for rule in profile.rules))
    names: dict[str | None, Names] = {}
    for i, rule in enumerate(profile.rules):
        path: Path = ("rules", i)
        if rule.ticket is not None:
            yield from subject.known((*path, "ticket"), rule.ticket, profile.tickets, "ticket")
        if rule.residents is not None:
            yield from subject.known((*path, "residents"), rule.residents, profile.residents, "wording")
        if rule.source.kind != "judgement" and not rule.source.ref:
            yield subject.mistake((*path, "source"), "no ref", f"the {rule.source.kind} that says so")
        if rule.scope is not None and rule.scope not in profile.children:
            yield from subject.known((*path, "scope"), rule.scope, profile.children, "child kind")
            continue
        if rule.order is not None:
            yield from _order(subject, rule, rule.order, (*path, "order"))
        if rule.scope not in names:
            names[rule.scope] = names_of(profile, rule.scope)
        yield from _expressions(subject, rule, names[rule.scope], path)
        yield from severities.check(subject, rule, path)
        yield from _schedule(subject, rule, path)
        yield from _causes(subject, rule, path)
        for j, test in enumerate(rule.tests):
            yield from _test(subject, test.given, names[rule.scope], (*path, "tests", j))


def _expressions(subject: Subject, rule: Rule, names: Names, path: Path) -> Mistakes:
    texts = {(*path, "when"): rule.when}
    if rule.clear.when is not None:
        texts[*path, "clear", "when"] = rule.clear.when
    texts |= {(*path, "grades", j, "when"): grade.when for j, grade in enumerate(rule.grades) if grade.when is not None}
    windows: set[str] = set()
    for here, text in texts.items():
        yield from check_condition(subject, text, names, here)
        try:
            found = parse(text, names)
        except ExpressionError:
            continue
        looks = (*found.windows, *(look for one in found.groups for look in one.condition.windows))
        windows |= {look.key for look in looks}
        for look in looks:
            yield from _long_enough(subject, look, here)
    if len(windows) > MOST_WINDOWS:
        many = f"{len(windows)} functions that look back, clear and grades included"
        yield subject.mistake((*path, "when"), many, f"at most {MOST_WINDOWS} in one rule")


def _long_enough(subject: Subject, look: Look, path: Path) -> Mistakes:
    """Within less than one period there is nothing to compare."""
    name = look.name.removeprefix("parent.")
    metric = subject.profile.metrics.get(name)
    if metric is None or metric.period is None or look.seconds >= metric.period.total_seconds():
        return
    expected = f"at least {stretch_text(metric.period.total_seconds())}, the period of {name}"
    yield subject.mistake(path, f"{stretch_text(look.seconds)} in {look.key}", expected)


def _schedule(subject: Subject, rule: Rule, path: Path) -> Mistakes:
    for j, stretch in enumerate(rule.schedule):
        here: Path = (*path, "schedule", j)
        if stretch.from_ == stretch.to:
            expected = "another end; a whole day is from 00:00 to 24:00"
            yield subject.mistake((*here, "to"), f"{stretch.to}, where it begins", expected)
        if stretch.from_ == "24:00":
            yield subject.mistake((*here, "from"), "24:00", "00:00, of the day on which it begins")
        if not stretch.days:
            yield subject.mistake((*here, "days"), "no day", "at least one, or no `days` for all of them")
        elif len(set(stretch.days)) < len(stretch.days):
            yield subject.mistake((*here, "days"), shown(list(stretch.days)), "each day once")


BREAKS = ("uplink_cut", "broker_down", "parent_down", "feed_down")
"""Alarms about broken links, which no profile declares; they may be causes as well."""


def _causes(subject: Subject, rule: Rule, path: Path) -> Mistakes:
    """Rules of this profile on the same thing or on its device, and broken links."""
    seen: set[str] = set()
    scopes = {one.id: one.scope for one in subject.profile.rules}
    for j, cause in enumerate(rule.suppressed_by):
        here: Path = (*path, "suppressed_by", j)
        if cause in seen:
            yield subject.mistake(here, f"{cause!r} twice", "each cause once")
        seen.add(cause)
        if cause == rule.id:
            yield subject.mistake(here, f"{cause!r}, the rule itself", "another rule: its cause")
        elif cause in scopes and scopes[cause] not in (None, rule.scope):
            found = f"{cause}, a rule of {scopes[cause]}"
            yield subject.mistake(here, found, f"a rule of {rule.scope or 'the device'}, or of the device")
        elif cause not in BREAKS:
            yield from subject.known(here, cause, (*scopes, *BREAKS), "rule")


def _order(subject: Subject, rule: Rule, order: Order, path: Path) -> Mistakes:
    commands = subject.profile.commands
    yield from subject.known((*path, "command"), order.command, commands, "command")
    command = commands.get(order.command)
    if command is None:
        return
    if command.scope not in (None, rule.scope) and rule.scope is not None:
        found = f"{order.command}, a command of {command.scope}"
        yield subject.mistake((*path, "command"), found, f"a command of {rule.scope} or of the device")
    for name in order.params:
        yield from subject.known((*path, "params", name), name, command.params, "param of the command")
        if name in command.params:
            yield from subject.param_value((*path, "params", name), command.params[name], "a value")


# --- tests -----------------------------------------------------------------------------------------------------------


def _test(subject: Subject, given: tuple[dict[str, Any], ...], names: Names, path: Path) -> Mistakes:
    if not given:
        yield subject.mistake((*path, "given"), "no steps", "at least one step")
    played = sum(times * steps for times, steps in map(_played, given))
    if played > _MOST_PLAYED:
        yield subject.mistake((*path, "given"), f"{played} steps, times counted", f"at most {_MOST_PLAYED}")
    for i, step in enumerate(given):
        here: Path = (*path, "given", i)
        if "times" in step or "steps" in step:
            yield from _repeated(subject, step, names, here)
        else:
            yield from _step(subject, step, names, here)


def _played(step: Mapping[str, Any]) -> tuple[int, int]:
    times, steps = step.get("times", 1), step.get("steps", [step])
    return (times if isinstance(times, int) else 1), (len(steps) if isinstance(steps, list | tuple) else 1)


def _repeated(subject: Subject, step: Mapping[str, Any], names: Names, path: Path) -> Mistakes:
    """`{times: 5, steps: [...]}`."""
    for key in step:
        yield from subject.known((*path, key), key, ("times", "steps"), "key")
    times, steps = step.get("times"), step.get("steps")
    if not isinstance(times, int) or isinstance(times, bool) or not 1 <= times <= _MOST_TIMES:
        yield subject.mistake((*path, "times"), shown(times), f"how often: 1 to {_MOST_TIMES}")
    if not isinstance(steps, list | tuple) or not 1 <= len(steps) <= MOST_TEST_STEPS:
        yield subject.mistake((*path, "steps"), shown(steps), f"a list of 1 to {MOST_TEST_STEPS} steps")
        return
    for i, inner in enumerate(steps):
        if isinstance(inner, dict):
            yield from _step(subject, inner, names, (*path, "steps", i))
        else:
            yield subject.mistake((*path, "steps", i), shown(inner), "a step such as {level: 3, hold: 1m}")


def _step(subject: Subject, step: Mapping[str, Any], names: Names, path: Path) -> Mistakes:
    known = [*names.types, *names.moments, "hold", "at"]
    for name, value in step.items():
        here: Path = (*path, name)
        if name == "at":
            yield from _at(subject, value, here)
            continue
        if name == "hold":
            yield from _hold(subject, value, here)
            continue
        if name.partition(":")[0] in names.groups:
            yield from _member(subject, value, names.groups[name.partition(":")[0]], here)
            continue
        yield from subject.known(here, name, known, "name")
        if value is not None:
            yield from _value(subject, names, name, value, here)
    if "hold" not in step:
        yield subject.mistake(path, "no hold", "how long these values hold, e.g. hold: 1m")


def _member(subject: Subject, values: object, names: Names, path: Path) -> Mistakes:
    """`port:1: {port_state: stuck}`: what a child of the device says, for rules that count children."""
    if ":" not in str(path[-1]) or not isinstance(values, dict) or not values:
        found = f"{path[-1]}: {shown(values)}"
        yield subject.mistake(path, found, f"values of one child, such as {str(path[-1]).partition(':')[0]}:1: {{…}}")
        return
    own = [name for name in names.types if not name.startswith("parent.")]
    for name, value in values.items():
        yield from subject.known((*path, name), name, own, "name")
        if value is not None:
            yield from _value(subject, names, name, value, (*path, name))


def _hold(subject: Subject, value: object, path: Path) -> Mistakes:
    try:
        parse_duration(value)
    except ValueError:
        yield subject.mistake(path, shown(value), "a duration such as 30s or 5m")


def _at(subject: Subject, value: object, path: Path) -> Mistakes:
    if not isinstance(value, str) or not _CLOCK.match(value):
        yield subject.mistake(path, shown(value), 'a time on the clock such as "22:30", or "sat 22:30"')


def _value(subject: Subject, names: Names, name: str, value: object, path: Path) -> Mistakes:
    if name in names.moments:
        if value is not True and not (_is_number(value) and isinstance(value, int) and 1 <= value <= _MOST_TIMES):
            yield subject.mistake(path, shown(value), f"true, or how often it happens: 1 to {_MOST_TIMES}")
        return
    type_ = names.types.get(name)
    if type_ is None:
        return
    if type_.kind == "state" and value not in type_.words:
        yield from subject.known(path, value, type_.words, f"word of the state {name}")
    if type_.kind == "boolean" and not isinstance(value, bool):
        yield subject.mistake(path, shown(value), "true or false")
    if type_.kind == "text" and not isinstance(value, str):
        yield subject.mistake(path, shown(value), "a text")
    if type_.kind == "number" and not _is_number(value) and not (name in names.aged and _is_ramp(value)):
        yield subject.mistake(path, shown(value), "a number, or [from, to] for one that moves while the step holds")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_ramp(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value))
