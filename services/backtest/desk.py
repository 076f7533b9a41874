"""What follows from firings on one side: the live consequences over a memory that nobody stores.

The same code decides as in the product (suppressed, folded, told to whom); its rows are read off instead of written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import Any

from device_profiles.schema import DeviceProfile, Severity, Text
from gateway.reading import Millis
from services.backtest.listening import SILENT_AFTER
from services.backtest.past import NOTHING, Act, Past
from services.backtest.place import Lane
from services.backtest.replay import BREAK_AFTER, Clearing, Shot, Slot
from services.backtest.report import Episode, Side
from services.clock import from_millis, to_millis
from services.intake.alarming import Alarming, SnoozeRefused
from services.intake.consequences import Consequences
from services.intake.escalation import Escalation
from services.intake.memory import ActiveAlarm, Memory, rule_of, state_of
from services.intake.work import Work
from services.notices.steps import top_step
from services.presence.breaks import BREAKS, Breaks, Limits
from services.rules.automaton import Mark, Outcome
from services.rules.engine import Firing
from services.rules.state import DeviceState
from services.rules.store import Alarm

_RANK = {severity.value: rank for rank, severity in enumerate(reversed(Severity))}
_BREAKS = Breaks(Limits(SILENT_AFTER, BREAK_AFTER))


class Desk:
    """`follow` slots in order of time, then ask what it has `found`."""

    def __init__(
        self,
        lane: Lane,
        memory: Memory,
        library: Mapping[str, DeviceProfile],
        start: Millis,
        past: Past = NOTHING,
    ) -> None:
        self._gaps = past.gaps
        self._waiting: list[tuple[Millis, Shot]] = []
        """When services came to know of them."""
        self._lane = lane
        self._memory = memory
        self._acts = deque(past.acts)
        self._escalation = Escalation()
        self._has_steps = any(top_step(site.audience) for site in memory.sites.values())
        # Commands are what an alarm orders from devices: nothing is ordered here.
        self._library = {id: profile.model_copy(update={"commands": {}}) for id, profile in library.items()}
        self._start = start
        self._clearing: list[tuple[DeviceState, tuple[str, str]]] = []
        self._episodes: dict[str, Episode] = {}
        self._alarm_of: dict[str, str] = {}
        """Ticket -> its alarm."""
        self._outage_notices = 0
        """About outages, to everybody."""

    def follow(self, slot: Slot) -> None:
        """First what fired and what people said, one by one, then what was suppressed is looked at again: as intake
        does."""
        shots = self._known(slot)
        self._note_clearing(slot.clearing if shots or self._memory.active.suppressed() else ())
        for known_at, shot in shots:
            self._people(known_at)
            firing = self._firing(shot)
            if firing is not None:
                self._do(known_at, partial(Consequences.follow, firing=firing))
        self._people(slot.now)
        if shots or self._memory.active.suppressed():
            self._do(slot.now, lambda parts: parts.tick({None: slot.now}))

    def _known(self, slot: Slot) -> list[tuple[Millis, Shot]]:
        """What services knew by now, and since when: what fires in a gap they find out when it is over."""
        mine = [shot for shot in slot.shots if shot.lane is Lane.BOTH or shot.lane is self._lane]
        if not self._gaps:
            return [(shot.at, shot) for shot in mine]
        every = sorted([*self._waiting, *((self._known_at(shot), shot) for shot in mine)], key=itemgetter(0))
        self._waiting = [one for one in every if one[0] > slot.now]
        return every[: len(every) - len(self._waiting)]

    def _known_at(self, shot: Shot) -> Millis:
        device = self._memory.devices.get(shot.device)
        gateway = None if device is None else device.gateway
        return max(
            (gap.ends for gap in self._gaps if gap.gateway == gateway and gap.begins < shot.at < gap.ends),
            default=shot.at,
        )

    def _do(self, now: Millis, act: Callable[[Consequences], None]) -> None:
        """One transaction of intake, as it were."""
        work = Work(from_millis(now))
        act(
            Consequences(
                memory=self._memory,
                work=work,
                library=self._library,
                public_url="",
                commands_enabled=False,
                breaks=_BREAKS,
            )
        )
        self._read_off(work)

    def _people(self, until: Millis) -> None:
        """What they said up to a moment, and whom else alarms went up to because nobody said anything."""
        while self._acts and self._acts[0].at <= until:
            act = self._acts.popleft()
            self._climb(act.at)
            self._say(act)
        self._climb(until)

    def _climb(self, at: Millis) -> None:
        if self._has_steps and self._memory.active:
            self._do(at, lambda parts: self._escalation.tick(parts.work.now, self._memory, parts.work, parts))

    def _say(self, act: Act) -> None:
        """About the alarm that stands there on this side; where none does, it was about nothing."""
        standing = self._memory.active.get((act.device, act.child, act.rule))
        if standing is None:
            return
        alarming, alarm, by = Alarming(memory=self._memory, work=Work(from_millis(act.at))), about(standing), "somebody"
        if act.kind == "acknowledged":
            alarming.acknowledge(alarm, by=by)
        elif act.kind == "unsnoozed":
            alarming.unsnooze(alarm, by=by)
        elif act.until is not None:
            with suppress(SnoozeRefused):  # it was made for another moment of another alarm
                alarming.snooze(alarm, from_millis(act.until), by=by)

    def _firing(self, shot: Shot) -> Firing | None:
        if shot.profile == BREAKS:
            site = next(iter(self._memory.sites))
            device = DeviceState(id=shot.device, site=site, profile_id=BREAKS, profile=None, params={})
            rule = _BREAKS.rule(shot.rule, self._memory.cards[shot.device].name)
        else:
            found, rule = state_of(self._memory, shot.device, shot.rule), rule_of(self._memory, shot.device, shot.rule)
            if found is None:
                return None
            device = found
            if shot.outcome == Outcome.RAISED and shot.evidence is not None:
                device.evidence[shot.child, shot.rule] = shot.evidence
        if rule is None:
            return None
        outcome = Outcome(shot.outcome)
        return Firing(device, shot.child, rule, outcome, shot.at, shot.since, shot.evidence, shot.severity, shot.flaps)

    def _note_clearing(self, clearing: Iterable[Clearing]) -> None:
        """What is over in a moment is not raised first: the calm layer looks at the marks of what is suppressed."""
        for device, key in self._clearing:
            device.marks.pop(key, None)
        self._clearing = []
        for one in clearing:
            if one.lane is Lane.BOTH or one.lane is self._lane:
                found, key = state_of(self._memory, one.device, one.rule), (one.child, one.rule)
                if found is not None:
                    found.marks[key] = Mark(*one.mark)
                    self._clearing.append((found, key))

    def _read_off(self, work: Work) -> None:
        for row in work.new_alarms.values():
            self._episodes[row["id"]] = _episode(row)
        for row in work.new_shadows.values():
            self._episodes[row["id"]] = replace(_episode(row), shadow=True)
        for row in (*work.changed_alarms.values(), *work.cleared_alarms, *work.ended_shadows):
            self._change(row)
        for row in work.new_tickets:
            self._alarm_of[row["id"]] = row["alarm"]
            self._set(row["alarm"], ticket=True)
        if to_millis(work.now) >= self._start:
            for notice in work.notices:
                self._count_notice(notice.subject_kind, notice.subject_id)

    def _change(self, row: Mapping[str, Any]) -> None:
        episode = self._episodes.get(row["id"])
        if episode is None:
            return
        if row.get("raised_at") is not None:
            episode = replace(episode, raised_at=to_millis(row["raised_at"]))
        if "cleared_at" in row:  # a storm may go on
            cleared = row["cleared_at"]
            episode = replace(episode, cleared_at=None if cleared is None else to_millis(cleared))
        if "severity" in row and _RANK[row["severity"]] > _RANK[episode.severity]:
            episode = replace(episode, severity=row["severity"])
        if "suppressed_by" in row:
            episode = replace(episode, suppressed_by=_kind(row["suppressed_by"]))
        if row.get("parent") is not None:
            episode = replace(episode, folded=True)
        self._episodes[row["id"]] = replace(episode, flaps=row.get("flaps") or episode.flaps)

    def _count_notice(self, kind: str, subject: str) -> None:
        alarm = self._alarm_of.get(subject, subject) if kind == "ticket" else subject
        if alarm in self._episodes:
            self._set(alarm, notices=self._episodes[alarm].notices + 1)
        else:
            self._outage_notices += 1

    def _set(self, alarm: str, **values: Any) -> None:
        if alarm in self._episodes:
            self._episodes[alarm] = replace(self._episodes[alarm], **values)

    def found(self) -> Side:
        """The episodes that touch the stretch, in order of time."""
        found = [
            replace(one, carried=one.raised_at < self._start)
            for one in self._episodes.values()
            if one.cleared_at is None or one.cleared_at >= self._start
        ]
        return Side(sorted(found, key=lambda one: (one.raised_at, one.key)), self._outage_notices)


def about(standing: ActiveAlarm) -> Alarm:
    """As people see it who say something about it."""
    name = Text(zh=standing.rule, en=standing.rule)
    return Alarm(
        id=standing.id,
        site=standing.site,
        device=standing.device,
        device_name=name,
        building=None,
        child=standing.child,
        rule=standing.rule,
        rule_name=name,
        profile=standing.profile,
        severity=standing.severity,
        state="active",
        reason=standing.reason,
        pending_since=None,
        raised_at=standing.raised_at,
        cleared_at=None,
        acknowledged_at=standing.acknowledged_at,
        acknowledged_by=None,
        ticket=standing.ticket,
        ticket_number=None,
    )


def _episode(row: Mapping[str, Any]) -> Episode:
    cleared = row["cleared_at"]
    return Episode(
        device=row["device"],
        child=row["child"],
        profile=row["profile"],
        rule=row["rule"],
        severity=row["severity"],
        raised_at=to_millis(row["raised_at"]),
        cleared_at=None if cleared is None else to_millis(cleared),
        flaps=row.get("flaps") or 0,
        suppressed_by=_kind(row.get("suppressed_by")),
        folded=row.get("parent") is not None,
    )


def _kind(held: Mapping[str, Any] | None) -> str:
    return "" if held is None else str(held["kind"])
