"""What follows from what the engine says: alarms, tickets, outages, notices. It collects rows and writes none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from device_profiles.schema import ResidentWording
from gateway.reading import Millis
from services.clock import to_millis
from services.commands.dispatch import Dispatcher
from services.intake.alarm_rows import AlarmRows
from services.intake.calming import Calming
from services.intake.episodes import Episodes
from services.intake.memory import ActiveAlarm, Library, Memory, rule_of
from services.intake.outages import Outages
from services.intake.severities import Severities
from services.intake.telling import Telling
from services.intake.trials import Trials
from services.intake.work import Work
from services.presence.breaks import BREAKS, Breaks
from services.rules.automaton import Outcome
from services.rules.compiled import CompiledRule
from services.rules.engine import Firing
from services.rules.state import DeviceState


@dataclass(kw_only=True)
class Consequences:
    """For one batch or tick."""

    memory: Memory
    work: Work
    library: Library
    public_url: str
    commands_enabled: bool = True
    breaks: Breaks | None = None
    """The built-in rules about broken links."""
    commands: Dispatcher = field(init=False)
    telling: Telling = field(init=False)
    _outages: Outages = field(init=False)
    _calming: Calming = field(init=False)
    _trials: Trials = field(init=False)
    _severities: Severities = field(init=False)
    _episodes: Episodes = field(init=False)

    def __post_init__(self) -> None:
        memory, work, library, url = self.memory, self.work, self.library, self.public_url
        self.commands = Dispatcher(
            memory=memory, work=work, library=library, enabled=self.commands_enabled, follow=self.follow_all
        )
        self.telling = Telling(memory=memory, work=work, public_url=url)
        self._outages = Outages(memory=memory, work=work, library=library, public_url=url)
        self._calming = Calming(memory=memory, library=library)
        self._trials = Trials(memory=memory, work=work)
        rows = AlarmRows(memory=memory, work=work)
        self._severities = Severities(memory=memory, work=work, rows=rows, telling=self.telling)
        self._episodes = Episodes(
            memory=memory,
            work=work,
            rows=rows,
            severities=self._severities,
            calming=self._calming,
            telling=self.telling,
            outages=self._outages,
            commands=self.commands,
            rule_of=self._rule_of,
        )

    def follow_all(self, device: DeviceState, fired: Iterable[Firing]) -> None:
        for firing in fired:
            self.follow(firing)
        if device.moved:
            self.work.moved[device.id] = device

    def follow(self, firing: Firing) -> None:
        """Take one fact of the engine further."""
        outcome = firing.outcome
        if outcome is Outcome.LATE:
            self._trials.late(firing)
        elif firing.rule.rule.mode == "shadow":
            self._trials.follow(firing)
        elif outcome is Outcome.RAISED:
            self._episodes.raised(firing)
        elif outcome is Outcome.CLEARED:
            self._episodes.cleared(firing)
        elif outcome is Outcome.SEVERITY:
            self._severities.changed(firing)
        elif outcome is Outcome.FLAPPING:
            self._episodes.flapping(firing)

    def tick(self, progress: Mapping[str | None, Millis | None]) -> None:
        """Time has passed: what was suppressed and is still wrong may be raised now. `progress`: gateway -> how far it
        has seen time pass."""
        now = to_millis(self.work.now)
        for alarm in self.memory.active.suppressed():
            device = self.memory.devices.get(alarm.device)
            reached = now if device is None else progress.get(device.gateway, progress.get(None))
            self._episodes.review(alarm, self._calming.now_of(alarm, reached, now))

    def end(self, alarm: ActiveAlarm, at: datetime, why: Mapping[str, Any], wording: ResidentWording | None) -> None:
        """An episode is over for a reason of its own."""
        self._episodes.end(alarm, at, why, wording)

    def end_trial(self, id: str, at: datetime) -> None:
        self._trials.end(id, at)

    def reassess_all(self, at: datetime) -> None:
        """After the site file, the profiles or the alarms changed under us."""
        self._outages.reassess_all(at)

    def _rule_of(self, alarm: ActiveAlarm) -> CompiledRule | None:
        if alarm.profile == BREAKS:
            name = self.telling.card(alarm.device).name
            return None if self.breaks is None else self.breaks.rule(alarm.rule, name)
        return rule_of(self.memory, alarm.device, alarm.rule)
