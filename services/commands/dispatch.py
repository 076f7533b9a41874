"""Commands within one transaction of intake: asked for, handed to gateways, answered, seen to work, timed out.

It moves what is in memory, collects rows and writes none. Whatever changes about a command is told to the rules of its
device under `<command>_command`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from device_profiles.expression import command_state
from device_profiles.schema import Command, DeviceProfile, Severity
from gateway.reading import Millis, Quality, Reading, Reply, Value
from gateway.uplink import CommandOrder, CommandOutcome
from services.accounts.policy import Grant, Role, may
from services.clock import from_millis, to_millis
from services.commands import asking, store
from services.commands.asking import CommandRefused
from services.commands.evidence import told, watch
from services.commands.lifecycle import (
    Answered,
    Cancel,
    EffectSeen,
    Handed,
    Happening,
    Life,
    OrderedToo,
    Overruled,
    Reason,
    RightGone,
    Said,
    State,
    Step,
    Tick,
    advance,
    begin,
    may_answer_until,
    rewound,
    stillborn,
)
from services.commands.matching import awaits_answer, is_meant, was_fetched
from services.commands.outstanding import Live, meet
from services.ids import new_id
from services.rules import engine
from services.rules.engine import Firing
from services.rules.state import DeviceState

if TYPE_CHECKING:
    from services.intake.memory import Memory
    from services.intake.work import Work

log = structlog.get_logger("courtyard.commands")

LEASE = timedelta(seconds=10)
"""An order that a gateway has fetched and not reported on is offered to it again after this."""
_SAYS_NOTHING_OF_NOW = frozenset({Quality.LATE, Quality.HISTORIC})
_WHY_NOT = {"switched_off": Reason.SWITCHED_OFF, "no_gateway": Reason.NO_GATEWAY}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What somebody (or a rule) wants of a device."""

    device: str
    child: str
    command: str
    params: Mapping[str, object]
    by: str | None
    """Login or token; None is a rule."""
    key: str | None = None
    alarm: str | None = None
    rule: str | None = None
    last_word: bool = False
    """Of a rule: its alarm is critical, and what else is under way to this part has to give way."""
    answers_count_from: datetime | None = None
    """See `Terms`: where it took the place of one that may have been said."""


