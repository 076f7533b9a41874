"""When the gateway listened: stretches of time, each begun by an entry of the journal that carries no reading.

That entry has a number like any other, so that what was said of a stretch is handed over once and in order, whatever
the clocks did. How far the newest stretch has come is written every few seconds, so that a kill loses no more.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from gateway.reading import Break, Millis

DEAF_MILLIS: Millis = 30_000
"""What is shorter is no break: a broker keeps what is said meanwhile, and no delay is judged finer than that."""
_WENT_BACK_MILLIS: Millis = 60_000
"""A clock that is put right by more begins a new stretch."""
_MARK_MILLIS: Millis = 15_000
"""So far what is written may lie behind; together with a restart it stays below what counts as a break."""
MOST = 1_000
"""Stretches that are remembered. Of what is older nothing is said, as by gateways of older versions."""


class Stretch(NamedTuple):
    """Entries from `seq` on, up to that of the next stretch, were heard in it."""

    seq: int
    begins: Millis
    until: Millis
    """How far it went; of the newest one: when it was last written."""
    after: Break


_seq_of = attrgetter("seq")


def stretch_at(stretches: Sequence[Stretch], seq: int) -> Stretch | None:
    """The one in which an entry was heard; None where it is older than what is remembered."""
    place = bisect_right(stretches, seq, key=_seq_of)
    return stretches[place - 1] if place else None


def stretch_behind(stretches: Sequence[Stretch], seq: int) -> Stretch | None:
    """The first one that begins behind an entry."""
    place = bisect_right(stretches, seq, key=_seq_of)
    return stretches[place] if place < len(stretches) else None


class ListeningRows:
    """The table `listening`. Belongs to the journal's writing thread; `stretches` may be read by any."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.stretches: tuple[Stretch, ...] = ()
        """In the order of their numbers."""
        self._db = db
        self._until: Millis = 0

    @property
    def until(self) -> Millis | None:
        """When it was last known to listen; None where nothing is known of that."""
        return self._until if self.stretches else None

    def load(self, last_received_at: Millis) -> None:
        """`last_received_at`: of the newest entry, which may be newer than what was written of its stretch."""
        rows = self._db.execute("SELECT seq, begins, until, after FROM listening ORDER BY seq")
        self.stretches = tuple(Stretch(*row) for row in rows)
        if self.stretches:
            self._until = max(self.stretches[-1].until, last_received_at)

    def reaches(self, now: Millis) -> bool:
        """Whether now belongs to the newest stretch."""
        return bool(self.stretches) and self._until - _WENT_BACK_MILLIS <= now <= self._until + DEAF_MILLIS

    def goes_on(self, now: Millis) -> bool:
        """It listens now: whether that belongs to the newest stretch, which is longer then."""
        if not self.reaches(now):
            return False
        self._until = max(self._until, now)
        return True

    def begin(self, seq: int, now: Millis, after: Break) -> None:
        """Write that a new one begins, within the caller's transaction. It is there before that commits, for whoever
        reads the entry must find it; where it does not commit, `put_back`."""
        ended = tuple(one._replace(until=self._until) for one in self.stretches[-1:])
        found = (*self.stretches[:-1], *ended, Stretch(seq, now, now, after))[-MOST:]
        self._write_until(ended)
        self._db.execute("INSERT OR REPLACE INTO listening (seq, begins, until, after) VALUES (?,?,?,?)", found[-1])
        self._db.execute("DELETE FROM listening WHERE seq < ?", (found[0].seq,))
        self.stretches, self._until = found, now

    @property
    def state(self) -> tuple[tuple[Stretch, ...], Millis]:
        """What `put_back` takes, before a transaction that may fail."""
        return self.stretches, self._until

    def put_back(self, state: tuple[tuple[Stretch, ...], Millis]) -> None:
        self.stretches, self._until = state

    def save(self, *, lag: Millis = _MARK_MILLIS) -> None:
        """Write how far the newest has come, where what is written lies so far behind."""
        newest = self.stretches[-1:]
        if newest and self._until - newest[0].until >= lag:
            moved = (newest[0]._replace(until=self._until),)
            self._write_until(moved)
            self.stretches = self.stretches[:-1] + moved

    def forget(self, seq: int) -> tuple[Stretch, ...]:
        """Entries up to `seq` are gone: so is what was said of them. Within the caller's transaction, as in `begin`."""
        stays = stretch_at(self.stretches, seq + 1)
        if stays is None or stays is self.stretches[0]:
            return self.stretches
        self._db.execute("DELETE FROM listening WHERE seq < ?", (stays.seq,))
        return self.stretches[self.stretches.index(stays) :]

    def _write_until(self, stretches: Sequence[Stretch]) -> None:
        rows = [(one.until, one.seq) for one in stretches]
        self._db.executemany("UPDATE listening SET until = ? WHERE seq = ?", rows)
