"""What one reading costs the rule engine, its device's state included, and whether that grows with the devices."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from device_profiles.schema import DeviceProfile
from device_profiles.yaml_lines import read_yaml
from gateway.presence import Liveness
from gateway.reading import Reading, Value
from services.rules.compiled import CompiledProfile, compile_profile
from services.rules.engine import GatewayView, take
from services.rules.state import DeviceState, dump_rule

_START = 1_772_380_800_000
_PERIOD = 30_000
_ONE_IN = 500
"""Of so many readings one begins an episode, and the next ends it: states are moved and dumped as in production."""
BY_DEVICES = (1_000, 10_000, 100_000)

PROFILE = """
profile: bench_rules
family: bench
name: {zh: bench, en: bench}
params:
  hot: {default: 80, uom: "°C", min: 0, max: 200}
  rated: {default: 10, uom: A, min: 1, max: 100}
metrics:
  temperature: {name: {zh: t, en: t}, uom: "°C", range: [-40, 200], period: 30s}
  current: {name: {zh: i, en: i}, uom: A, range: [0, 100], period: 30s}
  voltage: {name: {zh: u, en: u}, uom: V, range: [0, 500], period: 30s}
states:
  run:
    name: {zh: r, en: r}
    values: {running: {zh: r, en: running, tone: ok}, fault: {zh: f, en: fault, tone: bad}}
availability: {period: 30s}
bindings: [{id: t, topic: "b/{address}", decode: [{json: true}], fields: {temperature: t}}]
rules:
  - id: hot
    name: {zh: h, en: h}
    when: temperature >= hot
    for: 1m
    clear: {when: temperature < hot - 10 °C, for: 5m}
    severity: minor
    grades: [{severity: critical, when: temperature >= hot + 20 °C}, {severity: major, after: 30m}]
    source: {kind: judgement}
  - {id: failed, name: {zh: f, en: f}, when: run == fault, severity: major, source: {kind: judgement}}
  - id: overload
    name: {zh: o, en: o}
    when: run == running and current > 1.2 * rated
    for: 30s
    severity: major
    source: {kind: judgement}
  - id: undervoltage
    name: {zh: u, en: u}
    when: voltage < 198 V or voltage > 242 V
    for: 1m
    severity: minor
    source: {kind: judgement}
  - id: warm_at_night
    name: {zh: w, en: w}
    when: temperature > 60 °C and current < 0.5 A
    for: 10m
    schedule: [{from: "22:00", to: "06:00"}]
    severity: warning
    source: {kind: judgement}
"""


def profile() -> CompiledProfile:
    """Five rules, of which each reading can move every one: limits, params, a word, a schedule, grades."""
    return compile_profile(DeviceProfile.model_validate(read_yaml(PROFILE).data))


def yard(devices: int, rules: CompiledProfile) -> dict[str, DeviceState]:
    """So many devices, known and online."""
    made = {}
    for i in range(devices):
        id = f"device-{i:06d}"
        made[id] = DeviceState(
            id, "bench", rules.id, rules, rules.params, zone="Asia/Shanghai", liveness=Liveness.ONLINE.value
        )
    return made


def readings_of(ids: Sequence[str], count: int, round_: int) -> list[Reading]:
    """One reading a device in turn, each with its own four values."""
    dice = random.Random(round_)
    first = _START + round_ * (count // len(ids) + 1) * _PERIOD
    return [
        Reading(id, "", at, at, "t", _values(dice))
        for i in range(count)
        for id, at in [(ids[i % len(ids)], first + i // len(ids) * _PERIOD + i % len(ids) % _PERIOD)]
    ]


def _values(dice: random.Random) -> dict[str, Value]:
    word = "fault" if dice.random() * _ONE_IN < 1 else "running"
    return {
        "temperature": 40 + dice.random() * 10,
        "current": 5 + dice.random(),
        "voltage": 225 + dice.random() * 10,
        "run": word,
    }


def judge(devices: dict[str, DeviceState], readings: Sequence[Reading]) -> int:
    """As intake does: the device's state, its rules, and what must be stored of them. How often something fired."""
    fired = 0
    view = GatewayView(readings[0].received_at, known=True)
    for reading in readings:
        device = devices[reading.device]
        fired += len(take(device, reading, view))
        if device.moved:
            for key in device.moved:
                dump_rule(device, key)
            device.moved.clear()
    return fired


def best_us(devices: int, readings: int, rounds: int) -> float:
    """CPU microseconds per reading, the best of some rounds: other programs can only make a round slower."""
    rules = profile()
    known = yard(devices, rules)
    ids = list(known)
    judge(known, readings_of(ids, max(devices, 1000), 0))  # everybody has been heard
    best = float("inf")
    for round_ in range(1, rounds + 1):
        batch = readings_of(ids, readings, round_ * 10)
        gc.collect()
        began = time.process_time_ns()
        fired = judge(known, batch)
        best = min(best, (time.process_time_ns() - began) / len(batch) / 1000)
        assert fired, "some of the readings begin an alarm"
    return round(best, 2)


def measure(
    *,
    devices: int = 18_000,
    readings: int = 100_000,
    rounds: int = 5,
    by_devices: Sequence[int] = BY_DEVICES,
    report: Callable[[str], None] = lambda _text: None,
) -> dict[str, Any]:
    """`readings_per_second` and `us_per_reading` on one core; `by_devices`: the cost with other numbers of them."""
    report(f"{devices:,} devices…")
    us = best_us(devices, readings, rounds)
    costs = {}
    for number in by_devices:
        report(f"{number:,} devices…")
        costs[str(number)] = best_us(number, max(readings, number), rounds)
    return {
        "devices": devices,
        "rules_each": len(profile().rules),
        "readings_per_second": round(1_000_000 / us),
        "us_per_reading": us,
        "by_devices": costs,
    }