@dataclass(kw_only=True)
class Dispatcher:
    """For one batch, tick or request."""

    memory: Memory
    work: Work
    library: Mapping[str, DeviceProfile]
    enabled: bool
    follow: Callable[[DeviceState, list[Firing]], None]
    """What comes of alarms that a command's fate raises or clears."""

    # --- asking -----------------------------------------------------------------------------------------------------

    def ask(self, asked: Asked) -> str:
        """Queue it; its id. Raises CommandRefused."""
        device, profile, command = self._addressee(asked)
        return self._queue(asked, device, profile, command)

    def params_of(self, asked: Asked) -> dict[str, Value]:
        """The values it would be queued with. Raises CommandRefused."""
        _, _, command = self._addressee(asked)
        return asking.check_params(command, asked.params)

    def _addressee(self, asked: Asked) -> tuple[DeviceState, DeviceProfile, Command]:
        device = self.memory.devices.get(asked.device)
        if device is None:
            raise CommandRefused("unknown", f"the device {asked.device[:64]!r}", "a device in service")
        profile = self.library.get(device.profile_id)
        if device.site is None or profile is None:
            raise CommandRefused("unclaimed", "a device that stands in no site file", "one that has been adopted")
        return device, profile, asking.command_of(profile, asked.command)

    def _queue(self, asked: Asked, device: DeviceState, profile: DeviceProfile, command: Command) -> str:
        child = asking.check_child(profile, command, asked.child, device.params, device.children)
        params = asking.check_params(command, asked.params)
        if not self.enabled:
            raise CommandRefused("switched_off", "COURTYARD_COMMANDS=off", "on: commands are switched off here")
        same = self.memory.commands.same(device.id, child, asked.command)
        if same is not None:
            found = f"the same command, {same.life.state.value} since {same.asked_at:%H:%M:%S} UTC"
            raise CommandRefused("outstanding", found, "none under way: wait for it to end")
        ordered = self.memory.commands.in_the_way(device.id, child, asked.command)
        if ordered is not None and asked.by is not None:
            found = f"{ordered.command}, ordered by a critical alarm and {ordered.life.state.value}"
            raise CommandRefused("overruled", found, "none under way: wait for it to end")
        if self._gateway_of(device) is None:
            raise CommandRefused("no_gateway", "a device that no gateway has heard yet", "one that has been heard")
        return self._add(asked, device, profile, child, params, begin(now=self.work.now, expires=command.expires))

    def _gateway_of(self, device: DeviceState) -> str | None:
        if device.gateway is None and len(self.memory.gateways) == 1:
            return next(iter(self.memory.gateways))
        return device.gateway

    def _add(
        self,
        asked: Asked,
        device: DeviceState,
        profile: DeviceProfile,
        child: str,
        params: dict[str, Value],
        life: Life,
    ) -> str:
        terms = replace(
            asking.terms_of(profile, asked.command),
            last_word=asked.last_word,
            answers_count_from=asked.answers_count_from,
        )
        assert device.site is not None
        live = Live(
            id=new_id(self.work.now),
            site=device.site,
            device=device.id,
            child=child,
            profile=profile.id,
            command=asked.command,
            params=params,
            gateway=self._gateway_of(device),
            nonce=self.memory.commands.next_nonce(device.id),
            asked_at=self.work.now,
            terms=terms,
            life=life,
            watched=watch(profile, asked.command, terms.effect),
            by=asked.by,
        )
        self.memory.commands.add(live)
        self.work.commands.new[live.id] = _row(live, asked)
        self._record(live, Step(life, life.state.value, {"reason": life.reason.value} if life.reason else {}), asked.by)
        self._audit(live, "command.queued", asked)
        if not life.is_outstanding:
            self.memory.commands.remove(live)
        self._tell(live)
        return live.id

    def cancel(self, id: str, *, by: str) -> None:
        """Raises NotCancellable; KeyError where it is not under way."""
        live = self.memory.commands.by_id[id]
        self._happens(live, Cancel(self.work.now), who=by)
        entry = {"device": live.device, "child": live.child, "command": live.command}
        self.work.commands.audited.append({"who": by, "action": "command.cancelled", "subject": id, "data": entry})

    # --- rules --------------------------------------------------------------------------------------------------------

    def order(self, firing: Firing, alarm: str) -> None:
        """What the rule of an alarm that has just been raised wants done. It fails in sight where it cannot be."""
        device, rule = firing.device, firing.rule.rule
        profile = self.library.get(device.profile_id)
        if rule.order is None or profile is None or rule.order.command not in profile.commands:
            return
        command = profile.commands[rule.order.command]
        for child in self._ordered_children(firing, profile, command):
            asked = Asked(
                device=device.id,
                child=child,
                command=rule.order.command,
                params=rule.order.params,
                by=None,
                key=f"alarm:{alarm}/{child}",
                alarm=alarm,
                rule=rule.id,
                last_word=(firing.severity or rule.severity.value) == Severity.CRITICAL.value,
            )
            self._order_one(asked, device, profile, command)

    def _ordered_children(self, firing: Firing, profile: DeviceProfile, command: Command) -> list[str]:
        if command.scope is None:
            return [""]
        if firing.rule.rule.scope == command.scope:
            return [firing.child]
        return list(asking.children_for(profile, command.scope, firing.device.params, firing.device.children))

    def _order_one(self, asked: Asked, device: DeviceState, profile: DeviceProfile, command: Command) -> None:
        try:
            params = asking.check_params(command, asked.params)
            if self.enabled and asked.last_word:
                asked = replace(asked, answers_count_from=self._overrule(asked, params))
            if self.enabled and self._is_under_way(asked, params):
                return
            self._queue(asked, device, profile, command)
        except CommandRefused as refused:
            log.error("order_not_queued", device=device.id, command=asked.command, reason=str(refused))
            reason = _WHY_NOT.get(refused.code, Reason.NOT_SAYABLE)
            life = stillborn(now=self.work.now, expires=command.expires, reason=reason)
            life = replace(life, detail={"why": str(refused)})
            self._add(asked, device, profile, asked.child, {}, life)

    def _is_under_way(self, asked: Asked, params: Mapping[str, Value]) -> bool:
        """Whether just this is on its way already, so that it is the rule's as well."""
        same = self.memory.commands.same(asked.device, asked.child, asked.command)
        if same is None or same.params != params:
            return False
        self._happens(same, OrderedToo(self.work.now, asked.alarm or "", asked.rule or ""))
        return True

    def _overrule(self, asked: Asked, params: Mapping[str, Value]) -> datetime | None:
        """What people asked for must not undo what a critical alarm orders, by coming late or by being said again.

        Returns until when, on the gateway's clock, the one whose place it takes may yet be answered; None: no more.
        """
        answers_until: datetime | None = None
        for live in self.memory.commands.of(asked.device):
            if not meet(live.child, asked.child) or live.terms.last_word:
                continue
            same = (live.child, live.command) == (asked.child, asked.command)
            if same and live.params == params:
                continue
            if same:
                answers_until = may_answer_until(live.life, live.terms)
            self._happens(live, Overruled(self.work.now, asked.alarm or "", asked.rule or "", makes_room=same))
        return answers_until

    # --- gateways -----------------------------------------------------------------------------------------------------

    def due(self, gateway: str, sites: frozenset[str] | None, *, again: bool) -> list[Live]:
        """What this gateway should send now, oldest first; with `again` also what it has fetched before."""
        now, found = self.work.now, []
        for live in self.memory.commands:
            life = live.life
            if live.gateway != gateway or life.state is not State.QUEUED or now >= life.expires_at:
                continue
            if sites is not None and live.site not in sites:
                continue
            if life.handed_at is not None and not again and now - life.handed_at < LEASE:
                continue
            found.append(live)
        return found

    def hand_over(self, due: Iterable[Live], rights: Mapping[str, Sequence[Grant]]) -> list[CommandOrder]:
        """The orders, of those whose asker may still ask for it; `rights`: login -> what that one may do now."""
        found = []
        for live in due:
            if self._may_still(live, rights):
                self._compare_clocks(live)
                self._happens(live, Handed(self.work.now))
                found.append(_order_of(live))
        return found

    def _compare_clocks(self, live: Live) -> None:
        """The device's and its gateway's, by the newest before it can have been said."""
        device = self.memory.devices.get(live.device)
        if live.evidence.ahead is None and device is not None and device.last_measured is not None:
            live.evidence.ahead = device.ahead

    def _may_still(self, live: Live, rights: Mapping[str, Sequence[Grant]]) -> bool:
        """Whether it is handed out; one that is not, and that no gateway ever had, has failed."""
        profile = self.library.get(live.profile)
        command = profile.commands.get(live.command) if profile is not None else None
        if live.by is None or command is None or "ordered_by" in live.life.detail:
            return True
        if may(rights.get(live.by, ()), Role(command.role), live.site):
            return True
        before = live.life
        self._happens(live, RightGone(self.work.now, live.by, command.role))
        if live.life is not before:
            entry = {"device": live.device, "child": live.child, "command": live.command, "by": live.by}
            audited = {"who": None, "action": "command.right_gone", "subject": live.id, "data": entry}
            self.work.commands.audited.append(audited)
        return False

    def outcome(self, gateway: str, outcome: CommandOutcome) -> None:
        """A gateway says what became of an attempt. Saying it again changes nothing."""
        live = self.memory.commands.by_id.get(outcome.id)
        if live is None or live.gateway != gateway:
            return
        at = from_millis(outcome.at)
        said = Said(self.work.now, outcome.attempt, outcome.status, at, outcome.reason, outcome.broker)
        is_said = outcome.status in ("sent", "unsure") and outcome.attempt == live.life.attempt
        if is_said and live.evidence.began is None:
            live.evidence.began = outcome.at if outcome.began is None else min(outcome.at, outcome.began)
        self._happens(live, said)
        if is_said:
            self._weigh(live)

    def rewind(self, gateway: str, to: Millis) -> None:
        """Its clock had been ahead and was put right: what it said to be later than `to` happened by then."""
        at = from_millis(to)
        for live in self.memory.commands:
            if live.gateway == gateway:
                live.evidence.rewind(to)
                live.life = rewound(live.life, at)
                self._keep(live)

    # --- readings -----------------------------------------------------------------------------------------------------

    def take(self, device: DeviceState, reading: Reading) -> None:
        """Answers and effects that a reading carries."""
        if reading.retained or reading.quality is Quality.HISTORIC:
            return
        for correlation in dict.fromkeys(reply.correlation for reply in reading.replies):
            # One message answers one command, though it may be one of several kinds.
            self._answer(device, reading, [reply for reply in reading.replies if reply.correlation == correlation])
        if reading.quality in _SAYS_NOTHING_OF_NOW:
            return
        for live in self.memory.commands.of(device.id):
            # Two gateways' clocks cannot be compared, and what this one has heard may be from before the other said it.
            if live.watched is None or not was_fetched(live) or device.gateway != live.gateway:
                continue
            if live.evidence.note(live.watched, live.child, device, reading):
                self._weigh(live)

    def _answer(self, device: DeviceState, reading: Reading, replies: Sequence[Reply]) -> None:
        reply = replies[0]
        names = {one.command for one in replies}
        live = self._answered(device, reading, reply.correlation, names)
        if live is not None:
            at = from_millis(reading.received_at)
            in_doubt = not reply.correlation and self._may_be_to_another(device, reading, at, names)
            heard = Answered(self.work.now, at, reply.ok, reply.result, in_doubt)
            if live.life.sent_at is None and not in_doubt:  # it is here before the gateway's word that it has sent
                self._record(live, Step(live.life, "sent", {"attempt": live.life.attempt}), None)
            self._happens(live, heard)
            self._weigh(live)
            return
        self.memory.commands.unmatched += 1
        log.info("answer_unmatched", device=device.id, command=reply.command, correlation=reply.correlation)
        if reply.correlation:
            said = {"ok": reply.ok, "result": reply.result, "correlation": reply.correlation}
            self.work.commands.late.append((device.id, reply.correlation, said))

    def _answered(self, device: DeviceState, reading: Reading, correlation: str, names: Set[str]) -> Live | None:
        under_way = self.memory.commands.of(device.id)
        if correlation:
            said = [live for live in under_way if live.command in names and was_fetched(live)]
            return next((live for live in said if is_meant(live, correlation)), None)
        waits = [live for live in under_way if live.command in names and awaits_answer(live)]
        return next((live for live in waits if reading.child in ("", live.child)), None)

    def _may_be_to_another(self, device: DeviceState, reading: Reading, at: datetime, names: Set[str]) -> bool:
        """Whether one that has given way may have been said, and may be what this answers."""
        near = (live for live in self.memory.commands.of(device.id) if reading.child in ("", live.child))
        untils = (live.terms.answers_count_from for live in near if live.command in names)
        return any(until is not None and at < until for until in untils)

    def _weigh(self, live: Live) -> None:
        """Whether what has been heard so far shows the effect: the device can be quicker than the gateway's word, and
        than its own answer."""
        if live.watched is None or not live.life.is_outstanding:
            return
        known, began = self._known(live), self._began(live)
        seen = None if began is None else live.evidence.shown(live.watched, known, began)
        if seen is not None:
            measured = from_millis(max(one.measured for one in seen.values()))
            self._happens(live, EffectSeen(self.work.now, measured, told(seen)))
        live.evidence.tidy(live.watched, known)
        self._keep(live)

    def _known(self, live: Live) -> dict[str, Value]:
        device = self.memory.devices.get(live.device)
        return {**(device.params if device is not None else {}), **live.params}

    def _began(self, live: Live) -> Millis | None:
        """When it began to be said, on the gateway's clock. Until the gateway tells: before it was answered."""
        if live.evidence.began is not None or live.life.acknowledged_at is None:
            return live.evidence.began
        return to_millis(live.life.acknowledged_at)

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        for live in self.memory.commands:
            gateway = self.memory.gateways.get(live.gateway or "")
            progress = gateway.progress if gateway is not None else None
            at = None if progress is None else from_millis(progress)
            self._happens(live, Tick(self.work.now, at, self._seen_so_far(live)))

    def _seen_so_far(self, live: Live) -> dict[str, Any]:
        began = self._began(live)
        if began is None or not live.evidence.pictures:
            return {}
        return told(live.evidence.later(live.evidence.pictures[-1], began))

    # --- what every change does ---------------------------------------------------------------------------------------

    def _happens(self, live: Live, happening: Happening, who: str | None = None) -> None:
        step = advance(live.life, live.terms, happening)
        if step.life is live.life and not step.what:
            return
        before, live.life = live.life, step.life
        if step.life is not before:
            self._keep(live)
        if step.what:
            self._record(live, step, who)
        if not step.life.is_outstanding:
            self.memory.commands.remove(live)
        if step.life.state is not before.state:
            log.info("command", id=live.id, device=live.device, command=live.command, state=step.life.state.value)
            if not (isinstance(happening, Overruled) and happening.makes_room):  # the one in its place speaks for it
                self._tell(live)

    def _keep(self, live: Live) -> None:
        rows = self.work.commands.new if live.id in self.work.commands.new else self.work.commands.changed
        columns = {**store.life_columns(live.life), "evidence": live.evidence.dump()}
        rows.setdefault(live.id, {}).update(columns)

    def _record(self, live: Live, step: Step, who: str | None) -> None:
        self.work.commands.events.append(
            {
                "id": new_id(self.work.now),
                "command": live.id,
                "at": self.work.now,
                "what": step.what,
                "who": who,
                "data": dict(step.data),
            }
        )
        self.work.change("command", live.id, live.site)
        self.work.change("device", live.device, live.site)  # its page shows its commands

    def _audit(self, live: Live, action: str, asked: Asked) -> None:
        why = {"alarm": asked.alarm, "rule": asked.rule} if asked.alarm else {}
        data = {"device": live.device, "child": live.child, "command": live.command, "params": live.params, **why}
        self.work.commands.audited.append({"who": asked.by, "action": action, "subject": live.id, "data": data})

    def _tell(self, live: Live) -> None:
        """The rules of its device see how it fares."""
        device = self.memory.devices.get(live.device)
        if device is None:
            return
        state = live.life.state
        word = None if state is State.CANCELLED else state.value
        fired = engine.tell(device, live.child, {command_state(live.command): word}, self._event_time(device))
        self.work.touched.add((device.id, live.child))
        self.follow(device, fired)

    def _event_time(self, device: DeviceState) -> Millis:
        gateway = self.memory.gateways.get(device.gateway or "")
        progress = gateway.progress if gateway is not None else None
        return device.event_now(to_millis(self.work.now) if progress is None else progress)


def _row(live: Live, asked: Asked) -> dict[str, Any]:
    return {
        "id": live.id,
        "key": asked.key,
        "site": live.site,
        "device": live.device,
        "child": live.child,
        "profile": live.profile,
        "command": live.command,
        "params": live.params,
        "terms": store.dump_terms(live.terms),
        "gateway": live.gateway,
        "nonce": live.nonce,
        "by": asked.by,
        "alarm": asked.alarm,
        "asked_at": live.asked_at,
        "evidence": live.evidence.dump(),
        **store.life_columns(live.life),
    }


def _order_of(live: Live) -> CommandOrder:
    return CommandOrder(
        id=live.id,
        attempt=live.life.attempt,
        device=live.device,
        child=live.child,
        command=live.command,
        params=live.params,
        nonce=live.nonce,
        expires_at=to_millis(live.life.expires_at),
        urgent=live.terms.last_word,
    )
