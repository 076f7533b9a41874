"""What people say about alarms: seen, not now, now again. It goes through intake, which holds what is active."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from services.intake.memory import ActiveAlarm, Memory
from services.intake.work import Work
from services.rules.store import Alarm

LONGEST_SNOOZE = timedelta(days=7)


class SnoozeRefused(Exception):
    """It cannot be snoozed; `code` is one of over, not_ahead, too_long."""

    def __init__(self, code: str, found: str, expected: str) -> None:
        super().__init__(f"found {found}, expected {expected}")
        self.code = code


@dataclass(kw_only=True)
class Alarming:
    """Within one transaction of intake. `by` is who says it."""

    memory: Memory
    work: Work

    def acknowledge(self, alarm: Alarm, *, by: str) -> None:
        """Somebody has seen it, over or not. The first to say so stays on record."""
        standing = self._standing(alarm)
        self._acknowledge_storm(alarm)
        seen = alarm.acknowledged_at if standing is None else standing.acknowledged_at
        if seen is not None:
            return
        self._change(alarm, "acknowledged", by=by, acknowledged_at=self.work.now, acknowledged_by=by)
        if standing is not None:
            self._replace(standing, acknowledged_at=self.work.now)

    def _acknowledge_storm(self, alarm: Alarm) -> None:
        """One that is over, and may go on."""
        key = (alarm.device, alarm.child, alarm.rule)
        storm, ended = self.memory.ended_storms.get(key, (None, 0))
        if storm is not None and storm.id == alarm.id and storm.acknowledged_at is None:
            self.memory.ended_storms[key] = replace(storm, acknowledged_at=self.work.now), ended

    def snooze(self, alarm: Alarm, until: datetime, *, by: str) -> None:
        """Nothing more of it until then, or until it clears, which is told all the same. Raises SnoozeRefused."""
        standing = self._standing(alarm)
        if standing is None:
            raise SnoozeRefused("over", "an alarm that has cleared", "an active one: a snooze ends with its alarm")
        if until <= self.work.now:
            raise SnoozeRefused("not_ahead", until.isoformat(), "a time that is still to come")
        if until > self.work.now + LONGEST_SNOOZE:
            days = LONGEST_SNOOZE.days
            raise SnoozeRefused(
                "too_long", until.isoformat(), f"at most {days} days; a maintenance window may be longer"
            )
        if standing.snoozed_until == until:
            return
        self._change(alarm, "snoozed", {"until": until.isoformat()}, by=by, snoozed_until=until, snoozed_by=by)
        self._replace(standing, snoozed_until=until)

    def unsnooze(self, alarm: Alarm, *, by: str) -> None:
        """Now again. Those on its step have their time anew before it goes up."""
        standing = self._standing(alarm)
        if standing is None or not standing.is_snoozed(self.work.now):
            return
        now = self.work.now
        self._change(alarm, "unsnoozed", by=by, snoozed_until=None, snoozed_by=None, step_at=now)
        self._replace(standing, snoozed_until=None, step_at=now)

    def _standing(self, alarm: Alarm) -> ActiveAlarm | None:
        """The episode, if it is not over."""
        found = self.memory.active.get((alarm.device, alarm.child, alarm.rule))
        return found if found is not None and found.id == alarm.id else None

    def _replace(self, standing: ActiveAlarm, **changes: Any) -> None:
        self.memory.active[standing.device, standing.child, standing.rule] = replace(standing, **changes)

    def _change(self, alarm: Alarm, kind: str, data: dict[str, Any] | None = None, *, by: str, **columns: Any) -> None:
        self.work.change_alarm(alarm.id, **columns)
        self.work.decided(alarm.id, kind, who=by, **(data or {}))
        self.work.change("alarm", alarm.id, alarm.site)
