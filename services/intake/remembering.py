"""The memory of intake: read when it is needed, thrown away when it may not be what is committed, and brought up to
date where others have changed no more than a part of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from sqlalchemy import Connection

from services.calm.storms import Limits
from services.database import Database
from services.intake.anew import Stood, as_they_stand, mark_changed
from services.intake.consequences import Consequences
from services.intake.loading import load, read_stamp
from services.intake.memory import Library, Memory, Stamp, why_gone
from services.intake.renewing import only_rules_changed, renew, with_new_book
from services.intake.work import Work, flush
from services.rules.state import DeviceState

Follow = Callable[[Memory, Work], Consequences]


class Remembered:
    """Used within the lock of intake."""

    def __init__(
        self,
        database: Database,
        library: Library,
        *,
        storms: Limits,
        follow: Follow,
        committed: Callable[[Work], None],
        benched: set[str],
    ) -> None:
        """`follow` makes what draws the consequences of one batch or tick; `committed` is told of each. `benched`: the
        devices that could not be judged when time passed; they are tried again with a new rule book of their site, or
        when all is read again."""
        self._database = database
        self._library = library
        self._committed = committed
        self._storms = storms
        self._follow = follow
        self._benched = benched
        self.memory: Memory | None = None
        """None until it is read."""
        self._heard: dict[str, tuple[datetime, datetime | None]] = {}
        """Gateway -> `heard_at` and `spoke_at` of the memory before: to read the state again is not to hear it."""
        self._stood: Stood = {}
        """The rules of the memory before."""

    def at(self, now: datetime) -> Memory:
        """What is committed; it is read first where it is not there."""
        if self.memory is None:
            with self._database.read() as connection:
                memory = load(connection, self._library, now, self._storms)
            for gateway in memory.gateways.values():
                gateway.heard_at, gateway.spoke_at = self._heard.get(gateway.id, (now, None))
            mark_changed(memory, self._stood)
            self._put_right(memory, memory.devices.values(), now)
            self.memory = memory
        return self.memory

    def throw_away(self) -> None:
        """What is in memory may not be what is committed: it is read again before it is used."""
        if self.memory is not None:
            self._heard |= {one.id: (one.heard_at, one.spoke_at) for one in self.memory.gateways.values()}
            self._stood = as_they_stand(self.memory)
        self.memory = None

    def start_over(self) -> None:
        """Others may have written any of it."""
        self.throw_away()
        self._benched.clear()

    def catch_up(self, now: datetime) -> None:
        """Others, in whatever process, may have imported a site, changed a rule book or planned maintenance."""
        if self.memory is None:
            return
        try:
            with self._database.read() as connection:
                stamp = read_stamp(connection)
                if stamp == self.memory.stamp:
                    return
                books = with_new_book(self.memory.stamp, stamp)
                renewed = self._renewed(connection, self.memory, stamp, now)
            if renewed is None:
                self.start_over()
                return
            # All of the site, and not only those with other rules: so it is seen from outside who is still left out.
            self._benched -= {one.id for one in self.memory.devices.values() if one.site in books}
            self._put_right(self.memory, [self.memory.devices[id] for id in renewed], now)
        except BaseException:
            self.throw_away()
            raise

    def _renewed(self, connection: Connection, memory: Memory, stamp: Stamp, now: datetime) -> frozenset[str] | None:
        """The devices whose rules are others now; None where all must be read again."""
        return renew(connection, memory, stamp, now) if only_rules_changed(memory.stamp, stamp) else None

    def forget(self, strangers: Collection[str]) -> None:
        """Unclaimed devices that are gone from the database."""
        if self.memory is None:
            return
        for id in strangers:
            self.memory.devices.pop(id, None)
            self.memory.cards.pop(id, None)
        self.memory.by_address = {at: id for at, id in self.memory.by_address.items() if id not in strangers}
        self.memory.unclaimed -= len(strangers)

    def _put_right(self, memory: Memory, devices: Iterable[DeviceState], now: datetime) -> None:
        """What changed site files, rule books and profiles mean for alarms and outages that were there before them."""
        work = Work(now)
        consequences = self._follow(memory, work)
        for alarm in memory.orphans:
            gone = why_gone(memory, alarm)
            why = {"values": {}, "why": gone.text, "reason": gone.reason, "version": gone.version}
            consequences.end(alarm, now, why, None)
        memory.orphans.clear()
        for episode in memory.shadow_orphans:
            consequences.end_trial(episode, now)
        memory.shadow_orphans.clear()
        consequences.reassess_all(now)
        work.moved = {device.id: device for device in devices if device.moved}
        work.moved |= {"/".join(group.key): group.state for group in memory.groups if group.state.moved}
        if not work.is_empty:
            with self._database.write() as connection:
                flush(connection, work, memory)
            self._committed(work)
