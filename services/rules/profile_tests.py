"""The rule tests of a profile, run through the same automaton that raises alarms on real data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast, get_args

from device_profiles.expression import Age, names_of
from device_profiles.schema import DeviceProfile, Rule, RuleTest, Schedule, Weekday, parse_duration
from gateway.reading import Millis, Value, child_kind
from services.rules.automaton import FOREVER, IDLE, Mark, Outcome, Phase, Transition, advance
from services.rules.compiled import PARENT, CompiledLook, CompiledRule, compile_rule
from services.rules.evaluation import holds_in
from services.rules.grading import flaps, severity_at, with_onset
from services.rules.members import count_among
from services.rules.schedule import Hours
from services.rules.windows import Count

_START: Millis = 1_800_000_000_000
_OF_STEPS = ("hold", "at")
_LOOKS_PER_STEP = 120
"""How often the condition is judged while a step holds, for what changes by the mere passing of time."""


def check_rule_tests(profile: DeviceProfile) -> list[str]:
    """What failed, in words; empty when every rule says what its tests expect."""
    return [f"rule {rule.id!r}, {failure}" for rule, _, failure in failures(profile)]


def failures(profile: DeviceProfile) -> Iterator[tuple[Rule, int, str]]:
    """(rule, index of its test, what failed)."""
    for rule in profile.rules:
        for i in range(len(rule.tests)):
            failure = failure_of(profile, rule, i)
            if failure:
                yield rule, i, failure


def failure_of(profile: DeviceProfile, rule: Rule, index: int) -> str:
    """What one test of a rule finds other than it expects; "" where it passes."""
    played, expected = play(profile, rule, rule.tests[index]), rule.tests[index].expect
    said, wanted = played.verdict(), str(expected)
    if not isinstance(expected, str):
        said, wanted = played.verdict_with_severity(), f"raised ({expected['raised'].value})"
    return "" if said == wanted else f"test {index + 1}: found {said}, expected {wanted}"


def run(profile: DeviceProfile, rule: Rule, test: RuleTest) -> str:
    """What the rule says at the end of a test: raised, cleared or quiet."""
    return play(profile, rule, test).verdict()


def play(profile: DeviceProfile, rule: Rule, test: RuleTest) -> Play:
    """A test, played to its end.

    A step's values are measured when it begins; they stay, growing older, until a later step sets them again. A number
    given as [from, to] is measured all the while and goes from the one to the other; an event (`true`, or how many)
    happens when the step begins. `port:1: {port_state: stuck}` is what a child says, for rules that count children.
    `{times: 5, steps: [...]}` repeats steps. Unless a step says otherwise the device and its children are online, it is
    silent since the step began, and its params have their defaults.

    `at: "22:30"` begins a step when the clock next shows that (`at: "sat 22:30"` also waits for the day), and what was
    held is held until then. A test begins on a Friday at 08:00, on a clock that is never changed.
    """
    compiled = compile_rule(profile, rule)
    played = Play(
        compiled,
        {name: param.default for name, param in profile.params.items()},
        [_Memory(look) for look in compiled.watched],
        names_of(profile, rule.scope).moments,
    )
    for step in test.given:
        for inner in [step] if "steps" not in step else list(step["steps"]) * int(step.get("times", 1)):
            played.step(inner)
    return played


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


def _results(memories: Iterable[_Memory], at: Millis) -> dict[str, Value]:
    found = ((one.look.key, one.watch.result(at, None)) for one in memories)
    return {key: result for key, result in found if result is not None}


def _ageless(_name: str) -> float | None:
    return None


@dataclass
class Play:
    """One rule under test, and how far its test has come."""

    rule: CompiledRule
    values: dict[str, Value]
    memories: list[_Memory]
    moments: frozenset[str]
    children: dict[str, dict[str, Value]] = field(default_factory=dict)
    """What each child has said."""
    child_measured: dict[str, dict[str, Millis]] = field(default_factory=dict)
    """And when."""
    child_memories: dict[str, list[_Memory]] = field(default_factory=dict)
    """What looks back at it."""
    measured: dict[str, Millis] = field(default_factory=dict)
    mark: Mark = IDLE
    now: Millis = _START
    heard: Millis = _START
    begun: bool = False
    raised: bool = False
    raised_at: Millis = 0
    severity: str = ""
    """Of the alarm that is active."""
    onsets: tuple[Millis, ...] = ()
    flapping: bool = False

    def step(self, given: Mapping[str, Any]) -> None:
        if "at" in given:
            self._wait_until(_next_shown(str(given["at"]), self.now))
        self.begun = True
        told = {child: said for child, said in given.items() if isinstance(said, Mapping)}
        for child, said in told.items():
            self.children.setdefault(child, {"presence": "online"}).update(said)
            self.child_measured.setdefault(child, {}).update(dict.fromkeys(said, self.now))
        own = {name: value for name, value in given.items() if not isinstance(value, Mapping)}
        new = {name: value for name, value in own.items() if name not in (*_OF_STEPS, *self.moments)}
        ramps = {name: value for name, value in new.items() if isinstance(value, list | tuple)}
        moments = {name: int(times) for name, times in given.items() if name in self.moments}
        self.heard = began = self.now
        self._measure({name: value for name, value in new.items() if name not in ramps})
        for memory in self.memories:
            memory.happened(moments, self.now)
        for child, said in told.items():
            self._remember(child, said)
        holds = _millis(parse_duration(given["hold"]).total_seconds())
        for at in self._looks(began, began + holds):
            self.now = at
            done = (self.now - began) / holds if holds else 1.0
            self._measure({name: low + (high - low) * done for name, (low, high) in ramps.items()})
            self._look(self.now)

    def _wait_until(self, at: Millis) -> None:
        if not self.begun:
            self.now = self.heard = at
            return
        for moment in self._looks(self.now, at):
            self.now = moment
            self._look(moment)

    def _looks(self, began: Millis, until: Millis) -> list[Millis]:
        """When the rule is judged meanwhile: often enough, and where its schedule or its alarm's age turns."""
        found = {began + (until - began) * look // _LOOKS_PER_STEP for look in range(_LOOKS_PER_STEP + 1)}
        hours = self.rule.timetable.in_zone("UTC") if self.rule.timetable is not None else None
        edge = hours.edge_after(began) if hours is not None else until
        while hours is not None and edge < until:
            found.add(edge)
            edge = hours.edge_after(edge)
        return sorted(found)

    def _measure(self, new: Mapping[str, Value]) -> None:
        self.values.update(new)
        self.measured.update(dict.fromkeys(new, self.now))
        if new:
            for memory in self.memories:
                memory.measured(new, self._seen(self.now), self.now)
            for child in self.children:
                self._remember(child, {f"{PARENT}{name}": value for name, value in new.items()})

    def _seen(self, at: Millis) -> dict[str, Value]:
        own = {"presence": "online", "silence": (at - self.heard) / 1000, **self.values}
        return {**own, **self._counted()} if self.rule.members else own

    def _counted(self) -> dict[str, Value]:
        return count_among(
            self.rule.members, {child: self._seen_of(child) for child in self.children}, self._age_in_child
        )

    def _seen_of(self, child: str) -> dict[str, Value]:
        """What a condition on a child may read: its params and silence, what its device and it say, and looks back."""
        above = {f"{PARENT}{name}": value for name, value in self.values.items()}
        silence = {"silence": (self.now - self.heard) / 1000}
        return {
            **silence,
            **self.values,
            **above,
            **self.children[child],
            **_results(self._memories_of(child), self.now),
        }

    def _memories_of(self, child: str) -> list[_Memory]:
        if child not in self.child_memories:
            kind = child_kind(child)
            looks = [look for one in self.rule.members if one.of.kind == kind for look in one.looks]
            self.child_memories[child] = [_Memory(look) for look in looks]
        return self.child_memories[child]

    def _remember(self, child: str, said: Mapping[str, Value]) -> None:
        for memory in self._memories_of(child):
            memory.measured(said, self._seen_of(child), self.now)
            memory.happened(
                {name: int(times or 0) for name, times in said.items() if name == memory.look.moment}, self.now
            )

    def _age_in_child(self, child: str) -> Age:
        def age(name: str) -> float | None:
            own = name.removeprefix(PARENT)
            at = self.measured.get(own) if own != name else self.child_measured.get(child, {}).get(name)
            return None if at is None else (self.now - at) / 1000

        return age

    def _look(self, at: Millis) -> None:
        seen = {**self._seen(at), **_results(self.memories, at)}

        applies = self.rule.timetable is None or self.rule.timetable.in_zone("UTC").applies(at)

        def judge(phase: Phase) -> bool | None:
            return holds_in(self.rule, phase, seen, self._age) if applies else phase not in (Phase.IDLE, Phase.PENDING)

        step = advance(self.mark, self.rule.calm if self.flapping else self.rule.delays, at, judge)
        self.mark = step.mark
        for one in step.transitions:
            self._note(one)
        if self.is_active:
            self.severity = severity_at(self.rule, seen, self._age, at - self.raised_at, self.severity)

    def _note(self, one: Transition) -> None:
        if one.outcome is Outcome.RAISED:
            self.raised, self.raised_at = True, one.at
        if one.outcome in (Outcome.RAISED, Outcome.RELAPSED):
            self.onsets = with_onset(self.rule, self.onsets, one.at)
            self.flapping = self.flapping or flaps(self.rule, self.onsets)
        if one.outcome is Outcome.CLEARED:
            self.severity, self.flapping = "", False

    @property
    def is_active(self) -> bool:
        return self.mark.phase in (Phase.ACTIVE, Phase.CLEARING)

    def _age(self, name: str) -> float | None:
        at = self.measured.get(name)
        return None if at is None else (self.now - at) / 1000

    def verdict(self) -> str:
        if self.is_active:
            return "raised"
        return "cleared" if self.raised else "quiet"

    def verdict_with_severity(self) -> str:
        """The same, of an active alarm as "raised (critical)"."""
        return f"{self.verdict()} ({self.severity})" if self.severity else self.verdict()


def _next_shown(clock: str, now: Millis) -> Millis:
    """When the clock of a test next shows "22:30", or "sat 22:30"."""
    day, _, shown = clock.rpartition(" ")
    days: tuple[Weekday, ...] = (cast("Weekday", day),) if day else get_args(Weekday)
    hours = Hours((Schedule(days=days, from_=shown, to=_minute_after(shown)),), "UTC")
    return now if hours.stretch(now).begins == now and hours.applies(now) else _next_beginning(hours, now)


def _next_beginning(hours: Hours, now: Millis) -> Millis:
    at = hours.edge_after(now)
    return at if hours.applies(at) else hours.edge_after(at)


def _minute_after(clock: str) -> str:
    hour, minute = map(int, clock.split(":"))
    return "24:00" if (hour, minute) == (23, 59) else f"{hour + (minute + 1) // 60:02}:{(minute + 1) % 60:02}"
