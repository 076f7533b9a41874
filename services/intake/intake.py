"""Readings -> presence, alarms, tickets, outages, notices and the cursor: together, or not at all.

Memory is a copy of what is committed. A failed transaction throws it away; the next call reads it again. Batches are
known by their sequence numbers, so the same one twice changes nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import RLock
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

import msgspec
import structlog
from sqlalchemy import Connection

from gateway.measure import Timing
from gateway.reading import Batch, Reading, Registry, provisional_address
from services.calm.storms import Limits as StormLimits
from services.changes import Changes
from services.clock import Clock
from services.commands.asking import CommandRefused
from services.commands.dispatch import Dispatcher
from services.commands.lifecycle import NotCancellable
from services.database import Database
from services.intake.alarming import Alarming, SnoozeRefused
from services.intake.consequences import Consequences
from services.intake.hearing import Hearing, clock_put_right, gateway_of, note_gateway, rewind
from services.intake.memory import Library, Memory
from services.intake.passing import Passing
from services.intake.remembering import Remembered
from services.intake.set_aside import is_in_the_data
from services.intake.taking_apart import TakingApart
from services.intake.work import Work, flush
from services.presence.breaks import Breaks, Limits
from services.presence.gap_store import row_of as gap_row
from services.scope import NotFound
from services.sites.store import device_entries, forget_unclaimed

if TYPE_CHECKING:
    from collections.abc import Iterator

log = structlog.get_logger("courtyard.intake")
T = TypeVar("T")

GATEWAY_SILENT_AFTER_SECONDS = 60.0
"""A gateway says something every few seconds; after this its devices are unknown."""
BREAK_ALARM_AFTER_SECONDS = 180.0
"""How long a gateway, its broker or a device that others hang on may be gone before an alarm is raised."""
STORM_OVER, STORM_WITHIN_SECONDS = 10, 600.0
"""More alarms than this of one rule at one site within this time of event time are one storm."""
_REFUSALS = (CommandRefused, NotCancellable, SnoozeRefused, NotFound)
_UNCLAIMED_KEPT = timedelta(days=1)


class BatchRefused(Exception):
    """The batch begins within what was taken already and cannot be cut: ask for the cursor and send from there."""


class Intake:
    """`start()` reads the state; `take`, `tick` and `reload` may come from any thread, one works at a time."""

    def __init__(
        self,
        database: Database,
        library: Library,
        clock: Clock,
        changes: Changes,
        *,
        public_url: str = "",
        commands_enabled: bool = True,
        gateway_silent_after: float = GATEWAY_SILENT_AFTER_SECONDS,
        break_alarm_after: float = BREAK_ALARM_AFTER_SECONDS,
        storm_over: int = STORM_OVER,
        storm_within: float = STORM_WITHIN_SECONDS,
    ) -> None:
        self._database = database
        self._library = library
        self._clock = clock
        self._changes = changes
        self._public_url = public_url
        self._breaks = Breaks(Limits(timedelta(seconds=gateway_silent_after), timedelta(seconds=break_alarm_after)))
        self._commands_enabled = commands_enabled
        self._hearing = Hearing(silent_after=gateway_silent_after)
        self._passing = Passing(silent_after=gateway_silent_after, breaks=self._breaks)
        self._lock = RLock()
        self.readings = 0
        """Taken since start."""
        self.catch_up_failures = 0
        """How often a change of rules or maintenance windows was written, and the memory had to be read again as it
        could not be brought up to date; the log says why."""
        self.gaps = 0
        """Batches that did not follow the one before: the gateway's journal had to give readings up."""
        self._benched = self._passing.benched
        """Those devices."""
        self._remembered = Remembered(
            database,
            library,
            storms=StormLimits(storm_over, round(storm_within * 1000)),
            follow=self._consequences,
            committed=self._committed,
            benched=self._benched,
        )
        self.decisions: Counter[tuple[str, str]] = Counter()
        """About alarms, committed since start: (kind, why) -> how many; see `Work.decisions`."""
        self._apart = TakingApart(
            database,
            self._passing,
            transaction=self._transaction,
            commit=self._commit,
            devices=lambda now: self._remembered.at(now).devices,
        )
        self.rule_seconds = Timing()
        """Judging a batch of readings, and what follows from them in memory."""
        self.batch_seconds = Timing()
        """A batch of readings until it is committed."""
        self.tick_seconds = Timing()

    def start(self) -> None:
        self.reload()

    def reload(self) -> None:
        """Read everything again: after a site import, or when the database was changed by others."""
        with self._lock:
            self._remembered.start_over()
            with self._transaction(self._clock.now()):
                pass

    def cursor(self, gateway: str) -> int:
        """The last journal sequence committed for this gateway; 0 when none."""
        with self._lock:
            memory = self._remembered.at(self._clock.now())
            state = memory.gateways.get(gateway) or memory.forgotten.get(gateway)
            return state.cursor if state is not None else 0

    def registry(self) -> Registry:
        """The devices a gateway serves, with a version that changes whenever they do."""
        with self._database.read() as connection:
            entries = device_entries(connection)
        return Registry(version=hashlib.sha256(msgspec.msgpack.encode(entries)).hexdigest()[:16], devices=entries)

    # --- readings --------------------------------------------------------------------------------------------

    def as_claimed(self, readings: Sequence[Reading]) -> list[Reading]:
        """The readings under the ids of the site files, as a time series must keep them.

        A gateway that could not ask for its devices yet names them "<profile>:<address>".
        """
        with self._lock:
            claimed = self._remembered.at(self._clock.now()).by_address
        found = []
        for reading in readings:
            place = provisional_address(reading.device)
            id = claimed.get(place, reading.device) if place is not None else reading.device
            found.append(reading if id == reading.device else msgspec.structs.replace(reading, device=id))
        return found

    def take(self, batch: Batch) -> int:
        """Take a batch in; the cursor that is committed now. Raises BatchRefused.

        A reading that cannot be judged is set aside, and the others are taken without it.
        """
        now = self._clock.now()
        with self._lock:
            began = perf_counter()
            before = self.cursor(batch.gateway)
            readings = self._behind(batch, before)
            reached = max(before, batch.last_seq)
            try:
                self._commit(batch, readings, reached, now)
            except Exception as error:
                if not readings or not self._apart.is_to_blame(batch, error):
                    raise
                self._apart.batch(batch, readings, before, now, error)
                self._commit(batch, [], reached, now)
            self._apart.went_well()
            self.readings += len(readings)
            if readings:  # else a mere sign of life
                self.batch_seconds.note(perf_counter() - began)
            return reached

    def _commit(self, batch: Batch, readings: Sequence[Reading], cursor: int, now: datetime) -> None:
        """Readings of a batch, and the cursor: where it was, or the end of the batch once all of it is in."""
        with self._transaction(now) as (memory, work, consequences):
            gateway = gateway_of(memory, batch.gateway, now)
            work.gateway, work.gateway_cursor_before = gateway, gateway.cursor
            gateway.cursor = cursor
            put_right = clock_put_right(gateway, batch, readings)
            if put_right is not None:
                rewind(gateway, put_right, memory, work)
                consequences.commands.rewind(gateway.id, put_right)
            gap = note_gateway(gateway, batch, readings, now)
            if gap is not None:
                work.gaps.append(gap_row(gap, now))
            began = perf_counter()
            for reading in readings:
                # A backlog is judged by the time it was heard, not by the time it is handed over.
                gateway.progress = max(gateway.progress or 0, reading.received_at)
                self._hearing.take(reading, gateway, memory, work, consequences)
            if readings:
                self.rule_seconds.note(perf_counter() - began)
            if cursor >= batch.last_seq:
                gateway.progress = max(gateway.progress or 0, batch.progress_at)
            self._passing.groups_of_batch(gateway, memory, work, consequences)
            work.change("gateway", gateway.id, "")

    def _behind(self, batch: Batch, before: int) -> list[Reading]:
        """The readings of a batch that are not taken yet."""
        if not batch.readings or batch.last_seq <= before:
            return []
        if batch.first_seq > before:
            if before and batch.first_seq > before + 1:
                self.gaps += 1
                log.warning("batch_gap", gateway=batch.gateway, cursor=before, first_seq=batch.first_seq)
            return batch.readings
        if len(batch.readings) != batch.last_seq - batch.first_seq + 1:
            raise BatchRefused(
                f"batch {batch.first_seq}..{batch.last_seq} begins within what gateway {batch.gateway} has handed over "
                f"already (cursor {before}); it must begin at {before + 1}"
            )
        return batch.readings[before - batch.first_seq + 1 :]

    # --- time ------------------------------------------------------------------------------------------------

    def tick(self, now: datetime) -> None:
        """Time has passed: silence, ages and delays, each judged against its gateway's progress.

        A device that cannot be judged is left out from then on, and the others are judged without it.
        """
        with self._lock:
            self._remembered.catch_up(now)
            began = perf_counter()
            try:
                with self._transaction(now) as parts:
                    self._passing.devices(now, *parts)
                    for _, part in self._passing.others:
                        part(now, *parts)
            except Exception as error:
                if not is_in_the_data(error):
                    raise
                self._apart.tick(now)
            self.tick_seconds.note(perf_counter() - began)

    def forget_unclaimed(self, now: datetime) -> None:
        """Strangers that have fallen silent leave their place to others."""
        with self._lock:
            with self._database.write() as connection:
                gone = forget_unclaimed(connection, heard_before=now - _UNCLAIMED_KEPT)
            if gone:
                self._remembered.forget(gone)
                log.info("unclaimed_forgotten", devices=len(gone))

    def change(self, work: Callable[[Connection], T]) -> T:
        """Let others write what this memory is a copy of, in one transaction: nothing is taken meanwhile, and all of
        it is read again afterwards."""
        with self._lock:
            try:
                with self._database.write() as connection:
                    return work(connection)
            finally:
                self._remembered.start_over()

    def change_rules(self, work: Callable[[Connection], T]) -> T:
        """Let others write rule books and maintenance windows, in one transaction. Nothing is taken meanwhile, and what
        depends on these is made anew before anything is; the rest of the memory stays as it is.

        Once it is written it stands, and whoever wrote it is told so: where the memory cannot be brought up to date, it
        is read again before it is used.
        """
        with self._lock:
            with self._database.write() as connection:
                found = work(connection)
            try:
                self._remembered.catch_up(self._clock.now())
            except Exception:  # it has thrown the memory away, and what follows reads all of it
                self.catch_up_failures += 1
                log.exception("catch_up_failed", next_step="everything is read again")
            return found

    # --- commands --------------------------------------------------------------------------------------------

    @contextmanager
    def commanding(self, now: datetime) -> Iterator[Dispatcher]:
        """What is asked, fetched and reported about commands within the block commits with its end.

        A refusal before anything has changed leaves the memory as it is: to read all of it again takes a second, and
        anybody may ask for what is refused.
        """
        with self._asked(now) as (_, _, consequences):
            yield consequences.commands

    @contextmanager
    def alarming(self, now: datetime) -> Iterator[Alarming]:
        """What people say about alarms within the block commits with its end; a refusal changes nothing."""
        with self._asked(now) as (memory, work, _):
            yield Alarming(memory=memory, work=work)

    @contextmanager
    def _asked(self, now: datetime) -> Iterator[tuple[Memory, Work, Consequences]]:
        refused: Exception | None = None
        with self._lock, self._transaction(now) as parts:
            try:
                yield parts
            except _REFUSALS as error:
                if not parts[1].is_empty:
                    raise
                refused = error
        if refused is not None:
            raise refused

    def commands_under_way(self, gateway: str) -> bool:
        """Whether some command waits for this gateway; a look that costs nothing."""
        with self._lock:
            return any(live.gateway == gateway for live in self._remembered.at(self._clock.now()).commands)

    @property
    def set_aside(self) -> int:
        """Readings that could not be judged, and devices that cannot be when time passes."""
        return self._apart.set_aside

    @property
    def tick_failures(self) -> int:
        """How often breaks or commands could not be judged when time passed; the log says why."""
        return self._apart.tick_failures

    @property
    def benched(self) -> frozenset[str]:
        """Devices that could not be judged when time passed, and are left out until the state is read again."""
        return frozenset(self._benched)

    @property
    def refused_unclaimed(self) -> int:
        """Readings of unclaimed devices beyond the number that is kept."""
        return self._hearing.refused_unclaimed

    @property
    def refused_children(self) -> int:
        """Readings of children beyond the number that is kept per device."""
        return self._hearing.refused_children

    @property
    def unmatched_answers(self) -> int:
        """Answers of devices to commands that are not ours, since the state was read."""
        memory = self._remembered.memory
        return 0 if memory is None else memory.commands.unmatched

    # --- all or nothing --------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self, now: datetime) -> Iterator[tuple[Memory, Work, Consequences]]:
        try:
            memory = self._remembered.at(now)
            work = Work(now)
            yield memory, work, self._consequences(memory, work)
            if work.is_empty:
                return
            with self._database.write() as connection:
                flush(connection, work, memory)
        except BaseException:
            self._remembered.throw_away()
            raise
        self._committed(work)

    def _committed(self, work: Work) -> None:
        self.decisions.update(work.decisions())
        self._changes.publish(work.changes)

    def _consequences(self, memory: Memory, work: Work) -> Consequences:
        return Consequences(
            memory=memory,
            work=work,
            library=self._library,
            public_url=self._public_url,
            commands_enabled=self._commands_enabled,
            breaks=self._breaks,
        )
