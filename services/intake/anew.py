"""Which devices are judged anew although they say nothing: those whose rules or thresholds are not what they were.

A gate that stands open says so once. Were a rule that is switched on, or made stricter, to wait for the next message,
it would be silent for as long as what it is there for lasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.intake.memory import Memory
from services.rules.compiled import CompiledProfile

Stood = Mapping[str, tuple[CompiledProfile | None, Mapping[str, Any]]]
"""Device -> the rules and params by which it was judged."""


class Alike:
    """Whether two compiled profiles have the same rules. Devices share them, so each two are compared once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], bool] = {}

    def __call__(self, one: CompiledProfile | None, other: CompiledProfile | None) -> bool:
        key = (id(one), id(other))
        if key not in self._known:
            self._known[key] = one is other or _rules(one) == _rules(other)
        return self._known[key]


def as_they_stand(memory: Memory) -> Stood:
    found = (one for one in memory.devices.values() if not one.rules_changed)
    return {one.id: (one.profile, one.params) for one in found}


def mark_changed(memory: Memory, before: Stood) -> None:
    """Every device that was not judged by just these rules and params; after a start of services nobody knows."""
    alike = Alike()
    for device in memory.devices.values():
        was, params = before.get(device.id, (None, {}))
        device.rules_changed = not alike(was, device.profile) or params != device.params


def _rules(profile: CompiledProfile | None) -> dict[str, Any]:
    return {} if profile is None else {id: one.rule for id, one in profile.rules.items()}
