"""An alarm that nobody acknowledges goes one step up: those who stand on that step are told of it.

Judged at the tick, at the times when one may be due. Pausing is calculated from the maintenance windows themselves, so
a restart in the middle of one changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from device_profiles.schema import Severity
from gateway.reading import Millis
from services.clock import to_millis
from services.ids import time_of
from services.intake.calming import family_of, is_fire
from services.intake.consequences import Consequences
from services.intake.memory import ActiveAlarm, Library, Memory, rule_of
from services.intake.telling import Telling
from services.intake.work import Work
from services.notices.steps import top_step
from services.rules.engine import GatewayView

WITHIN = {Severity.CRITICAL.value: timedelta(minutes=15), Severity.MAJOR.value: timedelta(minutes=60)}
"""Until when somebody should have acknowledged an alarm, where its rule says nothing; others never go up."""
LOOK_EVERY = timedelta(seconds=10)
"""An alarm that was raised since the last look may be due: none is found later than this."""
LONGEST_CATCH_UP = timedelta(minutes=10)
"""After a start; readings of days are taken in minutes."""
BEHIND: Millis = 60_000
MOST_AT_ONCE = 500
"""Alarms that go up in one tick; readings must not wait for more, which go up in the next."""


def time_to_acknowledge(severity: str, own: timedelta | None) -> timedelta | None:
    """`own`: what the rule says. None: it never goes up."""
    return WITHIN.get(severity) if own is None else own


def stays(alarm: ActiveAlarm, now: datetime) -> str | None:
    """Why an alarm stays on its step however long it lasts, by name; None where nothing keeps it."""
    for reason, holds in (
        ("acknowledged", alarm.acknowledged_at is not None),
        ("suppressed", alarm.suppressed_by is not None),
        ("folded", alarm.parent is not None),
        ("snoozed", alarm.is_snoozed(now)),
        # A flapper has been told as one. What is critical may come to stay: somebody must have seen it.
        ("flapping", alarm.flaps > 0 and alarm.severity != Severity.CRITICAL),
    ):
        if holds:
            return reason
    return None


def known_since(alarm: ActiveAlarm) -> datetime:
    return max(alarm.raised_at, time_of(alarm.id) or alarm.raised_at)


def counts_from(alarm: ActiveAlarm) -> datetime:
    """Since when those on its step could have acknowledged it. An alarm of a backlog is known only since it was taken
    in, whenever it began."""
    known = alarm.step_at or known_since(alarm)
    return known if alarm.snoozed_until is None else max(known, alarm.snoozed_until)


class CatchingUp:
    """After services were stopped, the gateways hand over what they have kept: that an alarm has cleared is in it."""

    def __init__(self, silent_after: float) -> None:
        self._silent_after = silent_after
        self._began: datetime | None = None

    def look(self, now: datetime, memory: Memory) -> Callable[[ActiveAlarm], bool]:
        """Tells of an alarm whether its gateway is still at it. A gateway that is not heard, or whose clock is behind,
        keeps nobody from being told for longer than `LONGEST_CATCH_UP`."""
        self._began = min(self._began or now, now)
        if now - self._began >= LONGEST_CATCH_UP:
            behind = set[str]()
        else:
            behind = {id for id in memory.gateways if self._is_behind(memory.view(id, now, self._silent_after), now)}

        def waits(alarm: ActiveAlarm) -> bool:
            device = memory.devices.get(alarm.device)
            return device is not None and device.gateway in behind

        return waits

    def _is_behind(self, view: GatewayView, now: datetime) -> bool:
        return view.known and view.progress is not None and to_millis(now) - view.progress > BEHIND


Waiting = dict[str, tuple[ActiveAlarm, datetime]]
"""Alarm -> the alarm as it was looked at, which is replaced when anything about it changes, and when it is due."""


class Escalation:
    """Looks when something may be due, and at least every `LOOK_EVERY`; between looks a tick costs nothing."""

    def __init__(self, silent_after: float = 60.0) -> None:
        """`silent_after`: seconds after which a gateway says nothing about its devices any more."""
        self._catching_up = CatchingUp(silent_after)
        self._look_at: datetime | None = None
        self._waiting: Waiting = {}

    def tick(self, now: datetime, memory: Memory, work: Work, consequences: Consequences) -> None:
        # A look further off than any is of a clock that has gone back since.
        if self._look_at is not None and now < self._look_at <= now + LOOK_EVERY:
            return
        waits = self._catching_up.look(now, memory)
        stairs = Stairs(
            waits=waits, memory=memory, work=work, library=consequences.library, telling=consequences.telling
        )
        self._look_at, self._waiting = stairs.climb(now, self._waiting)


@dataclass(kw_only=True)
class Stairs:
    """For one look."""

    memory: Memory
    work: Work
    library: Library
    telling: Telling
    waits: Callable[[ActiveAlarm], bool]
    """Whether what is to be known of an alarm is still to come."""

    def climb(self, now: datetime, waiting: Waiting) -> tuple[datetime, Waiting]:
        """Let every alarm that is due go up; when to look again, and what waits until then."""
        tops = {id: top_step(site.audience) for id, site in self.memory.sites.items()}
        next_due, gone_up, still = now + LOOK_EVERY, 0, dict[str, tuple[ActiveAlarm, datetime]]()
        for found in list(self.memory.active.values()):
            top, known = tops.get(found.site, 0), waiting.get(found.id)
            if found.step >= top or stays(found, now) or self.waits(found):
                continue
            alarm = found if counts_from(found) <= now else self._put_right(found)
            is_known = known is not None and known[0] is alarm and known[1] > now
            due = known[1] if is_known and known else due_at(self.memory, self.library, alarm, now)
            if due is not None and due > now:
                still[alarm.id] = alarm, due
                next_due = min(next_due, due)
            elif due is not None and gone_up < MOST_AT_ONCE:
                self._up(alarm, top)
                gone_up += 1
        return (now if gone_up == MOST_AT_ONCE else next_due), still

    def _put_right(self, alarm: ActiveAlarm) -> ActiveAlarm:
        """A clock was ahead when it was raised. Those on its step have their time from now on, and not from then."""
        self.work.change_alarm(alarm.id, step_at=self.work.now)
        self.work.change("alarm", alarm.id, alarm.site)
        alarm = replace(alarm, step_at=self.work.now)
        self.memory.active[alarm.device, alarm.child, alarm.rule] = alarm
        return alarm

    def _up(self, alarm: ActiveAlarm, top: int) -> None:
        """To its next step where somebody hears of it. A step with nobody is on record, and holds nothing up."""
        waited = self.work.now - min(known_since(alarm), counts_from(alarm))
        step, told = alarm.step, 0
        while step < top and not told:
            step += 1
            told, seconds = self.telling.step(replace(alarm, step=step), waited), round(waited.total_seconds())
            why = "unacknowledged" if told else "nobody_there"
            self.work.decided(alarm.id, "step", step=step, told=told, reason=why, waited_seconds=seconds)
        self.work.change_alarm(alarm.id, step=step, step_at=self.work.now)
        self.work.change("alarm", alarm.id, alarm.site)
        stepped = replace(alarm, step=step, step_at=self.work.now)
        self.memory.active[alarm.device, alarm.child, alarm.rule] = stepped


def due_at(memory: Memory, library: Library, alarm: ActiveAlarm, now: datetime) -> datetime | None:
    """When an alarm goes up, were nothing to change from now on; None: never."""
    rule = rule_of(memory, alarm.device, alarm.rule)
    within = time_to_acknowledge(alarm.severity, rule.rule.acknowledge_within if rule else None)
    if within is None:
        return None
    since = counts_from(alarm)
    due = since + within
    if due > now or (rule is not None and is_fire(rule, alarm.severity)):
        return due
    return due + _paused(memory, library, alarm, since, now)


def _paused(memory: Memory, library: Library, alarm: ActiveAlarm, since: datetime, until: datetime) -> timedelta:
    """For how long people were at work on it, whom nobody needs to tell."""
    card, family = memory.cards.get(alarm.device), family_of(library, alarm.profile)
    building = None if card is None else card.building
    paused = memory.windows.open_for(alarm.site, building, family, alarm.device, to_millis(since), to_millis(until))
    return timedelta(milliseconds=paused)
