"""An alarm becomes more or less severe: who hears of it, and when it is left as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from device_profiles.schema import Severity
from gateway.reading import Millis
from services.clock import from_millis
from services.intake.alarm_rows import AlarmRows
from services.intake.memory import ActiveAlarm, Memory
from services.intake.telling import WORST_TOLD, Telling, worst_told
from services.intake.work import Work
from services.rules.engine import Firing

_RANK = {severity.value: rank for rank, severity in enumerate(reversed(Severity))}
MOST_REGRADES = 20


@dataclass(kw_only=True)
class Severities:
    """For one batch or tick."""

    memory: Memory
    work: Work
    rows: AlarmRows
    telling: Telling

    def changed(self, firing: Firing) -> None:
        """It became more or less severe. Where it does so again and again it stays as severe as it has been: a value
        that trembles at the border of a grade would fill its record and its ticket, once a second and for ever."""
        alarm = self.memory.active.get((firing.device.id, firing.child, firing.rule.rule.id))
        severity = firing.severity or firing.rule.rule.severity.value
        if alarm is None or alarm.severity == severity:
            return
        if alarm.regrades < MOST_REGRADES or _RANK[severity] > _RANK[alarm.severity]:
            self.rows.keep(replace(alarm, regrades=alarm.regrades + 1))
            self._set_severity(self.memory.active[alarm.device, alarm.child, alarm.rule], severity, firing.at)

    def _set_severity(self, alarm: ActiveAlarm, severity: str, at: Millis) -> None:
        """Upwards those are told who want alarms this severe and had not been told; the ticket's priority is theirs who
        work on it. Who snoozed it did so when it was less severe: it wakes up, and everybody who wants it hears so."""
        before, when = worst_told(alarm), from_millis(at)
        self.work.decided(alarm.id, "severity", at=when, **{"from": alarm.severity, "to": severity})
        quiet = alarm.suppressed_by is not None or alarm.parent is not None
        worse = _RANK[severity] > _RANK[before]
        reason = {name: value for name, value in alarm.reason.items() if name != WORST_TOLD}
        if not quiet and severity != before and not worse:
            reason[WORST_TOLD] = before
        was, snoozed = alarm.severity, worse and not quiet and alarm.is_snoozed(self.work.now)
        # Those who hear of it now have the whole time to acknowledge it.
        clock = {"step_at": self.work.now} if worse else {}
        alarm = self.rows.change(alarm, severity=severity, reason=reason, **clock)
        if not quiet:
            self.telling.note(alarm, "severity", **{"from": was, "to": severity})
        if snoozed:
            alarm = self._wake(alarm, when)
        if worse and not quiet:
            self.telling.alarm(alarm, "worse" if snoozed else "raised", when, already="" if snoozed else before)
        storm = None if alarm.parent is None else self.memory.active.by_id(alarm.parent)
        if storm is not None:
            self.worsen(storm, severity, at)

    def _wake(self, alarm: ActiveAlarm, when: datetime) -> ActiveAlarm:
        self.work.change_alarm(alarm.id, snoozed_by=None)
        self.work.decided(alarm.id, "unsnoozed", at=when, why="worse")
        return self.rows.change(alarm, snoozed_until=None)

    def worsen(self, storm: ActiveAlarm, severity: str, at: Millis) -> None:
        """A storm is as severe as the worst that was folded under it."""
        if _RANK[severity] > _RANK[storm.severity]:
            self._set_severity(storm, severity, at)
