"""The automaton with flapping and severities, against a plain model that counts second by second and never restarts."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from device_profiles.schema import DeviceProfile
from device_profiles.yaml_lines import read_yaml
from gateway.presence import Liveness
from gateway.reading import Reading
from services.rules.automaton import Outcome
from services.rules.compiled import compile_profile
from services.rules.engine import GatewayView, take, tick
from services.rules.state import ChildState, DeviceState, dump_rule, restore_rule

RAISE, CLEAR, TIMES, WITHIN, FRESH, GRAVE = 45, 25, 3, 600, 60, 300
PROFILE = compile_profile(
    DeviceProfile.model_validate(
        read_yaml(f"""
profile: oven
family: environment
name: {{zh: 炉, en: Oven}}
metrics: {{heat: {{name: {{zh: 温, en: Heat}}, uom: "°C", range: [0, 200], period: {FRESH // 3}s}}}}
availability: {{period: 20s, event_driven: true}}
bindings: [{{id: t, topic: "o/{{address}}", decode: [{{json: true}}], fields: {{heat: h}}}}]
rules:
  - id: hot
    name: {{zh: 热, en: Hot}}
    when: heat > 60 °C
    for: {RAISE}s
    clear: {{for: {CLEAR}s}}
    severity: minor
    grades: [{{severity: critical, after: {GRAVE}s}}]
    flapping: {{times: {TIMES}, within: {WITHIN}s}}
    source: {{kind: judgement}}
""").data
    )
)
START = 1_772_380_800
Said = tuple[str, int]


class Model:
    """What the words of the profile mean, one second at a time."""

    def __init__(self) -> None:
        self.now, self.phase, self.held, self.fresh = 0, "idle", 0, 0
        self.counts, self.flapping, self.raised_at = False, False, 0
        self.onsets: list[int] = []
        self.said: list[Said] = []

    def passes(self, seconds: int) -> None:
        for _ in range(seconds):
            if self.phase in ("pending", "clearing") and self.counts and self.now < self.fresh:
                self.held += 1
            self.now += 1
            self._is_it_over()
            if self.phase in ("active", "clearing") and self.now == self.raised_at + GRAVE:
                self.said.append(("severity", self.now))

    def sees(self, hot: bool | None) -> None:
        if hot is None:
            self.counts = False
            return
        self.counts, self.fresh = True, self.now + FRESH
        turned = {("idle", True): "pending", ("pending", False): "idle", ("active", False): "clearing"}
        if self.phase == "clearing" and hot:
            self.phase = "active"
            self._begins()
        elif (self.phase, hot) in turned:
            self.phase, self.held = turned[self.phase, hot], 0

    def _is_it_over(self) -> None:
        if self.phase == "pending" and self.held >= RAISE:
            self.phase, self.raised_at = "active", self.now
            self.said.append(("raised", self.now))
            self._begins()
        if self.phase == "clearing" and self.held >= (max(CLEAR, WITHIN) if self.flapping else CLEAR):
            self.phase, self.flapping = "idle", False
            self.said.append(("cleared", self.now))

    def _begins(self) -> None:
        self.onsets.append(self.now)
        often = sum(1 for one in self.onsets if one >= self.now - WITHIN) >= TIMES
        if often and not self.flapping:
            self.flapping = True
            self.said.append(("flapping", self.now))


class Engine(RuleBasedStateMachine):
    """The engine, with a store that is written after each step as intake does, and restarts at any moment."""

    @initialize()
    def begins(self) -> None:
        self.model = Model()
        self.said: list[Said] = []
        self.store: dict[tuple[str, str], str] = {}
        self.device = DeviceState("oven", "yard", "oven", PROFILE, {}, liveness=Liveness.ONLINE.value)

    @rule(waits=st.integers(0, 70), heat=st.sampled_from([80.0, 80.0, 20.0, 20.0, None]))
    def says(self, waits: int, heat: float | None) -> None:
        self.model.passes(waits)
        self.model.sees(None if heat is None else heat > 60)
        at = self._millis()
        self._follow(take(self.device, Reading("oven", "", at, at, "t", {"heat": heat}), self._view()))

    @rule(times=st.integers(2, 12), period=st.integers(1, 40))
    def trembles(self, times: int, period: int) -> None:
        for time in range(times):
            self.says(waits=period, heat=80.0 if time % 2 == 0 else 20.0)

    @rule(times=st.integers(1, 30), heat=st.sampled_from([80.0, 20.0]))
    def stays(self, times: int, heat: float) -> None:
        for _ in range(times):
            self.says(waits=30, heat=heat)

    @rule(waits=st.integers(1, 900))
    def time_passes(self, waits: int) -> None:
        self.model.passes(waits)
        self._follow(tick(self.device, self._view()))

    @rule()
    def restarts(self) -> None:
        before = self.device
        state = before.children[""]
        self.device = DeviceState("oven", "yard", "oven", PROFILE, {}, liveness=before.liveness, reason=before.reason)
        self.device.children[""] = ChildState(
            dict(state.values), dict(state.times), dict(state.flags), state.measured_at, state.heard_at
        )
        self.device.heard_at = before.heard_at
        self.device.last_measured, self.device.last_received = before.last_measured, before.last_received
        for key, kept in self.store.items():
            restore_rule(self.device, key, PROFILE.rules[key[1]], json.loads(kept))

    @invariant()
    def tells_the_same_story(self) -> None:
        # What has come about by now and was not looked at yet is found out with the next reading or tick.
        assert self.said == self.model.said[: len(self.said)]
        assert all(at == self.model.now or at < self.model.now for _, at in self.model.said)

    @invariant()
    def never_raises_twice(self) -> None:
        turns = [what for what, _ in self.said if what in ("raised", "cleared")]
        assert turns == ["raised", "cleared"] * (len(turns) // 2) + ["raised"] * (len(turns) % 2)

    def teardown(self) -> None:
        self._follow(tick(self.device, self._view()))
        assert self.said == self.model.said
        raised = [at for what, at in self.said if what == "raised"]
        for third, first in zip(raised[TIMES:], raised, strict=False):
            assert third - first > WITHIN, "more alarms in that time than make one that flaps"

    def _follow(self, fired: list[Any]) -> None:
        told = {Outcome.RAISED, Outcome.CLEARED, Outcome.FLAPPING, Outcome.SEVERITY}
        self.said += [(one.outcome.value, one.at // 1000 - START) for one in fired if one.outcome in told]
        for key in self.device.moved:
            kept = dump_rule(self.device, key)
            if kept is None:
                self.store.pop(key, None)
            else:
                self.store[key] = json.dumps(kept)
        self.device.moved.clear()

    def _view(self) -> GatewayView:
        return GatewayView(self._millis(), known=True)

    def _millis(self) -> int:
        return (START + self.model.now) * 1000


TestEngine = Engine.TestCase
TestEngine.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
