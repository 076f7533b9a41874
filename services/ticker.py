"""Time passes through one door: this thread tells services the time, and does the housekeeping that hangs on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event, Thread
from time import perf_counter

import structlog

from services.clock import Clock

log = structlog.get_logger("courtyard.ticker")


@dataclass
class Chore:
    """Something to do every so often; a failure is counted and tried again next time."""

    name: str
    every: timedelta
    work: Callable[[datetime], object]
    due_at: datetime | None = None
    failures: int = 0
    """How often it failed since start; the log says why."""
    runs: int = 0
    """How often it was begun since start, done or failed."""
    last_seconds: float = 0.0
    """How long it took, done or failed."""
    done_at: datetime | None = None
    """When it was last begun that was then done."""

    def run_if_due(self, now: datetime) -> None:
        # Due times further off than one period are of a clock that has gone back since.
        if self.due_at is not None and now < self.due_at <= now + self.every:
            return
        self.due_at = now + self.every
        self.runs += 1
        began = perf_counter()
        try:
            self.work(now)
            self.done_at = now
        except Exception:  # the loop's edge: one chore must not stop the others
            self.failures += 1
            log.exception("chore_failed", chore=self.name, failures=self.failures)
        self.last_seconds = perf_counter() - began


class Ticker:
    """Runs chores on a thread of its own until stopped."""

    def __init__(self, clock: Clock, chores: list[Chore], *, every_seconds: float = 0.5) -> None:
        self.chores = chores
        self._clock = clock
        self._every = every_seconds
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="ticker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float = 5) -> None:
        """A chore that is under way may go on so long; after that it is left behind."""
        self._stopping.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            now = self._clock.now()
            for chore in self.chores:
                chore.run_if_due(now)
