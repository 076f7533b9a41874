"""What cannot be judged is found out and left out, so that it holds up nothing else: of a batch the readings, of a tick
the devices.

A batch is taken half by half until what fails stands alone; a tick part by part, and device by device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

import structlog

from gateway.reading import Batch, Reading
from services.database import Database
from services.intake.consequences import Consequences
from services.intake.memory import Memory
from services.intake.passing import Part, Passing
from services.intake.set_aside import PATIENCE, halves, is_a_constraint, is_in_the_data, keep
from services.intake.work import CursorMoved, Work
from services.wire_names import writable

log = structlog.get_logger("courtyard.intake")

Transaction = Callable[[datetime], AbstractContextManager[tuple[Memory, Work, Consequences]]]
Commit = Callable[[Batch, Sequence[Reading], int, datetime], None]
Devices = Callable[[datetime], Iterable[str]]


class TakingApart:
    """Used within the lock of intake."""

    def __init__(
        self, database: Database, passing: Passing, *, transaction: Transaction, commit: Commit, devices: Devices
    ) -> None:
        """`transaction` is all or nothing, `commit` takes some readings of a batch in one; `devices` are all there are
        now."""
        self._database = database
        self._passing = passing
        self._transaction = transaction
        self._commit = commit
        self._devices = devices
        self.set_aside = 0
        """Readings that could not be judged, and devices that cannot be when time passes."""
        self.tick_failures = 0
        """How often breaks or commands could not be judged when time passed; the log says why."""
        self._tick_errors: dict[str, str] = {}
        """What became of each part when it was last tried."""
        self._refusals = (0, 0)
        """Which batch (its first sequence) a constraint has refused, and how often in a row."""

    # --- a batch ----------------------------------------------------------------------------------------------------

    def batch(self, batch: Batch, readings: Sequence[Reading], cursor: int, now: datetime, error: Exception) -> None:
        """Half by half, until what cannot be judged stands alone.

        The cursor waits: after a crash all of it comes again, and what was taken already changes nothing.
        """
        if len(readings) == 1:
            self._set_aside(readings[0].device, readings[0].child, now, error, readings[0])
            return
        for half in halves(readings):
            try:
                self._commit(batch, half, cursor, now)
            except Exception as inner:
                if not self.is_to_blame(batch, inner):
                    raise
                self.batch(batch, half, cursor, now, inner)

    def is_to_blame(self, batch: Batch, error: Exception) -> bool:
        """Whether the readings are, and not the database or somebody else who writes to it."""
        if isinstance(error, CursorMoved):
            return False
        if is_a_constraint(error):
            first, times = self._refusals
            self._refusals = (batch.first_seq, times + 1 if first == batch.first_seq else 1)
            return self._refusals[1] > PATIENCE
        return is_in_the_data(error)

    def went_well(self) -> None:
        """A batch was taken: what others had refused before is forgotten."""
        self._refusals = (0, 0)

    # --- a tick -----------------------------------------------------------------------------------------------------

    def tick(self, now: datetime) -> None:
        """Each of them in a transaction of its own: what fails in one holds up no other."""
        if self._try_tick(self._passing.devices, now) is not None:
            self._tick_one_by_one(now)
        for what, part in self._passing.others:
            error = self._try_tick(part, now)
            if error is not None:
                self.tick_failures += 1
            if error is not None and repr(error) != self._tick_errors.get(what):
                log.error("tick_failed", part=what, exc_info=error)  # once: it fails at every tick
            self._tick_errors[what] = repr(error)

    def _try_tick(self, tick: Part, now: datetime) -> Exception | None:
        """Why it fails, where that lies in what it looks at and it would fail again."""
        try:
            with self._transaction(now) as parts:
                tick(now, *parts)
        except Exception as error:
            if not is_in_the_data(error):
                raise
            return error
        return None

    def _tick_one_by_one(self, now: datetime) -> None:
        """Some device cannot be judged: find out which, and leave it out."""
        for id in list(self._devices(now)):
            if id in self._passing.benched:
                continue
            try:
                with self._transaction(now) as parts:
                    self._passing.device(id, now, *parts)
            except Exception as error:
                if not is_in_the_data(error):
                    raise
                self._set_aside(id, "", now, error, None)
                self._passing.benched.add(id)

    def _set_aside(self, device: str, child: str, now: datetime, error: Exception, reading: Reading | None) -> None:
        log.error("set_aside", device=device, child=child, exc_info=error)
        with self._database.write() as connection:
            keep(connection, now=now, device=writable(device), child=writable(child), error=error, reading=reading)
        self.set_aside += 1
