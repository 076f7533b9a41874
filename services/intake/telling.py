"""Who is told of an alarm, and the tickets that alarms open and add to. It collects rows and writes none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from device_profiles.schema import Text
from services.calm.names import STORM_NAME, is_storm_device
from services.intake.memory import ActiveAlarm, Card, Memory
from services.intake.work import Work
from services.notices import plan
from services.rules.compiled import CompiledRule
from services.tickets.desk import Opening, event_row, ticket_row
from services.tickets.store import ticket_of_row

WORST_TOLD = "worst_told"
"""In an alarm's reason, where it became less severe: the worst that people were told. They hear of its end as well."""
_NOWHERE = Text(zh="", en="")


@dataclass(kw_only=True)
class Telling:
    """For one batch or tick."""

    memory: Memory
    work: Work
    public_url: str

    def alarm(self, alarm: ActiveAlarm, event: str, at: datetime, *, already: str = "") -> None:
        """A notice to everybody who wants alarms this severe; with `already`, to those only who had not wanted it
        while it was that severe."""
        self._tell(alarm, self._event(alarm, event, at, already))

    def step(self, alarm: ActiveAlarm, waited: timedelta) -> int:
        """A notice to those who stand on the step that an alarm has gone up to; how many there are."""
        return self._tell(alarm, replace(self._event(alarm, "step", self.work.now, ""), unacknowledged=waited))

    def _tell(self, alarm: ActiveAlarm, event: plan.AlarmEvent) -> int:
        """A gateway may serve more sites than the one where its alarm stands."""
        before = len(self.work.notices)
        for site in (alarm.site, *self.memory.also_told.get(alarm.device, ())):
            found = self.memory.sites.get(site)
            if found is not None:
                self.work.notices += plan.for_alarm(event, found.audience, public_url=self.public_url)
        return len(self.work.notices) - before

    def _event(self, alarm: ActiveAlarm, event: str, at: datetime, already: str) -> plan.AlarmEvent:
        card = self.card(alarm.device)
        name = alarm.reason.get("name") or {"zh": alarm.rule, "en": alarm.rule}
        return plan.AlarmEvent(
            id=alarm.id,
            event=event,
            at=at,
            severity=alarm.severity,
            rule=alarm.rule,
            rule_name=Text(zh=name["zh"], en=name["en"]),
            device=alarm.device,
            device_name=card.name,
            place=card.place,
            child=alarm.child,
            profile=alarm.profile,
            reason=alarm.reason,
            step=alarm.step,
            worst=worst_told(alarm),
            already=already,
            flaps=alarm.flaps,
            again=int((alarm.reason.get("storm") or {}).get("again", 0)),
        )

    def card(self, device: str) -> Card:
        found = self.memory.cards.get(device)
        if found is not None:
            return found
        name = STORM_NAME if is_storm_device(device) else Text(zh=device, en=device)
        return Card(name=name, place=_NOWHERE, building=None)

    # --- tickets ----------------------------------------------------------------------------------------------------

    def open_ticket(self, alarm: ActiveAlarm, rule: CompiledRule) -> ActiveAlarm:
        """The alarm with the ticket it opens, where its rule has one."""
        template, work = rule.template, self.work
        if template is None or rule.rule.ticket is None:
            return alarm
        self.memory.last_ticket_number += 1
        opening = Opening(
            site=alarm.site,
            alarm=alarm.id,
            device=alarm.device,
            child=alarm.child,
            profile=alarm.profile,
            template_id=rule.rule.ticket,
            template=template,
        )
        row = ticket_row(opening, number=self.memory.last_ticket_number, now=work.now)
        work.new_tickets.append(row)
        alarm = replace(alarm, ticket=row["id"])
        self.note(alarm, "opened", reason=alarm.reason)
        card = self.card(alarm.device)
        ticket = ticket_of_row(
            row, severity=alarm.severity, device_name=card.name, place=card.place, building=card.building
        )
        event = plan.TicketEvent(ticket=ticket, event="opened", at=work.now)
        site = self.memory.sites[alarm.site]
        work.notices += plan.for_ticket(event, site.audience, public_url=self.public_url)
        return alarm

    def reopen(self, alarm: ActiveAlarm) -> None:
        """Its ticket is open again, where people had closed it already."""
        if alarm.ticket is not None:
            self.work.reopened_tickets.append(alarm.ticket)
            self.work.change("ticket", alarm.ticket, alarm.site)

    def note(self, alarm: ActiveAlarm, what: str, /, **data: Any) -> None:
        """Add to the history of the alarm's ticket, where it has one."""
        if alarm.ticket is not None:
            self.work.ticket_events.append(event_row(alarm.ticket, what, now=self.work.now, data=data))
            self.work.change("ticket", alarm.ticket, alarm.site)

    def hint(self, alarm: ActiveAlarm, what: str, /, **data: Any) -> None:
        """The same, but only while nobody has taken the ticket: who works on it knows better."""
        if alarm.ticket is not None:
            self.work.ticket_hints.append(event_row(alarm.ticket, what, now=self.work.now, data=data))
            self.work.change("ticket", alarm.ticket, alarm.site)


def worst_told(alarm: ActiveAlarm) -> str:
    return str(alarm.reason.get(WORST_TOLD) or alarm.severity)
