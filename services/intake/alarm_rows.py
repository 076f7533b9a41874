"""An alarm's row as it begins, changes and ends, in memory and in what is to be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from services.clock import from_millis
from services.ids import new_id
from services.intake.memory import ActiveAlarm, Memory
from services.intake.work import Work
from services.rules.engine import Firing


@dataclass(kw_only=True)
class AlarmRows:
    """For one batch or tick."""

    memory: Memory
    work: Work

    def new(self, firing: Firing, reason: dict[str, Any]) -> ActiveAlarm:
        """The alarm that a firing begins; it is active, and not kept yet."""
        device, rule = firing.device, firing.rule.rule
        assert device.site is not None, "unclaimed devices have no rules"
        alarm = ActiveAlarm(
            id=new_id(self.work.now),
            site=device.site,
            device=device.id,
            child=firing.child,
            rule=rule.id,
            severity=firing.severity or rule.severity.value,
            profile=device.profile_id,
            reason=reason,
            ticket=None,
            raised_at=from_millis(firing.at),
            flaps=firing.flaps,
        )
        self.work.new_alarms[alarm.id] = {
            "id": alarm.id,
            "site": alarm.site,
            "device": alarm.device,
            "child": alarm.child,
            "rule": alarm.rule,
            "profile": alarm.profile,
            "severity": alarm.severity,
            "state": "active",
            "reason": reason,
            "pending_since": from_millis(firing.since),
            "raised_at": alarm.raised_at,
            "cleared_at": None,
            "suppressed_by": None,
            "parent": None,
            "flaps": firing.flaps or None,
        }
        self.work.change("alarm", alarm.id, alarm.site)
        return alarm

    def keep(self, alarm: ActiveAlarm) -> None:
        """In memory only."""
        self.memory.active[alarm.device, alarm.child, alarm.rule] = alarm

    def change(self, alarm: ActiveAlarm, **columns: Any) -> ActiveAlarm:
        """Columns that memory has as well."""
        alarm = replace(alarm, **columns)
        self.keep(alarm)
        self.work.change_alarm(alarm.id, **columns)
        self.work.change("alarm", alarm.id, alarm.site)
        return alarm

    def close(self, alarm: ActiveAlarm, at: datetime, why: Mapping[str, Any]) -> ActiveAlarm:
        """The row of an alarm that memory has given up."""
        reason = {**alarm.reason, "cleared": dict(why)}
        over = {"state": "cleared", "cleared_at": at, "reason": reason}
        if alarm.id in self.work.new_alarms:
            self.work.new_alarms[alarm.id] |= over
        else:
            changed = self.work.changed_alarms.pop(alarm.id, {})
            self.work.cleared_alarms.append({**changed, "id": alarm.id, **over})
        self.work.decided(alarm.id, "cleared", at=at, **why)
        self.work.change("alarm", alarm.id, alarm.site)
        return replace(alarm, reason=reason)
