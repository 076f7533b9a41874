"""What a device is: names, scopes, children, params, metrics and their counters, states, events, availability."""

from __future__ import annotations

from collections.abc import Mapping

from device_profiles.checks.expressions import check_number
from device_profiles.checks.subject import Mistakes, Path, Subject
from device_profiles.children import MOST_CHILDREN
from device_profiles.expression import FUNCTIONS, ExpressionError, command_state, names_of_reading, parse_number
from device_profiles.mistakes import shown
from device_profiles.schema import Counter, Metric
from device_profiles.units import misspelt

RESERVED = FUNCTIONS | {"and", "or", "not", "in", "true", "false", "parent", "presence", "silence"}


def check(subject: Subject) -> Mistakes:
    """Mistakes of everything that is declared."""
    yield from _names(subject)
    yield from _scopes(subject)
    yield from _children(subject)
    for name, param in subject.profile.params.items():
        yield from subject.param_value(("params", name, "default"), param, "a default")
    for name, metric in subject.profile.metrics.items():
        yield from _metric(subject, name, metric)
    yield from _derived(subject)
    yield from _events(subject)
    yield from _availability(subject)


def _names(subject: Subject) -> Mistakes:
    profile = subject.profile
    for section in ("params", "metrics", "states", "events"):
        for name in getattr(profile, section):
            if name in RESERVED:
                yield subject.mistake((section, name), f"the reserved word {name!r}", "another name")
    fates = {command_state(command): command for command in profile.commands}
    for section in ("params", "metrics", "states", "events"):
        for name in getattr(profile, section):
            if name in fates:
                found = f"{name!r}, which says how the command {fates[name]} fares"
                yield subject.mistake((section, name), found, "another name")
    for name in profile.params:
        if name in subject.measured or name in profile.events:
            yield subject.mistake(("params", name), f"{name!r} also as a metric, state or event", "a name of its own")


def _scopes(subject: Subject) -> Mistakes:
    profile = subject.profile
    for section in ("metrics", "states", "events"):
        for name, part in getattr(profile, section).items():
            if part.scope is not None:
                yield from subject.known((section, name, "scope"), part.scope, profile.children, "child kind")
    for name, state in profile.states.items():
        if not state.values and name not in subject.left_out:
            yield subject.mistake(("states", name), "no words", "at least one word in values")


def _children(subject: Subject) -> Mistakes:
    params = subject.profile.params
    for kind, child in subject.profile.children.items():
        path: Path = ("children", kind)
        if child.count is not None and child.keys is not None:
            yield subject.mistake(path, "count and keys", "one of count, keys")
        for key, wanted in (("count", ("integer", "number")), ("keys", ("text",))):
            param = getattr(child, key)
            if isinstance(param, str):
                yield from subject.known((*path, key), param, params, "param")
                if param in params and params[param].type not in wanted:
                    found = f"the param {param} of type {params[param].type}"
                    yield subject.mistake((*path, key), found, f"one of type {wanted[0]}")
        many = params[child.count].default if child.count in params else child.count
        if isinstance(many, int | float) and not 0 <= many <= MOST_CHILDREN:
            yield subject.mistake((*path, "count"), f"{many:g}", f"0 to {MOST_CHILDREN} children")


def _metric(subject: Subject, name: str, metric: Metric) -> Mistakes:
    path: Path = ("metrics", name)
    if (meant := misspelt(metric.uom)) is not None:
        yield subject.mistake((*path, "uom"), f"the unknown unit {metric.uom!r}", f"a unit (did you mean {meant}?)")
    if metric.range is not None and not metric.range[0] < metric.range[1]:
        yield subject.mistake((*path, "range"), shown(metric.range), "the lower bound first")
    if metric.period is not None and not metric.period:
        yield subject.mistake((*path, "period"), "no time", "a period such as 1m")
    if metric.counter is not None:
        if metric.kind != "counter":
            yield subject.mistake((*path, "counter"), f"counter on a {metric.kind}", "kind: counter")
        yield from _counter(subject, name, metric, metric.counter, (*path, "counter"))


def _counter(subject: Subject, name: str, metric: Metric, counter: Counter, path: Path) -> Mistakes:
    if counter.largest_step is not None and counter.largest_step <= 0:
        yield subject.mistake((*path, "largest_step"), shown(counter.largest_step), "a step above 0")
    made = {(*path, "rate", "metric"): counter.rate.metric} if counter.rate is not None else {}
    made |= {(*path, "total"): counter.total} if counter.total is not None else {}
    for here, target in made.items():
        yield from subject.known(here, target, subject.profile.metrics, "metric")
        declared = subject.profile.metrics.get(target)
        if target == name:
            yield subject.mistake(here, f"the counter {name} itself", "another metric")
        elif declared is not None:
            yield from subject.scope(here, target, declared.scope, metric.scope)
            if declared.derive is not None:
                yield subject.mistake(here, f"{target}, which is derived", "a metric that nothing else computes")
    if len(made) > len(set(made.values())):
        yield subject.mistake((*path, "total"), f"{counter.total!r} as rate and as total", "two metrics")
    if counter.rate is not None and not counter.rate.per:
        yield subject.mistake((*path, "rate", "per"), "no time", "a time such as 1h")


# --- derive ----------------------------------------------------------------------------------------------------------


def _derived(subject: Subject) -> Mistakes:
    needs: dict[str, frozenset[str]] = {}
    for name, metric in subject.profile.metrics.items():
        if metric.derive is None:
            continue
        names = names_of_reading(subject.profile, metric.scope)
        yield from check_number(subject, metric.derive, names, ("metrics", name, "derive"), metric.uom)
        try:
            needs[name] = parse_number(metric.derive, names).names
        except ExpressionError:
            continue
    for name in needs:
        if round_ := _round(name, needs):
            yield subject.mistake(("metrics", name, "derive"), " from ".join(round_), "no metric that needs itself")


def _round(name: str, needs: Mapping[str, frozenset[str]]) -> list[str]:
    """The way from a name back to itself; empty where there is none."""
    came_from: dict[str, str] = {}
    open_ = [name]
    while open_:
        at = open_.pop()
        for need in sorted(needs.get(at, ())):
            if need == name:
                way = [name, at]
                while way[-1] != name:
                    way.append(came_from[way[-1]])
                return [name, *reversed(way[:-1])] if at != name else [name, name]
            if need not in came_from:
                came_from[need] = at
                open_.append(need)
    return []


# --- events, availability --------------------------------------------------------------------------------------------


def _events(subject: Subject) -> Mistakes:
    for name, event in subject.profile.events.items():
        path: Path = ("events", name)
        if event.auto_clear is not None and not event.lasting:
            yield subject.mistake((*path, "auto_clear"), "auto_clear on what does not last", "lasting: true")
        for key in ("auto_clear", "dedupe"):
            if getattr(event, key) is not None and not getattr(event, key):
                yield subject.mistake((*path, key), "no time", "a time such as 10s")


def _availability(subject: Subject) -> Mistakes:
    availability = subject.profile.availability
    if not availability.period:
        yield subject.mistake(("availability", "period"), "no time", "a period such as 1m")
    after = availability.offline_after
    if after is not None and after < availability.stale_after:
        expected = f"at least {availability.stale_after.total_seconds():g}s: it is stale before it is offline"
        yield subject.mistake(("availability", "offline_after"), f"{after.total_seconds():g}s", expected)
