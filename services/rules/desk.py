"""Where people acknowledge and snooze alarms. Every call is one transaction of intake, which holds what is active."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from services.clock import Clock
from services.database import Database
from services.intake import Intake
from services.intake.alarming import Alarming
from services.rules import store
from services.rules.store import Alarm
from services.scope import NotFound, Scope


class AlarmDesk:
    """Raises NotFound for an alarm that is not in the scope."""

    def __init__(self, *, database: Database, intake: Intake, clock: Clock) -> None:
        self._database = database
        self._intake = intake
        self._clock = clock

    def get(self, scope: Scope, id: str) -> Alarm:
        with self._database.read() as connection:
            found = store.get_alarm(connection, scope, id)
        if found is None:
            raise NotFound("alarm", id)
        return found

    def acknowledge(self, scope: Scope, id: str, *, by: str) -> Alarm:
        """The first who acknowledges stays on record; again changes nothing."""
        return self._do(scope, id, lambda alarming, alarm: alarming.acknowledge(alarm, by=by))

    def snooze(self, scope: Scope, id: str, *, until: datetime, by: str) -> Alarm:
        """Raises SnoozeRefused."""
        return self._do(scope, id, lambda alarming, alarm: alarming.snooze(alarm, until, by=by))

    def unsnooze(self, scope: Scope, id: str, *, by: str) -> Alarm:
        return self._do(scope, id, lambda alarming, alarm: alarming.unsnooze(alarm, by=by))

    def _do(self, scope: Scope, id: str, act: Callable[[Alarming, Alarm], None]) -> Alarm:
        self.get(scope, id)  # a refusal costs no transaction
        with self._intake.alarming(self._clock.now()) as alarming:
            act(alarming, self.get(scope, id))  # read again: now nobody else changes it
        return self.get(scope, id)
