"""Backtests that people have asked for: run one after the other on a thread, followed, cancelled, kept for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Literal

import structlog

from gateway.telemetry import TelemetryUnavailable
from services.ids import new_id

if TYPE_CHECKING:
    from services.backtest.report import Progress, Report

log = structlog.get_logger("courtyard.backtest")
MOST_KEPT, MOST_WAITING = 30, 4
State = Literal["waiting", "running", "done", "failed", "cancelled"]
Work = Callable[[Callable[["Progress"], None]], "Report"]
"""Runs a backtest and tells how far it is."""


class TooManyBacktests(Exception):
    """So many are under way that another would wait too long."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What was asked, for people to see it again."""

    site: str
    start: datetime
    end: datetime
    rule: str
    change: str
    """As it was written."""
    by: str


@dataclass(kw_only=True)
class Job:
    """One backtest. `report` is there once it is done, `error` where it failed."""

    id: str
    wish: Wish
    asked_at: datetime
    state: State = "waiting"
    share: float = 0.0
    readings: int = 0
    report: Report | None = None
    error: str = ""
    stopping: Event = field(default_factory=Event)

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")


class Backtests:
    """One at a time: each takes all processors. The newest are kept until services start again."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Job] = OrderedDict()
        self._lock = Lock()
        self._turn = Lock()
        self.failures = 0
        """Ended by what nobody had thought of; the log says why."""

    def start(self, wish: Wish, work: Work, now: datetime) -> Job:
        """Raises TooManyBacktests."""
        job = Job(id=new_id(now), wish=wish, asked_at=now)
        with self._lock:
            if sum(1 for one in self._kept.values() if not one.is_over) >= MOST_WAITING:
                raise TooManyBacktests(f"{MOST_WAITING} backtests are under way; wait for one of them, or cancel it")
            self._kept[job.id] = job
            for old in [one.id for one in self._kept.values() if one.is_over][: max(0, len(self._kept) - MOST_KEPT)]:
                del self._kept[old]
        Thread(target=self._work, args=(job, work), name="backtest", daemon=True).start()
        return job

    def get(self, id: str) -> Job | None:
        with self._lock:
            return self._kept.get(id)

    def of_sites(self, sites: frozenset[str] | None) -> list[Job]:
        """Newest first; None: of all sites."""
        with self._lock:
            return [one for one in reversed(self._kept.values()) if sites is None or one.wish.site in sites]

    def cancel(self, id: str) -> Job | None:
        """It ends at its next step; one that is over stays as it is."""
        job = self.get(id)
        if job is not None:
            job.stopping.set()
        return job

    def _work(self, job: Job, work: Work) -> None:
        from services.backtest.report import Cancelled

        def told(progress: Progress) -> None:
            if job.stopping.is_set():
                raise Cancelled
            job.share, job.readings = progress.share, progress.readings

        with self._turn:
            try:
                if job.stopping.is_set():
                    raise Cancelled
                job.state = "running"
                job.report = work(told)
                job.state = "done"
            except Cancelled:
                job.state = "cancelled"
            except (ValueError, TelemetryUnavailable) as refused:  # they say what to do
                job.error, job.state = str(refused), "failed"
            except Exception as error:  # the edge of a thread
                self.failures += 1
                job.error = f"{type(error).__name__}; the log of services says more"
                log.error("backtest_failed", site=job.wish.site, exc_info=error)
                job.state = "failed"
