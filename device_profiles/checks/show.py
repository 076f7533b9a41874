"""How a device looks, how it is played, and how its profile is proven."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from device_profiles.checks.subject import Mistakes, Path, Subject
from device_profiles.mistakes import shown
from device_profiles.schema import Earlier, Fault, Said, Sample, Signal

SAMPLE_KEYS = frozenset({"address", "child", "measured_at", "binding", "values", "events", "quality", "flags"}) | {
    "presence",
    "retained",
    "replies",
}
_SHORTEST_PLAY_SECONDS = 0.01


def check(subject: Subject) -> Mistakes:
    """Dashboard, simulator and samples."""
    dashboard = subject.profile.dashboard
    for i, name in enumerate(dashboard.headline):
        yield from subject.known(("dashboard", "headline", i), name, subject.measured, "metric or state")
    for i, group in enumerate(dashboard.charts):
        for j, name in enumerate(group):
            yield from subject.known(("dashboard", "charts", i, j), name, subject.profile.metrics, "metric")
    yield from _simulator(subject)
    yield from _samples(subject)


# --- simulator -------------------------------------------------------------------------------------------------------


def _simulator(subject: Subject) -> Mistakes:
    simulator = subject.profile.simulator
    bindings = [binding.id for binding in subject.profile.bindings]
    for i, play in enumerate(simulator.plays):
        path: Path = ("simulator", "plays", i)
        yield from subject.known((*path, "binding"), play.binding, bindings, "binding")
        if play.every.total_seconds() < _SHORTEST_PLAY_SECONDS:
            yield subject.mistake((*path, "every"), f"{play.every.total_seconds():g}s", "at least 10ms")
    for name, signal in simulator.signals.items():
        yield from subject.known(("simulator", "signals", name), name, subject.measured, "metric or state")
        if name in subject.measured:
            yield from _signal(subject, name, signal, ("simulator", "signals", name))
    for name, fault in simulator.faults.items():
        yield from _fault(subject, fault, ("simulator", "faults", name))


def _signal(subject: Subject, name: str, signal: Signal, path: Path) -> Mistakes:
    yield from subject.fits((*path, "start"), name, signal.start)
    for i, word in enumerate(signal.cycle):
        yield from subject.fits((*path, "cycle", i), name, word)
    for state, words in signal.while_.items():
        here: Path = (*path, "while", state)
        yield from subject.known(here, state, subject.profile.states, "state")
        for i, word in enumerate(words if state in subject.profile.states else ()):
            yield from subject.fits((*here, i), state, word)


def _fault(subject: Subject, fault: Fault, path: Path) -> Mistakes:
    if fault.scope is not None:
        yield from subject.known((*path, "scope"), fault.scope, subject.profile.children, "child kind")
    for key, value in fault.set.items():
        yield from _faulted(subject, (*path, "set", key), key, fault.scope)
        if key in subject.measured:
            yield from subject.fits((*path, "set", key), key, value)
    for key in fault.ramp:
        yield from _faulted(subject, (*path, "ramp", key), key, fault.scope)
        if key in subject.profile.states:
            yield subject.mistake((*path, "ramp", key), f"the state {key}", "a metric; states are set")
    if not (fault.set or fault.ramp or fault.silent):
        yield subject.mistake(path, "a fault that does nothing", "one of set, ramp, silent")


def _faulted(subject: Subject, path: Path, name: str, scope: str | None) -> Mistakes:
    yield from subject.known(path, name, subject.measured, "metric or state")
    if name in subject.measured:
        yield from subject.scope(path, name, subject.measured[name].scope, scope)


# --- samples ---------------------------------------------------------------------------------------------------------


def _samples(subject: Subject) -> Mistakes:
    samples = subject.profile.samples
    for name, times in Counter(sample.name for sample in samples).items():
        if times > 1:
            yield subject.mistake(("samples",), f"{times} samples named {name!r}", "each name once")
    for i, sample in enumerate(samples):
        path: Path = ("samples", i)
        yield from _message(subject, sample, path)
        for j, earlier in enumerate(sample.before):
            yield from _message(subject, earlier, (*path, "before", j))
        for name in sample.params:
            here: Path = (*path, "params", name)
            yield from subject.known(here, name, subject.profile.params, "param")
            if name in subject.profile.params:
                yield from subject.param_value(here, subject.profile.params[name], "a value")
        if sample.error is not None and sample.expect:
            yield subject.mistake((*path, "error"), "error and expect", "one of them")
        if sample.said is not None:
            yield from _said(subject, sample, sample.said, (*path, "said"))
        for j, expected in enumerate(sample.expect):
            yield from _expected(subject, expected, (*path, "expect", j))


def _said(subject: Subject, sample: Sample, said: Said, path: Path) -> Mistakes:
    yield from subject.known((*path, "command"), said.command, subject.profile.commands, "command")
    if sample.expect or sample.error is not None:
        yield subject.mistake(path, "said beside expect or error", "a command's message alone: it becomes no readings")
    command = subject.profile.commands.get(said.command)
    if command is None:
        return
    kind = said.child.partition(":")[0]
    if (command.scope or "") != kind:
        expected = f'a child such as "{command.scope}:1"' if command.scope else "no child: it is one of the device"
        yield subject.mistake((*path, "child"), shown(said.child), expected)
    for name in said.params:
        here: Path = (*path, "params", name)
        yield from subject.known(here, name, command.params, "param of the command")
        if name in command.params:
            yield from subject.param_value(here, command.params[name], "a value")


def _message(subject: Subject, sample: Sample | Earlier, path: Path) -> Mistakes:
    if (sample.text is None) == (sample.hex is None):
        found = "neither text nor hex" if sample.text is None else "text and hex"
        yield subject.mistake(path, found, "one of text, hex")
    if sample.hex is not None and not re.fullmatch(r"(?:[0-9a-fA-F]{2}\s*)*", sample.hex):
        yield subject.mistake((*path, "hex"), shown(sample.hex), "pairs of hex digits")


def _expected(subject: Subject, expected: Mapping[str, Any], path: Path) -> Mistakes:
    for key in expected:
        yield from subject.known((*path, key), key, SAMPLE_KEYS, "key")
    if expected.get("presence") not in (None, "", "online", "offline"):
        yield from subject.known((*path, "presence"), expected["presence"], ("online", "offline"), "word")
    lasting = [name for name, event in subject.profile.events.items() if event.lasting]
    for name, value in _mapping(expected.get("values")).items():
        here: Path = (*path, "values", name)
        yield from subject.known(here, name, [*subject.measured, *lasting], "metric or state")
        if name in subject.measured and value is not None:
            yield from subject.fits(here, name, value)
    events = expected.get("events")
    for i, event in enumerate(events if isinstance(events, list | tuple) else ()):
        id_ = event.get("id") if isinstance(event, dict) else event
        yield from subject.known((*path, "events", i), id_, subject.profile.events, "event")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
