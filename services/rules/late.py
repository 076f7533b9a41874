"""What late and historic data say about the past: they raise and clear nothing, and yet it goes on record."""

from __future__ import annotations

from gateway.reading import Millis, Quality, Reading, Value, child_kind
from services.rules.automaton import Outcome, Phase
from services.rules.compiled import CompiledRule, Source
from services.rules.evaluation import applies_at
from services.rules.firing import Firing
from services.rules.state import ChildState, DeviceState, Evidence, Key

_HOUR: Millis = 3_600_000
_HOURS_KNOWN = 48
_ONLY_LATE = frozenset({Quality.LATE, Quality.HISTORIC})


def judge_late(device: DeviceState, reading: Reading) -> list[Firing]:
    """LATE for each rule that this reading had moved, had it come in time: it meets the condition where no alarm was
    active then, or fails it where one was. At most one for each rule, device or child, and hour of event time; after a
    restart an hour can be told once more.
    """
    assert device.profile is not None
    child, at = reading.child, reading.measured_at
    touched = device.profile.touched.get(child_kind(child), {})
    rules = {rule.rule.id: rule for name in reading.values for rule in touched.get(name, ())}
    fired: list[Firing] = []
    for rule in rules.values():
        key = (child, rule.rule.id)
        if at // _HOUR in device.told_late.get(key, ()):
            continue
        values = _values_then(device, rule, reading)
        holds = rule.condition(values, _ageless)
        active = _was_active(device, key, rule, at)
        if (holds is True and active is False and applies_at(device, rule, at)) or (holds is False and active):
            _note(device, key, at // _HOUR)
            fired.append(Firing(device, child, rule, Outcome.LATE, at, at, Evidence(values, at)))
    return fired


def _values_then(device: DeviceState, rule: CompiledRule, reading: Reading) -> dict[str, Value]:
    """What the reading says, and beside it only what is known to have stood at that time."""
    own, top, at = device.children.get(reading.child), device.children[""], reading.measured_at
    found: dict[str, Value] = {}
    for name, source, key, fresh_for in rule.reads:
        if source is Source.PARAM:
            found[name] = device.params.get(key)
        elif source is Source.OWN and key in reading.values:
            if key not in reading.flags:
                found[name] = reading.values[key]
        elif source in (Source.OWN, Source.PARENT):
            state = own if source is Source.OWN else top
            if state is not None and _stood(state, key, at, fresh_for):
                found[name] = state.values[key]
    return found


def _stood(state: ChildState, name: str, at: Millis, fresh_for: Millis) -> bool:
    since = state.times.get(name)
    if since is None or since > at or at - since > fresh_for or name not in state.values:
        return False
    return state.flags.get(name) in (None, *_ONLY_LATE)


def _was_active(device: DeviceState, key: Key, rule: CompiledRule, at: Millis) -> bool | None:
    """None: its delay ran then, or it was clearing, so one value more had changed nothing."""
    mark, past = device.marks.get(key), device.past.get(key)
    if mark is None or past is None or past.raised_at is None:
        return None if mark is not None and at >= mark.since else False
    if at >= past.raised_at:
        return True if mark.phase is Phase.ACTIVE else None
    return False if at < past.raised_at - rule.delays.raise_after else None


def _note(device: DeviceState, key: Key, hour: int) -> None:
    device.told_late[key] = (*device.told_late.get(key, ()), hour)[-_HOURS_KNOWN:]


def _ageless(_name: str) -> float | None:
    """How old a value was then is not known any more."""
    return None
