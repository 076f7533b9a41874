"""The rule tests of a profile, run through the same automaton that raises alarms on real data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from device_profiles.expression import Condition, names_of, parse
from device_profiles.schema import DeviceProfile, Rule, RuleTest, parse_duration
from gateway.reading import Millis, Value
from services.rules.automaton import IDLE, Delays, Mark, Outcome, Phase, advance

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

    A step's values are measured when it begins; they stay, growing older, until a later step sets them again. Unless
    a step says otherwise the device is online, silent since the step began, and its params have their defaults.
    """
    known = names_of(profile, rule.scope)
    when = parse(rule.when, known).compile()
    clear = None if rule.clear.when is None else parse(rule.clear.when, known).compile()
    play = _Play(when, clear, _delays(rule), {name: param.default for name, param in profile.params.items()})
    for step in test.given:
        play.step(step)
    return play.verdict()


def _delays(rule: Rule) -> Delays:
    return Delays(_millis(rule.for_.total_seconds()), _millis(rule.clear.for_.total_seconds()))


def _millis(seconds: float) -> Millis:
    return round(seconds * 1000)


@dataclass
class _Play:
    when: Condition
    clear: Condition | None
    delays: Delays
    values: dict[str, Value]
    measured: dict[str, Millis] = field(default_factory=dict)
    mark: Mark = IDLE
    now: Millis = _START
    heard: Millis = _START
    raised: bool = False

    def step(self, given: Mapping[str, Any]) -> None:
        new = {name: value for name, value in given.items() if name != "hold"}
        self.values.update(new)
        self.measured.update(dict.fromkeys(new, self.now))
        self.heard = self.now
        holds = _millis(parse_duration(given["hold"]).total_seconds())
        began = self.now
        for look in range(_LOOKS_PER_STEP + 1):
            self._look(began + holds * look // _LOOKS_PER_STEP)

    def _look(self, at: Millis) -> None:
        self.now = at
        seen = {"presence": "online", "silence": (at - self.heard) / 1000, **self.values}

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
