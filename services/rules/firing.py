"""What the engine says: facts about one rule on one device or child."""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway.reading import Millis
from services.clock import from_millis
from services.rules.automaton import Outcome
from services.rules.compiled import CompiledRule
from services.rules.state import DeviceState, Evidence


class Firing(NamedTuple):
    """An alarm to raise or to clear, one that changes (SEVERITY, FLAPPING), or what late data say (LATE)."""

    device: DeviceState
    child: str
    rule: CompiledRule
    outcome: Outcome
    at: Millis
    since: Millis
    evidence: Evidence | None
    severity: str = ""
    """As it is from then on; "" where the rule's own stands."""
    flaps: int = 0
    """How often it has begun, once it counts as flapping: at FLAPPING as many as make it so, at CLEARED all of them."""


def reason_of(firing: Firing) -> dict[str, Any]:
    """Why an alarm was raised, as it is stored with it: {condition, values, since, measured_at, source, name, …}."""
    rule, evidence = firing.rule.rule, firing.evidence
    return {
        "name": {"zh": rule.name.zh, "en": rule.name.en},
        "condition": rule.when,
        "for_seconds": rule.for_.total_seconds(),
        "clear": rule.clear.when or f"not ({rule.when})",
        "clear_for_seconds": rule.clear_after.total_seconds(),
        "values": {name: value for name, value in (evidence.values if evidence else {}).items() if value is not None},
        "since": from_millis(firing.since).isoformat(),
        "measured_at": from_millis(evidence.measured_at).isoformat() if evidence else None,
        "source": {"kind": rule.source.kind, "ref": rule.source.ref},
    }
