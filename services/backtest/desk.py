"""What follows from firings on one side: the live consequences over a memory that nobody stores.

The same code decides as in the product (suppressed, folded, told to whom); its rows are read off instead of written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from device_profiles.schema import DeviceProfile, Severity
from gateway.reading import Millis
from services.backtest.lanes import Lane
from services.backtest.replay import Fired
from services.backtest.report import Episode
from services.clock import from_millis, to_millis
from services.intake.consequences import Consequences
from services.intake.memory import Memory
from services.intake.work import Work
from services.rules.automaton import Outcome

_RANK = {severity.value: rank for rank, severity in enumerate(reversed(Severity))}


class Desk:
    """`follow` slots in order of time, then read `episodes`."""

    def __init__(self, lane: Lane, memory: Memory, library: dict[str, DeviceProfile], start: Millis) -> None:
        self._lane = lane
        self._memory = memory
        # Commands are what an alarm orders from devices: nothing is ordered here.
        self._library = {id: profile.model_copy(update={"commands": {}}) for id, profile in library.items()}
        self._start = start
        self._episodes: dict[str, Episode] = {}
        self._alarm_of: dict[str, str] = {}
        """Ticket -> its alarm."""
        self.outage_notices = 0

    def follow(self, now: Millis, fired: Iterable[Fired]) -> None:
        for one in fired:
            if one.lane is Lane.BOTH or one.lane is self._lane:
                self._follow_one(now, one)

    def _follow_one(self, now: Millis, one: Fired) -> None:
        firing = one.firing
        device = self._memory.devices.get(firing.device.id)
        if device is not None and device.profile_id == firing.device.profile_id:
            firing = firing._replace(device=device)
        work = Work(from_millis(now))
        consequences = Consequences(
            memory=self._memory, work=work, library=self._library, public_url="", commands_enabled=False
        )
        consequences.follow(firing)
        if firing.outcome is Outcome.RAISED and firing.at < self._start:
            self._note(work, carried=True)
        else:
            self._note(work, carried=False)

    def _note(self, work: Work, *, carried: bool) -> None:
        for row in work.new_alarms.values():
            self._episodes[row["id"]] = _episode(row, carried)
        for row in work.cleared_alarms:
            self._change(row)
        for row in work.new_tickets:
            self._alarm_of[row["id"]] = row["alarm"]
            self._set(row["alarm"], ticket=True)
        if to_millis(work.now) >= self._start:
            for notice in work.notices:
                self._count_notice(notice.subject_kind, notice.subject_id)

    def _change(self, row: dict[str, Any]) -> None:
        if row.get("cleared_at") is not None:
            self._set(row["id"], cleared_at=to_millis(row["cleared_at"]))
        if "severity" in row and _RANK[row["severity"]] > _RANK[self._episodes[row["id"]].severity]:
            self._set(row["id"], severity=row["severity"])
        if "flaps" in row:
            self._set(row["id"], flaps=row["flaps"])

    def _count_notice(self, kind: str, subject: str) -> None:
        alarm = self._alarm_of.get(subject, subject) if kind == "ticket" else subject
        if alarm in self._episodes:
            self._set(alarm, notices=self._episodes[alarm].notices + 1)
        else:
            self.outage_notices += 1

    def _set(self, alarm: str, **values: Any) -> None:
        if alarm in self._episodes:
            self._episodes[alarm] = replace(self._episodes[alarm], **values)

    def episodes(self) -> list[Episode]:
        """Those that touch the stretch, in order of time."""
        found = [one for one in self._episodes.values() if one.cleared_at is None or one.cleared_at >= self._start]
        return sorted(found, key=lambda one: (one.raised_at, one.key))


def _episode(row: dict[str, Any], carried: bool) -> Episode:
    cleared = row.get("cleared_at")
    return Episode(
        device=row["device"],
        child=row["child"],
        profile=row["profile"],
        rule=row["rule"],
        severity=row["severity"],
        raised_at=to_millis(row["raised_at"]),
        cleared_at=None if cleared is None else to_millis(cleared),
        flaps=row.get("flaps") or 0,
        folded=row.get("parent") is not None,
        carried=carried,
    )
