"""The rule tests of a profile, run through the same automaton that raises alarms on real data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from device_profiles.expression import Condition, names_of, parse
from device_profiles.schema import DeviceProfile, Rule, RuleTest, parse_duration
from gateway.reading import Millis, Value
from services.rules.automaton import FOREVER, IDLE, Delays, Mark, Outcome, Phase, advance
from services.rules.compiled import CompiledLook, compile_looks
from services.rules.windows import Count

_START: Millis = 1_800_000_000_000
_LOOKS_PER_STEP = 120
"""How often the condition is judged while a step holds, for what changes by the mere passing of time."""


def check_rule_tests(profile: DeviceProfile) -> list[str]:
    """What failed, in words; empty when every rule says what its tests expect."""
    return [f"rule {rule.id!r}, {failure}" for rule, _, failure in failures(profile)]


def failures(profile: DeviceProfile) -> Iterator[tuple[Rule, int, str]]:
    """(rule, index of its test, what failed)."""
    for rule in profile.rules:
        for i, test in enumerate(rule.tests):
            said = run(profile, rule, test)
            if said != test.expect:
                yield rule, i, f"test {i + 1}: found {said}, expected {test.expect}"


def run(profile: DeviceProfile, rule: Rule, test: RuleTest) -> str:
    """What the rule says at the end of a test: raised, cleared or quiet.

    A step's values are measured when it begins; they stay, growing older, until a later step sets them again. A number
    given as [from, to] is measured all the while and goes from the one to the other; an event (`true`, or how many)
    happens when the step begins. `{times: 5, steps: [...]}` repeats steps. Unless a step says otherwise the device is
    online, silent since the step began, and its params have their defaults.
    """
    known = names_of(profile, rule.scope)
    when = parse(rule.when, known)
    clear = None if rule.clear.when is None else parse(rule.clear.when, known)
    play = _Play(
        when.compile(),
        None if clear is None else clear.compile(),
        _delays(rule),
        {name: param.default for name, param in profile.params.items()},
        [_Memory(look) for look in compile_looks(profile, [when] if clear is None else [when, clear])],
        known.moments,
    )
    for step in test.given:
        for inner in [step] if "steps" not in step else list(step["steps"]) * int(step.get("times", 1)):
            play.step(inner)
    return play.verdict()


def _delays(rule: Rule) -> Delays:
    return Delays(_millis(rule.for_.total_seconds()), _millis(rule.clear_after.total_seconds()))


def _millis(seconds: float) -> Millis:
    return round(seconds * 1000)


class _Memory:
    """What looks back in a rule under test: what is held stands, so there are no gaps."""

    def __init__(self, look: CompiledLook) -> None:
        self.look = look.look
        self.watch = look._replace(stretch=look.stretch._replace(hold=FOREVER)).watch()
        self._condition = look.condition

    def measured(self, names: Iterable[str], values: Mapping[str, Value], at: Millis) -> None:
        if self.look.names.isdisjoint(names):
            return
        value = values.get(self.look.name) if self._condition is None else self._condition(values, _ageless)
        if value is not None:
            self.watch.take(at, value)

    def happened(self, moments: Mapping[str, int], at: Millis) -> None:
        for _ in range(moments.get(self.look.moment, 0)):
            assert isinstance(self.watch, Count)
            self.watch.happened(at)


def _ageless(_name: str) -> float | None:
    return None


@dataclass
class _Play:
    when: Condition
    clear: Condition | None
    delays: Delays
    values: dict[str, Value]
    memories: list[_Memory]
    moments: frozenset[str]
    measured: dict[str, Millis] = field(default_factory=dict)
    mark: Mark = IDLE
    now: Millis = _START
    heard: Millis = _START
    raised: bool = False

    def step(self, given: Mapping[str, Any]) -> None:
        new = {name: value for name, value in given.items() if name != "hold" and name not in self.moments}
        ramps = {name: value for name, value in new.items() if isinstance(value, list | tuple)}
        moments = {name: int(times) for name, times in given.items() if name in self.moments}
        self.heard = began = self.now
        self._measure({name: value for name, value in new.items() if name not in ramps})
        for memory in self.memories:
            memory.happened(moments, self.now)
        holds = _millis(parse_duration(given["hold"]).total_seconds())
        for look in range(_LOOKS_PER_STEP + 1):
            self.now = began + holds * look // _LOOKS_PER_STEP
            self._measure({name: low + (high - low) * look / _LOOKS_PER_STEP for name, (low, high) in ramps.items()})
            self._look(self.now)

    def _measure(self, new: Mapping[str, Value]) -> None:
        self.values.update(new)
        self.measured.update(dict.fromkeys(new, self.now))
        if new:
            for memory in self.memories:
                memory.measured(new, self._seen(self.now), self.now)

    def _seen(self, at: Millis) -> dict[str, Value]:
        return {"presence": "online", "silence": (at - self.heard) / 1000, **self.values}

    def _look(self, at: Millis) -> None:
        looked_back = {
            one.look.key: result for one in self.memories if (result := one.watch.result(at, None)) is not None
        }
        seen = {**self._seen(at), **looked_back}

        def judge(phase: Phase) -> bool | None:
            if phase in (Phase.IDLE, Phase.PENDING):
                return _verdict(self.when(seen, self._age))
            if self.clear is not None:
                return _verdict(self.clear(seen, self._age))
            holds = _verdict(self.when(seen, self._age))
            return None if holds is None else not holds

        step = advance(self.mark, self.delays, at, judge)
        self.mark = step.mark
        self.raised = self.raised or step.has(Outcome.RAISED)

    def _age(self, name: str) -> float | None:
        at = self.measured.get(name)
        return None if at is None else (self.now - at) / 1000

    def verdict(self) -> str:
        if self.mark.phase in (Phase.ACTIVE, Phase.CLEARING):
            return "raised"
        return "cleared" if self.raised else "quiet"


def _verdict(value: Value) -> bool | None:
    return value if isinstance(value, bool) else None
