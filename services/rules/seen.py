"""What a rule may see of a device: values that are good and fresh enough, their ages, and what looks back."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.presence import Liveness
from gateway.reading import Millis, Quality, Value
from services.rules.automaton import FOREVER
from services.rules.compiled import CompiledLook, CompiledMembers, CompiledRule, Read, Source
from services.rules.members import ages, count_children
from services.rules.state import DeviceState, Key
from services.rules.windows import Watch

__all__ = ["add_looks", "ages", "graded_by", "seen_of_member", "valid_until", "values_of", "visible"]

NEVER_TRUSTED = frozenset({Quality.IMPOSSIBLE, Quality.FAULTY, Quality.LATE, Quality.HISTORIC})
_OF_CHANGING_VALUES = frozenset({"rate", "delta", "mean", "changed"})


def values_of(device: DeviceState, child: str, rule: CompiledRule, at: Millis) -> dict[str, Value]:
    """The names a rule reads with the values it may trust, and the results of what looks back; others are left out."""
    return _seen(device, child, rule, rule.reads, rule.looks, at)


def graded_by(device: DeviceState, child: str, rule: CompiledRule, at: Millis) -> dict[str, Value]:
    """The same of what the conditions of its grades read."""
    return _seen(device, child, rule, rule.grade_reads, rule.grade_looks, at)


def _seen(
    device: DeviceState,
    child: str,
    rule: CompiledRule,
    reads: tuple[Read, ...],
    looks: tuple[CompiledLook, ...],
    at: Millis,
) -> dict[str, Value]:
    found = visible(device, child, rule, reads, at)
    if rule.members:
        found |= count_children(device, rule, at, seen_of_member)
    if looks:
        add_looks(found, device, (child, rule.rule.id), looks, at)
    return found


def seen_of_member(
    device: DeviceState, child: str, rule: CompiledRule, one: CompiledMembers, at: Millis
) -> dict[str, Value]:
    """What a condition on one member may see."""
    found = visible(device, child, rule, one.reads, at)
    if one.looks:
        add_looks(found, device, (child, rule.rule.id), one.looks, at)
    return found


def add_looks(
    found: dict[str, Value], device: DeviceState, key: Key, looks: Iterable[CompiledLook], at: Millis
) -> None:
    """The results of what looks back, beside the values that are seen."""
    watches = device.watches.get(key, {})
    for look in looks:
        result = _looked_back(device, look, watches.get(look.key) or look.watch(), found, at)
        if result is not None:
            found[look.key] = result


def _looked_back(device: DeviceState, look: CompiledLook, watch: Watch, found: dict[str, Value], at: Millis) -> Value:
    """Of values that change nothing is known while the newest one cannot be trusted."""
    if look.look.function in _OF_CHANGING_VALUES and look.look.name not in found:
        return None
    return watch.result(at, device.listening_from)


def visible(device: DeviceState, child: str, rule: CompiledRule, reads: Iterable[Read], at: Millis) -> dict[str, Value]:
    """Those of these names whose values the rule may trust."""
    own, top = device.children.get(child), device.children[""]
    lenient = rule.rule.needs == "any"
    found: dict[str, Value] = {}
    for name, source, key, fresh_for in reads:
        if source is Source.PARAM:
            found[name] = device.params.get(key)
        elif source is Source.PRESENCE:
            liveness = device.presence_of(child)
            found[name] = None if liveness == Liveness.UNKNOWN else liveness
        elif source is Source.SILENCE:
            found[name] = device.silence_seconds
        else:
            state = own if source is Source.OWN else top
            if state is None or key not in state.values:
                continue
            flag = state.flags.get(key) if state.flags else None
            if flag is not None and (not lenient or flag in NEVER_TRUSTED):
                continue
            if at - state.times.get(key, 0) <= fresh_for:
                found[name] = state.values[key]
    return found


def valid_until(device: DeviceState, child: str, rule: CompiledRule) -> Millis:
    """Until when the values behind a verdict count as fresh."""
    own, top = device.children.get(child), device.children[""]
    until = FOREVER
    for _, source, key, fresh_for in rule.reads:
        if source is not Source.OWN and source is not Source.PARENT:
            continue
        state = own if source is Source.OWN else top
        if fresh_for < FOREVER and state is not None and key in state.times:
            until = min(until, state.times[key] + fresh_for)
        elif device.profile is not None and device.last_measured is not None:
            until = min(until, device.last_measured + device.profile.stale_after)
    if rule.members and device.profile is not None and device.last_measured is not None:
        until = min(until, device.last_measured + device.profile.stale_after)
    return until
