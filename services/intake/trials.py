"""What is recorded and raises nothing: episodes of rules on trial, and what late data would have said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from services.clock import from_millis
from services.ids import new_id
from services.intake.memory import Memory
from services.intake.work import Work
from services.rules.automaton import Outcome
from services.rules.engine import Firing, reason_of

_HOUR = 3_600_000


@dataclass(kw_only=True)
class Trials:
    """For one batch or tick."""

    memory: Memory
    work: Work

    def follow(self, firing: Firing) -> None:
        """A rule on trial: its episodes are counted, and nobody hears of them."""
        key = (firing.device.id, firing.child, firing.rule.rule.id)
        if firing.outcome is Outcome.RAISED and key not in self.memory.shadows:
            self._begin(firing, key)
        elif firing.outcome is Outcome.CLEARED and key in self.memory.shadows:
            self.end(self.memory.shadows.pop(key), from_millis(firing.at))

    def _begin(self, firing: Firing, key: tuple[str, str, str]) -> None:
        id = self.memory.shadows[key] = new_id(self.work.now)
        self.work.new_shadows[id] = {
            "id": id,
            "site": firing.device.site,
            "device": firing.device.id,
            "child": firing.child,
            "profile": firing.device.profile_id,
            "rule": firing.rule.rule.id,
            "severity": firing.severity or firing.rule.rule.severity.value,
            "raised_at": from_millis(firing.at),
            "cleared_at": None,
            "reason": reason_of(firing),
        }

    def end(self, id: str, at: datetime) -> None:
        if id in self.work.new_shadows:
            self.work.new_shadows[id]["cleared_at"] = at
        else:
            self.work.ended_shadows.append({"id": id, "cleared_at": at})

    def late(self, firing: Firing) -> None:
        """Late data met a rule: on record at most once per rule, device and hour, however often it comes."""
        site, rule = firing.device.site, firing.rule.rule
        if site is None:
            return
        key = f"{firing.device.id}\0{firing.child}\0{rule.id}\0{firing.at // _HOUR}"
        values = firing.evidence.values if firing.evidence is not None else {}
        holds = firing.rule.condition(values, lambda _: None) if firing.evidence is not None else None
        self.work.corrections[key] = {
            "id": sha256(key.encode()).hexdigest()[:40],
            "site": site,
            "device": firing.device.id,
            "child": firing.child,
            "rule": rule.id,
            "measured_at": from_millis(firing.at),
            "known_at": self.work.now,
            "data": {
                "condition": rule.when,
                "holds": holds,
                "values": {name: value for name, value in values.items() if value is not None},
                "severity": firing.severity or rule.severity.value,
            },
        }
