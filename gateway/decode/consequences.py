"""What follows from a reading's own values: rates and totals of counters, derived metrics.

Worked out after the fields of a whole message are filled and its time is settled; only profiles that declare any of it
pay for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import tzinfo
from typing import NamedTuple, Protocol

from device_profiles.schema import Counter, DeviceProfile, FieldMap, Scalar
from gateway.decode.counters import CounterState, advance
from gateway.decode.derive import Derived
from gateway.decode.memory import Key, Memory
from gateway.decode.pipeline import Settle, Values, settle_metric
from gateway.reading import Quality, Reading, child_kind

_NO_RATE = FieldMap(const=0)
_NOTHING: Values = {}


class Owner(NamedTuple):
    """What a consequence may know of the device beside the reading."""

    params: Mapping[str, Scalar]
    zone: tzinfo
    memory: Memory


class Step(Protocol):
    inputs: frozenset[str]
    outputs: frozenset[str]

    def follow(self, reading: Reading, owner: Owner, parent: Values) -> None: ...


class _Counting:
    """One counter: its spikes left out, its rate and its total put in."""

    def __init__(self, profile: DeviceProfile, name: str, counter: Counter) -> None:
        self._name = name
        self._counter = counter
        self._rate = None if counter.rate is None else _settle(profile, name, counter.rate.metric)
        self._total = None if counter.total is None else _settle(profile, name, counter.total)
        rate = () if counter.rate is None else (counter.rate.metric,)
        total = () if counter.total is None else (counter.total,)
        self.inputs = frozenset({name})
        self.outputs = frozenset((*rate, *total))

    def follow(self, reading: Reading, owner: Owner, _: Values) -> None:
        values, flags, name = reading.values, reading.flags, self._name
        value = values.get(name)
        # What is doubtful counts nothing, and a retained message says again what has been counted.
        doubtful = name in flags or reading.quality is Quality.SUSPECT or reading.retained
        if doubtful or not isinstance(value, float):
            return
        where: Key = ("counter", reading.device, reading.child, name)
        held = owner.memory.get(where)
        before = None if held is None else CounterState(*held)
        found = advance(self._counter, before, value, reading.measured_at, owner.zone)
        if found.state is not before:
            owner.memory.put(where, list(found.state))
        if not found.accepted:
            del values[name]
            flags[name] = Quality.SUSPECT
        if found.rate is not None and self._rate is not None:
            self._rate(found.rate, values, flags)
        if found.total is not None and self._total is not None:
            self._total(found.total, values, flags)


class _Deriving:
    def __init__(self, derived: Derived) -> None:
        self._derived = derived
        self.inputs = derived.inputs
        self.outputs = frozenset({derived.name})

    def follow(self, reading: Reading, owner: Owner, parent: Values) -> None:
        self._derived.fill(reading.values, reading.flags, owner.params, parent)


def _settle(profile: DeviceProfile, counter: str, metric: str) -> Settle:
    if metric not in profile.metrics:
        raise ValueError(f"expected a metric of the profile in the counter of {counter}, found {metric!r}")
    if profile.metrics[metric].scope != profile.metrics[counter].scope:
        raise ValueError(f"expected a metric of the same scope in the counter of {counter}, found {metric!r}")
    return settle_metric(metric, _NO_RATE, profile.metrics[metric])


def steps_of(profile: DeviceProfile, scope: str | None, said: Iterable[str]) -> tuple[Step, ...]:
    """What follows for a child kind (None: the device itself) where a message says these names, in the order of
    dependence. Raises ValueError where metrics are derived from each other in a circle."""
    waiting: list[Step] = []
    for name, metric in profile.metrics.items():
        if metric.scope != scope:
            continue
        if metric.counter is not None:
            waiting.append(_Counting(profile, name, metric.counter))
        if metric.derive is not None:
            waiting.append(_Deriving(Derived(profile, name)))
    known = set(said)
    ordered: list[Step] = []
    while waiting:
        ready = next((one for one in waiting if not any(one.inputs & other.outputs for other in waiting)), None)
        if ready is None:
            names = sorted(name for one in waiting for name in one.outputs)
            raise ValueError(f"expected derived metrics that do not depend on themselves, found {', '.join(names)}")
        waiting.remove(ready)
        if ready.inputs & known:
            ordered.append(ready)
            known |= ready.outputs
    return tuple(ordered)


class Consequences:
    """The steps of a binding, by child kind."""

    def __init__(self, steps: Mapping[str, tuple[Step, ...]]) -> None:
        self._steps = steps

    def follow(self, readings: Iterable[Reading], owner: Owner) -> None:
        """Complete the readings of one device, in their order: its own before those of its children."""
        parent: Reading | None = None
        for reading in readings:
            if not reading.child:
                parent = reading
            steps = self._steps.get(child_kind(reading.child))
            if steps:
                same = parent is not None and parent.measured_at == reading.measured_at
                told = parent.values if parent is not None and same else _NOTHING
                for step in steps:
                    step.follow(reading, owner, told)
