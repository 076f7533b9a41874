"""What follows from an alarm: its row, its ticket, the outage, the notices. It collects rows and writes none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from device_profiles.schema import ResidentWording, Text
from services.clock import from_millis
from services.commands.dispatch import Dispatcher
from services.ids import new_id
from services.intake.memory import ActiveAlarm, Card, Library, Memory, OngoingOutage, SiteState, impairment_of
from services.intake.work import Work
from services.notices import plan
from services.notices.wording import outage_restored, outage_what
from services.outages.impact import Impact, Loss, SupplyShape, assess
from services.outages.lifecycle import Turn, turn
from services.rules.automaton import Outcome
from services.rules.engine import Firing, reason_of
from services.rules.state import DeviceState
from services.tickets.desk import Opening, event_row, ticket_row
from services.tickets.store import ticket_of_row

_NEXT_NEWS = timedelta(hours=2)


@dataclass(kw_only=True)
class Consequences:
    """For one batch or tick."""

    memory: Memory
    work: Work
    library: Library
    public_url: str
    commands_enabled: bool = True
    commands: Dispatcher = field(init=False)

    def __post_init__(self) -> None:
        self.commands = Dispatcher(
            memory=self.memory,
            work=self.work,
            library=self.library,
            enabled=self.commands_enabled,
            follow=self.follow_all,
        )

    def follow_all(self, device: DeviceState, fired: Iterable[Firing]) -> None:
        for firing in fired:
            self.follow(firing)
        if device.moved:
            self.work.moved[device.id] = device

    def follow(self, firing: Firing) -> None:
        if firing.outcome is Outcome.RAISED:
            self._raise(firing)
        elif firing.outcome is Outcome.CLEARED:
            self._clear(firing)

    # --- alarms ---------------------------------------------------------------------------------------------------

    def _raise(self, firing: Firing) -> None:
        device, rule, work = firing.device, firing.rule.rule, self.work
        assert device.site is not None, "unclaimed devices have no rules"
        key = (device.id, firing.child, rule.id)
        if key in self.memory.active:
            return  # the episode goes on
        reason = reason_of(firing)
        alarm = ActiveAlarm(
            id=new_id(work.now),
            site=device.site,
            device=device.id,
            child=firing.child,
            rule=rule.id,
            severity=rule.severity.value,
            profile=device.profile_id,
            reason=reason,
            ticket=None,
            raised_at=from_millis(firing.at),
        )
        work.new_alarms[alarm.id] = {
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
            "raised_at": from_millis(firing.at),
            "cleared_at": None,
        }
        work.change("alarm", alarm.id, alarm.site)
        site = self.memory.sites[alarm.site]
        event = self._alarm_event(alarm, "raised", from_millis(firing.at))
        work.notices += plan.for_alarm(event, site.audience, public_url=self.public_url)
        self._tell_others(event)
        alarm = self._open_ticket(firing, alarm, site)
        self.memory.active[key] = alarm
        impairment = impairment_of(alarm, firing.rule)
        if impairment is not None:
            site.impairments[alarm.device][alarm.id] = impairment
            self.reassess(site, alarm.device, at=from_millis(firing.at), wording=firing.rule.wording)
        self.commands.order(firing, alarm.id)

    def _clear(self, firing: Firing) -> None:
        alarm = self.memory.active.pop((firing.device.id, firing.child, firing.rule.rule.id), None)
        if alarm is None:
            return
        values = firing.evidence.values if firing.evidence else {}
        told = {name: value for name, value in values.items() if value is not None}
        why = {"values": told, "since": from_millis(firing.since).isoformat()}
        self.end(alarm, from_millis(firing.at), why, firing.rule.wording)

    def end(self, alarm: ActiveAlarm, at: datetime, why: dict[str, Any], wording: ResidentWording | None) -> None:
        """An episode is over. Its ticket is told, and stays with the people who work it."""
        work, reason = self.work, {**alarm.reason, "cleared": why}
        over = {"state": "cleared", "cleared_at": at, "reason": reason}
        if alarm.id in work.new_alarms:
            work.new_alarms[alarm.id] |= over
        else:
            work.cleared_alarms.append({"id": alarm.id, **over})
        work.change("alarm", alarm.id, alarm.site)
        if alarm.ticket is not None:
            work.ticket_events.append(
                event_row(alarm.ticket, "alarm_cleared", now=work.now, data={"alarm": alarm.id, **why})
            )
            work.change("ticket", alarm.ticket, alarm.site)
        site = self.memory.sites.get(alarm.site)
        if site is None:
            return
        event = self._alarm_event(replace(alarm, reason=reason), "cleared", at)
        work.notices += plan.for_alarm(event, site.audience, public_url=self.public_url)
        self._tell_others(event)
        if site.impairments[alarm.device].pop(alarm.id, None) is not None:
            self.reassess(site, alarm.device, at=at, wording=wording)

    def _tell_others(self, event: plan.AlarmEvent) -> None:
        """A gateway may serve more sites than the one where its alarm stands."""
        for other in self.memory.also_told.get(event.device, ()):
            audience = self.memory.sites[other].audience
            self.work.notices += plan.for_alarm(event, audience, public_url=self.public_url)

    def _alarm_event(self, alarm: ActiveAlarm, event: str, at: datetime) -> plan.AlarmEvent:
        card = self._card(alarm.device)
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
        )

    def _card(self, device: str) -> Card:
        unknown = Card(name=Text(zh=device, en=device), place=Text(zh="", en=""), building=None)
        return self.memory.cards.get(device, unknown)

    # --- tickets --------------------------------------------------------------------------------------------------

    def _open_ticket(self, firing: Firing, alarm: ActiveAlarm, site: SiteState) -> ActiveAlarm:
        """The alarm with the ticket it opens, where its rule has one."""
        template, work = firing.rule.template, self.work
        if template is None or firing.rule.rule.ticket is None:
            return alarm
        self.memory.last_ticket_number += 1
        opening = Opening(
            site=alarm.site,
            alarm=alarm.id,
            device=alarm.device,
            child=alarm.child,
            profile=alarm.profile,
            template_id=firing.rule.rule.ticket,
            template=template,
        )
        row = ticket_row(opening, number=self.memory.last_ticket_number, now=work.now)
        work.new_tickets.append(row)
        work.ticket_events.append(event_row(row["id"], "opened", now=work.now, data={"reason": alarm.reason}))
        work.change("ticket", row["id"], alarm.site)
        card = self._card(alarm.device)
        ticket = ticket_of_row(
            row, severity=alarm.severity, device_name=card.name, place=card.place, building=card.building
        )
        event = plan.TicketEvent(ticket=ticket, event="opened", at=work.now)
        work.notices += plan.for_ticket(event, site.audience, public_url=self.public_url)
        return replace(alarm, ticket=row["id"])

    # --- outages --------------------------------------------------------------------------------------------------

    def reassess(self, site: SiteState, device: str, *, at: datetime, wording: ResidentWording | None) -> None:
        """What the supplies that hang on a device are left with now."""
        for supply in site.supplies_of.get(device, ()):
            self._assess(site, supply, at=at, wording=wording)

    def reassess_all(self, at: datetime) -> None:
        """After the site file, the profiles or the alarms changed under us."""
        for site in self.memory.sites.values():
            for supply in {**site.supplies, **site.outages}:
                self._assess(site, supply, at=at, wording=None)

    def _assess(self, site: SiteState, supply: str, *, at: datetime, wording: ResidentWording | None) -> None:
        shape, ongoing = site.supplies.get(supply), site.outages.get(supply)
        impact = assess(shape, site.impairments_of(shape)) if shape is not None else NOTHING_LEFT
        turned = turn(ongoing.loss if ongoing else Loss.NONE, impact.loss)
        if turned is Turn.STARTED and shape is not None:
            self._start(site, shape, impact, at)
        elif turned is Turn.RESTORED and ongoing is not None:
            self._restore(site, ongoing, at, wording)
        elif turned in (Turn.WORSE, Turn.BETTER) and ongoing is not None and shape is not None:
            self._turn(site, ongoing, shape, impact, at, turned)
        elif turned is Turn.UNCHANGED and ongoing is not None:
            self._recause(site, ongoing, impact)

    def _start(self, site: SiteState, shape: SupplyShape, impact: Impact, at: datetime) -> None:
        words = self._words(shape, impact)
        outage = OngoingOutage(
            id=new_id(self.work.now),
            supply=shape.id,
            service=shape.service,
            loss=impact.loss,
            alarms=tuple(cause.alarm for cause in impact.causes),
            started_at=at,
        )
        site.outages[shape.id] = outage
        self.work.new_outages[outage.id] = {
            "id": outage.id,
            "site": site.id,
            "supply": shape.id,
            "service": shape.service,
            "state": "ongoing",
            "loss": impact.loss.value,
            "alarms": list(outage.alarms),
            "impact": {
                "buildings": list(shape.served.buildings),
                "units": list(shape.served.units),
                "households": shape.served.households,
            },
            **words.columns(),
            "started_at": at,
            "restored_at": None,
            "next_news_at": self.work.now + words.next_news,
        }
        self._tell(site, outage, Turn.STARTED, at, words, shape)

    def _turn(
        self, site: SiteState, outage: OngoingOutage, shape: SupplyShape, impact: Impact, at: datetime, turned: Turn
    ) -> None:
        words = self._words(shape, impact)
        outage.loss = impact.loss
        outage.alarms = tuple(cause.alarm for cause in impact.causes)
        self._change(
            outage,
            loss=impact.loss.value,
            alarms=list(outage.alarms),
            next_news_at=self.work.now + words.next_news,
            **words.columns(),
        )
        self._tell(site, outage, turned, at, words, shape)

    def _restore(self, site: SiteState, outage: OngoingOutage, at: datetime, wording: ResidentWording | None) -> None:
        fits = wording is not None and wording.service == outage.service and wording.restored is not None
        text = (
            wording.restored if fits and wording is not None and wording.restored else outage_restored(outage.service)
        )
        at = max(at, outage.started_at)
        del site.outages[outage.supply]
        self._change(outage, state="restored", restored_at=at, alarms=[], next_news_at=None)
        words = Words(what=text, instead=Text(zh="", en=""), next_news=timedelta(0))
        self._tell(site, outage, Turn.RESTORED, at, words, site.supplies.get(outage.supply))

    def _recause(self, site: SiteState, outage: OngoingOutage, impact: Impact) -> None:
        causes = tuple(cause.alarm for cause in impact.causes)
        if causes != outage.alarms:
            outage.alarms = causes
            self._change(outage, alarms=list(causes))
            self.work.change("outage", outage.id, site.id)

    def _change(self, outage: OngoingOutage, **columns: Any) -> None:
        rows = self.work.new_outages if outage.id in self.work.new_outages else self.work.changed_outages
        rows.setdefault(outage.id, {"id": outage.id}).update(columns)

    def _words(self, shape: SupplyShape, impact: Impact) -> Words:
        """The profile's words where they say what is really lost, otherwise the plain ones of the service."""
        for cause in impact.causes:
            profile = self.library.get(cause.profile)
            wording = profile.residents.get(cause.wording) if profile is not None else None
            if wording is not None and wording.loss == impact.loss:
                nothing = Text(zh="", en="")
                return Words(what=wording.what, instead=wording.instead or nothing, next_news=wording.next_news)
        return Words(what=outage_what(shape.service, impact.loss), instead=Text(zh="", en=""), next_news=_NEXT_NEWS)

    def _tell(
        self,
        site: SiteState,
        outage: OngoingOutage,
        turned: Turn,
        at: datetime,
        words: Words,
        shape: SupplyShape | None,
    ) -> None:
        work, over = self.work, turned is Turn.RESTORED
        update = {
            "id": new_id(work.now),
            "outage": outage.id,
            "at": at,
            "kind": turned.value,
            "loss": Loss.NONE.value if over else outage.loss.value,
            "text_zh": words.what.zh,
            "text_en": words.what.en,
            "who": None,
        }
        work.outage_updates.append(update)
        work.change("outage", outage.id, site.id)
        event = plan.OutageEvent(
            id=outage.id,
            update=str(update["id"]),
            event=turned.value,
            at=at,
            service=outage.service,
            loss=outage.loss.value,
            what=words.what,
            instead=words.instead,
            buildings=shape.served.buildings if shape else (),
            units=shape.served.units if shape else (),
            households=shape.served.households if shape else 0,
            started_at=outage.started_at,
            next_news_at=None if over else work.now + words.next_news,
        )
        work.notices += plan.for_outage(event, site.audience, public_url=self.public_url)


@dataclass(frozen=True, kw_only=True)
class Words:
    what: Text
    instead: Text
    next_news: timedelta

    def columns(self) -> dict[str, str]:
        return {
            "what_zh": self.what.zh,
            "what_en": self.what.en,
            "instead_zh": self.instead.zh,
            "instead_en": self.instead.en,
        }


NOTHING_LEFT = Impact(loss=Loss.NONE, causes=(), working=0, members=0)
"""Of a supply that is gone from the site file."""
