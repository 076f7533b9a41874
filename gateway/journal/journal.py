"""The journal: durable, ordered, bounded. What is in it has been acknowledged to the broker or is about to be.

One thread writes (append, cursors, trimming, quarantine), in one fsynced commit per batch of messages: about 1 ms for
500 rows, so durability is nearly free. Readers have connections of their own; WAL keeps them out of the writer's way.

At the cap the oldest telemetry that some consumer has not taken yet is shed and counted, reading by reading. Entries
that carry an event or a change of presence are kept until the first consumer (services) has them: a time series that is
away must not keep alarms from being collected. When only those are left the journal refuses to grow (`JournalFull`) and
the gateway stops acknowledging until there is room.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any

from gateway.decode.memory import Key
from gateway.journal.entries import (
    KEEP_FOR_REPLAY,
    QUARANTINE_SIZE,
    ROW_OVERHEAD,
    SCHEMA,
    JournalFull,
    JournalStats,
    JournalUnwritable,
    NewEntry,
    NewQuarantine,
    Refusal,
    connect,
    encode,
    is_kept,
    keep_for_replay,
    quarantine_size,
)
from gateway.journal.listening import ListeningRows, Stretch
from gateway.journal.memory import MemoryRows
from gateway.journal.reader import JournalReader
from gateway.reading import Break, Millis

NO_CHANGES: Mapping[Key, Any] = MappingProxyType({})


class Journal:
    """See the module's text. `append` and `maintain` belong to one thread; `advance` may be called from any."""

    def __init__(
        self,
        path: Path,
        *,
        consumers: Sequence[str],
        first_seq: int = 1,
        max_bytes: int = 2 * 1024**3,
        quarantine_max_bytes: int = 64 * 1024**2,
        keep: int | None = None,
    ) -> None:
        """`keep`: newest entries that stay although every consumer has them; None: as the cap allows, 0 where nobody
        looks for their tokens or asks for them again."""
        self.path = path
        self.max_bytes = max_bytes
        self._quarantine_max_bytes = quarantine_max_bytes
        self._keep_for_replay = keep_for_replay(max_bytes) if keep is None else keep
        self._first_seq = first_seq
        self._first_consumer = consumers[0]
        self._cursors: dict[str, int] = dict.fromkeys(consumers, 0)
        self._saved_cursors: dict[str, int] = {}
        self._shed: dict[str, int] = dict.fromkeys(consumers, 0)
        self._lock = Lock()
        self._floor = 0
        self._db: sqlite3.Connection
        self._memory: MemoryRows
        self._listening: ListeningRows
        self.memory: list[tuple[Key, Any]] = []
        """What decoding remembered when the journal was opened."""
        self._bytes = 0
        self._quarantine_bytes = 0
        self._quarantine_entries = 0
        self._quarantine_dropped = 0
        self.last_seq = 0
        self.last_received_at: Millis = 0

    def start(self) -> None:
        """Open, create if new, and take up cursors and counters. Raises sqlite3.DatabaseError if corrupt."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._db = connect(self.path)
        self._db.executescript(SCHEMA)
        self._load()
        self._memory = MemoryRows(self._db)
        self.memory = self._memory.load()
        self._listening = ListeningRows(self._db)
        self._listening.load(self.last_received_at)

    def close(self) -> None:
        try:
            self._save_cursors()
            self._listening.save(lag=1)
        except sqlite3.Error:
            pass  # these only lag: what was taken twice changes nothing
        finally:
            self._db.close()

    def _load(self) -> None:
        db = self._db
        self._first_seq = self._remember("first_seq", self._first_seq)
        self._cursors = dict.fromkeys(self._cursors, self._first_seq - 1)
        for consumer, seq in db.execute("SELECT consumer, seq FROM cursors"):
            if consumer in self._cursors:
                self._cursors[consumer] = self._saved_cursors[consumer] = seq
        for name, value in db.execute("SELECT name, value FROM counters WHERE name LIKE 'shed:%'"):
            self._shed[name.removeprefix("shed:")] = value
        self._remember("quarantine_dropped", 0)
        (self._bytes,) = db.execute(
            "SELECT COALESCE(SUM(LENGTH(body) + ?), 0) FROM entries", (ROW_OVERHEAD,)
        ).fetchone()
        self._count_quarantine()
        row = db.execute("SELECT seq, received_at FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
        if row:
            self.last_received_at = row[1]
        # Numbers are never given twice, even where the newest entries are gone: consumers remember them.
        given = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
        self.last_seq = max(row[0] if row else 0, given[0] if given else 0, *self._cursors.values())

    def _remember(self, name: str, value: int) -> int:
        """The value stored under the name, now or when the journal was made."""
        self._db.execute("INSERT OR IGNORE INTO counters (name, value) VALUES (?, ?)", (name, value))
        stored: int = self._db.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()[0]
        return stored

    # --- the writing thread ----------------------------------------

    def append(
        self,
        entries: Sequence[NewEntry],
        quarantine: Sequence[NewQuarantine] = (),
        memory: Mapping[Key, Any] = NO_CHANGES,
        *,
        after: Break | None = None,
    ) -> None:
        """Write everything in one durable commit, or nothing. `memory` is what decoding these messages changed in the
        decoder's memory; `after` is why the gateway had not listened, should this end a break: a new stretch begins
        with it then, and not before, as what cannot be stored was not heard. Raises JournalFull, JournalUnwritable."""
        begins = after if entries and after and not self._listening.reaches(entries[0].received_at) else None
        rows, size = self._rows([_begin(entries[0].received_at), *entries] if begins else entries)
        if self._bytes + size > self.max_bytes:
            self._make_room(size)
        self._commit(rows, size, quarantine, memory=memory, begins=begins)

    def release(
        self,
        quarantine_ids: Sequence[int],
        entries: Sequence[NewEntry],
        *,
        still_refused: Sequence[Refusal] = (),
        memory: Mapping[Key, Any] = NO_CHANGES,
    ) -> None:
        """Replayed messages leave the quarantine in the commit that appends their readings; those that are still
        refused stay, with their new reason."""
        rows, size = self._rows(entries)
        self._commit(rows, size, (), released=quarantine_ids, refusals=still_refused, memory=memory)

    def _rows(self, entries: Sequence[NewEntry]) -> tuple[list[tuple[int, int, int, int, int, bytes]], int]:
        rows = []
        size = 0
        seq = max(self.last_seq, self._floor)
        for received_at, token, readings in entries:
            seq += 1
            body = encode(readings)
            size += len(body) + ROW_OVERHEAD
            rows.append((seq, received_at, is_kept(readings) or not readings, len(readings), token, body))
        return rows, size

    def _commit(
        self,
        rows: list[tuple[int, int, int, int, int, bytes]],
        size: int,
        quarantine: Sequence[NewQuarantine],
        *,
        released: Sequence[int] = (),
        refusals: Sequence[Refusal] = (),
        memory: Mapping[Key, Any] = NO_CHANGES,
        begins: Break | None = None,
    ) -> None:
        """`begins`: the first row begins a stretch of listening, after this."""
        db, listening = self._db, self._listening.state
        try:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO entries VALUES (?,?,?,?,?,?)", rows)
            if quarantine or released or refusals:
                self._insert_quarantine(quarantine)
                db.executemany("DELETE FROM quarantine WHERE id = ?", [(one,) for one in released])
                db.executemany(
                    "UPDATE quarantine SET code = ?, reason = ? WHERE id = ?",
                    [(code, reason, one) for one, code, reason in refusals],
                )
            if memory:
                self._memory.write(memory)
            if begins is not None:
                self._listening.begin(rows[0][0], rows[0][1], begins)
            db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            self._roll_back()
            self._listening.put_back(listening)
            self._count_quarantine()
            self._memory.recount()
            raise JournalUnwritable(str(error)) from error
        self._bytes += size
        if rows:
            self.last_seq, self.last_received_at = rows[-1][0], rows[-1][1]
        if released or refusals:
            self._count_quarantine()

    def listen(self, now: Millis, after: Break) -> bool:
        """What is appended from now on was heard by a gateway that listens. Said again and again while that is so;
        after a break, whose reason is `after`, a new stretch begins. Whether one did. Raises JournalUnwritable."""
        if self._listening.goes_on(now):
            return False
        rows, size = self._rows([_begin(now)])
        self._commit(rows, size, (), begins=after)
        return True

    def maintain(self) -> None:
        """Save cursors and give back what every consumer has taken. Raises JournalUnwritable."""
        try:
            self._save_cursors()
            self._listening.save()
            self._trim()
        except sqlite3.DatabaseError as error:
            self._roll_back()
            raise JournalUnwritable(str(error)) from error

    def probe(self) -> None:
        """Whether a commit of some size would succeed now; leaves nothing behind. Raises JournalUnwritable."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "INSERT INTO quarantine (received_at, topic, payload, retained, code, reason, token) "
                "VALUES (0, '', zeroblob(262144), 0, '', '', 0)"
            )
            self._db.execute("COMMIT")
            self._db.execute("DELETE FROM quarantine WHERE topic = '' AND received_at = 0 AND code = ''")
        except sqlite3.DatabaseError as error:
            self._roll_back()
            raise JournalUnwritable(str(error)) from error

    def newest_tokens(self, count: int = KEEP_FOR_REPLAY) -> list[int]:
        """Tokens of the newest messages, quarantined ones included."""
        tokens = self._db.execute("SELECT token FROM entries ORDER BY seq DESC LIMIT ?", (count,)).fetchall()
        tokens += self._db.execute("SELECT token FROM quarantine ORDER BY id DESC LIMIT ?", (count,)).fetchall()
        return [token for (token,) in tokens]

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _save_cursors(self) -> None:
        with self._lock:
            moved = {c: s for c, s in self._cursors.items() if self._saved_cursors.get(c) != s}
        if not moved:
            return
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT OR REPLACE INTO cursors (consumer, seq) VALUES (?,?)", moved.items())
        self._db.execute("COMMIT")
        self._saved_cursors.update(moved)

    def _trim(self, chunk: int = 20_000) -> None:
        done = min(*(self._saved_cursors.get(c, 0) for c in self._cursors), self.last_seq - self._keep_for_replay)
        first = self._db.execute("SELECT MIN(seq) FROM entries").fetchone()[0]
        if first is None or done < first:
            return
        until = min(done, first + chunk)
        self._db.execute("BEGIN IMMEDIATE")
        (freed,) = self._db.execute(
            "SELECT COALESCE(SUM(LENGTH(body) + ?), 0) FROM entries WHERE seq <= ?", (ROW_OVERHEAD, until)
        ).fetchone()
        self._db.execute("DELETE FROM entries WHERE seq <= ?", (until,))
        stretches = self._listening.forget(until)
        self._db.execute("COMMIT")
        self._listening.stretches = stretches
        self._bytes -= freed

    def _make_room(self, size: int) -> None:
        """Shed the oldest telemetry until the batch fits with a twentieth to spare; count each reading given up."""
        target = self.max_bytes - size - self.max_bytes // 20
        db = self._db
        try:
            while self._bytes > target:
                victims = db.execute(
                    "SELECT seq, readings, LENGTH(body) + ? FROM entries WHERE kept = 0 OR seq <= ? "
                    "ORDER BY seq LIMIT 1000",
                    (ROW_OVERHEAD, self.cursor(self._first_consumer)),
                ).fetchall()
                if not victims:
                    break
                self._shed_rows(victims, target)
        except sqlite3.DatabaseError as error:
            self._roll_back()
            raise JournalUnwritable(str(error)) from error
        if self._bytes + size > self.max_bytes:
            raise JournalFull(f"{self._bytes} of {self.max_bytes} bytes hold events that must not be shed")

    def _shed_rows(self, victims: list[tuple[int, int, int]], target: int) -> None:
        freed, gone = 0, []
        for seq, readings, size in victims:
            if self._bytes - freed <= target:
                break
            freed += size
            gone.append((seq, readings))
        with self._lock:
            cursors = dict(self._cursors)
        lost = {c: sum(n for seq, n in gone if seq > cursor) for c, cursor in cursors.items()}
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("DELETE FROM entries WHERE seq = ?", [(seq,) for seq, _ in gone])
        for consumer, count in lost.items():
            self._add("shed:" + consumer, count)
        self._db.execute("COMMIT")
        self._bytes -= freed
        for consumer, count in lost.items():
            self._shed[consumer] = self._shed.get(consumer, 0) + count

    def _add(self, name: str, count: int) -> None:
        self._db.execute(
            "INSERT INTO counters (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + ?",
            (name, count, count),
        )

    # --- quarantine ----------------------------------------

    def _insert_quarantine(self, items: Iterable[NewQuarantine]) -> None:
        for item in items:
            self._db.execute(
                "INSERT INTO quarantine (received_at, topic, payload, retained, code, reason, token) "
                "VALUES (?,?,?,?,?,?,?)",
                (item.received_at, item.topic, item.payload, item.retained, item.code, item.reason, item.token),
            )
            self._quarantine_bytes += quarantine_size(item)
            self._quarantine_entries += 1
            # At once, not after the batch: 500 messages of a megabyte would swell the file for good.
            self._drop_oldest_poison()

    def _drop_oldest_poison(self) -> None:
        while self._quarantine_bytes > self._quarantine_max_bytes and self._quarantine_entries > 1:
            oldest, size = self._db.execute(
                f"SELECT id, {QUARANTINE_SIZE} FROM quarantine ORDER BY id LIMIT 1"  # noqa: S608 - our own text
            ).fetchone()
            self._db.execute("DELETE FROM quarantine WHERE id = ?", (oldest,))
            self._add("quarantine_dropped", 1)
            self._quarantine_dropped += 1
            self._quarantine_bytes -= size
            self._quarantine_entries -= 1

    def _count_quarantine(self) -> None:
        """As the file has it: a commit that failed has dropped nothing."""
        dropped = "SELECT value FROM counters WHERE name = 'quarantine_dropped'"
        (self._quarantine_dropped,) = self._db.execute(dropped).fetchone()
        self._quarantine_entries, self._quarantine_bytes = self._db.execute(
            f"SELECT COUNT(*), COALESCE(SUM({QUARANTINE_SIZE}), 0) FROM quarantine"  # noqa: S608 - our own text
        ).fetchone()

    # --- any thread ----------------------------------------

    def reader(self) -> JournalReader:
        """A reader with its own connection; use it from one thread."""
        return JournalReader(self.path)

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """When the gateway listened, as far back as is remembered; that of every reading that can be read is in it."""
        return self._listening.stretches

    @property
    def listened_until(self) -> Millis | None:
        """When the gateway was last known to listen; None where nothing is known of that."""
        return self._listening.until

    def cursor(self, consumer: str) -> int:
        with self._lock:
            return self._cursors[consumer]

    def advance(self, consumer: str, seq: int) -> None:
        """The consumer has everything up to `seq`. Durable with the next `maintain`; a crash before only repeats."""
        with self._lock:
            self._cursors[consumer] = max(seq, self._first_seq - 1)

    def number_after(self, seq: int) -> None:
        """Give no number up to `seq` any more: a consumer has taken more than this journal ever gave."""
        self._floor = max(self._floor, seq)

    def stats(self) -> JournalStats:
        with self._lock:
            cursors = dict(self._cursors)
        waiting = {consumer: max(0, self.last_seq - seq) for consumer, seq in cursors.items()}
        return JournalStats(
            bytes=self._bytes,
            max_bytes=self.max_bytes,
            entries_waiting=waiting,
            shed=dict(self._shed),
            quarantine_entries=self._quarantine_entries,
            quarantine_dropped=self._quarantine_dropped,
        )


def _begin(at: Millis) -> NewEntry:
    """A stretch of listening begins."""
    return NewEntry(at, 0, [])
