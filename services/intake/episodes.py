"""What follows from what the engine says about one alarm: its row, the decisions about it, its ticket, its notices.

The engine says facts; `services.calm` decides what becomes of them. What is suppressed or folded is kept on record, and
nobody outside hears of it. It collects rows and writes none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from device_profiles.schema import ResidentWording
from gateway.reading import Millis
from services.calm.causes import came_before
from services.calm.names import STORMS, storm_device
from services.calm.storm_alarm import LAST_CLEARED, again, one_more, storm_firing, storm_reason, told
from services.calm.storms import Cause, goes_on, is_news
from services.calm.suppression import SETTLE, Held, Suppression, review
from services.clock import from_millis, to_millis
from services.commands.dispatch import Dispatcher
from services.intake.alarm_rows import AlarmRows
from services.intake.calming import Calming, is_fire, raised_millis
from services.intake.memory import ActiveAlarm, Memory, impairment_of, state_of
from services.intake.outages import Outages
from services.intake.severities import Severities
from services.intake.telling import Telling
from services.intake.work import Work
from services.rules.automaton import Outcome, Phase
from services.rules.compiled import CompiledRule
from services.rules.engine import Firing, reason_of
from services.rules.state import DeviceState


@dataclass(kw_only=True)
class Episodes:
    """For one batch or tick."""

    memory: Memory
    work: Work
    rows: AlarmRows
    severities: Severities
    calming: Calming
    telling: Telling
    outages: Outages
    commands: Dispatcher
    rule_of: Callable[[ActiveAlarm], CompiledRule | None]

    # --- it begins --------------------------------------------------------------------------------------------------

    def raised(self, firing: Firing) -> None:
        """Raise it, unless something keeps it from being raised."""
        if (firing.device.id, firing.child, firing.rule.rule.id) in self.memory.active:
            return  # the episode goes on
        alarm = self.rows.new(firing, reason_of(firing))
        found = self.calming.suppression(alarm, firing.rule, firing.at)
        if found is None:
            self._let_through(firing, alarm, "condition_held")
        else:
            self._suppress(alarm, found, firing.at)

    def _let_through(self, firing: Firing, alarm: ActiveAlarm, why: str) -> None:
        """Nothing suppresses it: it is raised on its own, or folded under the storm that it belongs to.

        Where lives may depend on it, each stands on its own: the eleventh room in smoke is no less news than the first.
        """
        cause = Cause(alarm.site, alarm.profile, alarm.rule)
        if self.memory.raises.is_storm(cause, firing.at) and not is_fire(firing.rule, alarm.severity):
            alarm = self._fold(firing, alarm, cause, why)
        else:
            alarm = self._tell(firing.rule, alarm, firing.at, why)
        self.memory.raises.note(cause, firing.at)
        self.rows.keep(alarm)
        self._weigh(firing, alarm)
        self.commands.order(firing, alarm.id)
        self._group(alarm)

    def _tell(self, rule: CompiledRule, alarm: ActiveAlarm, at: Millis, why: str) -> ActiveAlarm:
        self.work.decided(alarm.id, "raised", at=from_millis(at), why=why)
        self.telling.alarm(alarm, "raised", from_millis(at))
        return self.telling.open_ticket(alarm, rule)

    def _weigh(self, firing: Firing, alarm: ActiveAlarm) -> None:
        """What residents lose by it."""
        impairment = impairment_of(alarm, firing.rule)
        if impairment is not None:
            site = self.memory.sites[alarm.site]
            site.impairments[alarm.device][alarm.id] = impairment
            self.outages.reassess(site, alarm.device, at=from_millis(firing.at), wording=firing.rule.wording)

    def _group(self, cause: ActiveAlarm) -> None:
        """It was raised after what it explains: those who were told of that are told of this."""
        at = raised_millis(cause)
        for alarm in list(self.calming.explained_by(cause)):
            if came_before(raised_millis(alarm), at):
                self.work.decided(alarm.id, "cause", at=cause.raised_at, alarm=cause.id, why="cause_raised_after")
                self.work.change("alarm", alarm.id, alarm.site)
                self.telling.hint(alarm, "cause", alarm=cause.id, ticket=cause.ticket, name=cause.reason.get("name"))

    # --- storms -----------------------------------------------------------------------------------------------------

    def _fold(self, firing: Firing, alarm: ActiveAlarm, cause: Cause, why: str) -> ActiveAlarm:
        """Under the alarm of its storm, which is raised where there is none yet."""
        storm = self.memory.active.get((storm_device(cause.site), cause.profile, cause.rule))
        storm = storm or self._storm_again(cause, firing.at) or self._storm(firing, cause)
        storm = self._grow(storm, alarm.device, firing.at)
        self.severities.worsen(storm, alarm.severity, firing.at)
        alarm = replace(alarm, parent=storm.id)
        self.work.change_alarm(alarm.id, parent=storm.id)
        self.work.decided(alarm.id, "folded", at=from_millis(firing.at), parent=storm.id, why=why)
        return alarm

    def _storm(self, firing: Firing, cause: Cause) -> ActiveAlarm:
        limits = self.memory.raises.limits
        found = storm_firing(cause, firing, limits)
        storm = self.rows.new(found, {**reason_of(found), "storm": storm_reason(cause, limits)})
        storm = self._tell(found.rule, storm, firing.at, "storm")
        self.rows.keep(storm)
        return storm

    def _storm_again(self, cause: Cause, at: Millis) -> ActiveAlarm | None:
        """The one that has cleared a short time ago goes on, with the same ticket: who was told that it is over is told
        that it is not."""
        ended = self.memory.ended_storms.get((storm_device(cause.site), cause.profile, cause.rule))
        if ended is None or not goes_on(ended[1], at, self.memory.raises.limits):
            return None
        storm, when = ended[0], from_millis(at)
        del self.memory.ended_storms[storm.device, storm.child, storm.rule]
        # Those who hear of it now have the whole time to acknowledge it.
        columns = {"reason": again(storm.reason), "step_at": self.work.now}
        storm = self.rows.change(storm, **columns)
        self.work.change_alarm(storm.id, state="active", cleared_at=None)
        self.work.decided(storm.id, "raised", at=when, why="storm_again")
        self.telling.alarm(storm, "raised", when)
        self.telling.reopen(storm)
        return storm

    def _grow(self, storm: ActiveAlarm, device: str, at: Millis) -> ActiveAlarm:
        reason = one_more(storm.reason, device)
        count = reason["storm"]["count"]
        if is_news(count, reason["storm"]["told"]):
            reason = told(reason)
            self.work.decided(storm.id, "count", at=from_millis(at), count=count)
            self.telling.note(storm, "storm_grew", count=count)
        return self.rows.change(storm, reason=reason)

    # --- suppression ------------------------------------------------------------------------------------------------

    def _suppress(self, alarm: ActiveAlarm, found: Suppression, at: Millis) -> None:
        held = Held(found, at).row()
        self.rows.keep(replace(alarm, suppressed_by=held))
        self.work.change_alarm(alarm.id, state="suppressed", suppressed_by=held)
        self.work.decided(alarm.id, "suppressed", at=from_millis(at), by=found.kind, id=found.id)

    def review(self, alarm: ActiveAlarm, at: Millis) -> None:
        """Look again at a suppressed alarm, at its device's event time: what is still wrong when its suppression has
        ended is raised then."""
        rule, device = self.rule_of(alarm), self._device(alarm)
        if rule is None or alarm.suppressed_by is None:
            return
        held = Held.of_row(alarm.suppressed_by)
        seen = review(held, self.calming.suppression(alarm, rule, at), at)
        if seen.held is None:
            over = self._over(alarm, rule, held, at)
            if not _is_about_to_clear(device, (alarm.child, alarm.rule), over, at):
                self._release(alarm, rule, device, over, seen.reason)
        elif seen.held != held:
            self.rows.change(alarm, suppressed_by=seen.held.row())
            if seen.reason == "other":
                by = seen.held.by
                self.work.decided(alarm.id, "suppressed", at=from_millis(at), by=by.kind, id=by.id)

    def _review_before(self, alarm: ActiveAlarm, clears: Millis) -> None:
        """Look as somebody would have before it began to clear: of a backlog, nobody has since it was raised."""
        if alarm.suppressed_by is not None and Held.of_row(alarm.suppressed_by).since < clears:
            self.review(alarm, clears - 1)

    def _over(self, alarm: ActiveAlarm, rule: CompiledRule, held: Held, at: Millis) -> Millis:
        """Since when nothing keeps it any more. Of a backlog that is long before anybody looks."""
        if held.over is not None:
            return held.over + SETTLE
        return min(at, self.calming.free_from(alarm, rule, held.since))

    def _release(self, alarm: ActiveAlarm, rule: CompiledRule, device: DeviceState, at: Millis, why: str) -> None:
        key = (alarm.child, alarm.rule)
        firing = Firing(
            device, alarm.child, rule, Outcome.RAISED, at, at, device.evidence.get(key), alarm.severity, alarm.flaps
        )
        columns = {"state": "active", "suppressed_by": None, "raised_at": from_millis(at)}
        self.work.change_alarm(alarm.id, **columns)
        self.work.change("alarm", alarm.id, alarm.site)
        alarm = replace(alarm, suppressed_by=None, raised_at=from_millis(at))
        self._let_through(firing, alarm, why)

    def _device(self, alarm: ActiveAlarm) -> DeviceState:
        found = state_of(self.memory, alarm.device, alarm.rule)
        if found is not None and found.profile_id == alarm.profile:
            return found
        return DeviceState(id=alarm.device, site=alarm.site, profile_id=alarm.profile, profile=None, params={})

    # --- it changes -------------------------------------------------------------------------------------------------

    def flapping(self, firing: Firing) -> None:
        """It has begun so often that it counts as one alarm that flaps: told once."""
        alarm = self.memory.active.get((firing.device.id, firing.child, firing.rule.rule.id))
        if alarm is None or alarm.flaps:
            return
        alarm = self.rows.change(alarm, flaps=firing.flaps)
        within = firing.rule.rule.flapping.within.total_seconds()
        self.work.decided(alarm.id, "flapping", at=from_millis(firing.at), times=firing.flaps, within_seconds=within)
        if alarm.suppressed_by is None and alarm.parent is None:
            self.telling.note(alarm, "flapping", times=firing.flaps, within_seconds=within)
            if not alarm.is_snoozed(self.work.now):
                self.telling.alarm(alarm, "flapping", from_millis(firing.at))

    # --- it ends ----------------------------------------------------------------------------------------------------

    def cleared(self, firing: Firing) -> None:
        key = (firing.device.id, firing.child, firing.rule.rule.id)
        if key not in self.memory.active:
            return
        self._review_before(self.memory.active[key], firing.since)
        alarm = self.memory.active.pop(key)
        values = firing.evidence.values if firing.evidence else {}
        found = {name: value for name, value in values.items() if value is not None}
        why = {"values": found, "since": from_millis(firing.since).isoformat()}
        self.end(alarm, from_millis(firing.at), why, firing.rule.wording)

    def end(self, alarm: ActiveAlarm, at: datetime, why: Mapping[str, Any], wording: ResidentWording | None) -> None:
        """An episode is over. Its ticket is told, and stays with the people who work it; where nobody was told of the
        beginning, nobody is of the end."""
        alarm = self.rows.close(alarm, at, why)
        if alarm.suppressed_by is None and alarm.parent is None:
            self.telling.note(alarm, "alarm_cleared", alarm=alarm.id, **why)
            self.telling.alarm(alarm, "cleared", at)
        site = self.memory.sites.get(alarm.site)
        if site is not None and site.impairments[alarm.device].pop(alarm.id, None) is not None:
            self.outages.reassess(site, alarm.device, at=at, wording=wording)
        if alarm.parent is not None and self.memory.active.is_bare(alarm.parent):
            self._end_storm(alarm.parent, at)
        for held in self.memory.active.held_by(alarm.id):
            self.review(held, to_millis(at))  # from now on it waits for fresh data, and not from the next tick on

    def _end_storm(self, id: str, at: datetime) -> None:
        """The last alarm under it has cleared."""
        storm = self.memory.active.by_id(id)
        if storm is not None and storm.profile == STORMS:
            key = storm.device, storm.child, storm.rule
            del self.memory.active[key]
            over = max(at, storm.raised_at)
            self.end(storm, over, {"values": {}, "why": LAST_CLEARED}, None)
            self.memory.ended_storms[key] = storm, to_millis(over)


def _is_about_to_clear(device: DeviceState, key: tuple[str, str], free: Millis, at: Millis) -> bool:
    """Its clear condition has held since before it was `free`, and fresh data say so: what is over in a moment need not
    be raised first."""
    mark = device.marks.get(key)
    clearing = mark is not None and mark.phase is Phase.CLEARING and mark.since <= free
    return mark is not None and clearing and mark.counting and at <= mark.valid_until
