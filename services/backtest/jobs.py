"""Backtests that people have asked for: one after the other, in turns of the sites, followed, cancelled, kept a while.

Whoever asked looks at his job again until it is over; nothing waits for it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import structlog

from gateway.telemetry import TelemetryUnavailable

if TYPE_CHECKING:
    from services.backtest.recipe import Recipe
    from services.backtest.report import Progress, Report

log = structlog.get_logger("courtyard.backtest")
Ending = Literal["done", "cancelled", "refused", "unavailable", "no_room", "stalled", "died", "broke"]
ENDINGS: tuple[Ending, ...] = get_args(Ending)
MOST_WAITING = 4
"""Of one site, the one that runs included."""
MOST_KEPT = 30
"""Of one site, of those that are over."""
MOST_LINES = 50_000
"""That the results of all sites hold together: some 60 MB."""
STALLED_AFTER = timedelta(minutes=10)
_CLOSE_SECONDS = 10.0
State = Literal["waiting", "running", "done", "failed", "cancelled"]
Runner = Callable[["Recipe", Callable[["Progress"], None], Event], "Report"]
"""Runs a backtest and tells how far it is; raises Cancelled soon after the event is set."""
UNAVAILABLE = "the telemetry store does not answer; run `courtyard doctor`"
STALLED = (
    "it got no further for too long and was ended; does the disk or the database hang? Run `courtyard doctor`, then "
    "ask again"
)
NO_ROOM = "the disk is full; make room, then ask again"
DIED = "its process ended in the middle; was the machine short of memory? Try a shorter time, or fewer devices"
BROKE = "a mistake of the program; the log of services says more"


class TooManyJobs(Exception):
    """So many of this site are under way that another would wait too long."""

    def __init__(self, site: str, found: int) -> None:
        self.site = site
        self.found = found
        super().__init__(f"{found} backtests of this site are under way; wait for one of them, or cancel it")


@dataclass(kw_only=True)
class Job:
    """One backtest. `report` is there once it is done, `error` (English) where it failed."""

    id: str
    site: str
    start: datetime
    end: datetime
    by: str
    asked_at: datetime
    state: State = "waiting"
    share: float = 0.0
    """0 to 1."""
    readings: int = 0
    left: timedelta | None = None
    """If the rest of what runs is like what was."""
    report: Report | None = None
    error: str = ""
    stopping: Event = field(default_factory=Event, repr=False, compare=False)

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")


@dataclass(kw_only=True)
class Backtest(Job):
    """Asked for by itself; `rule` and `change` as they were written, for people to see them again."""

    rule: str
    change: str


J = TypeVar("J", bound=Job)


class Jobs:
    """One at a time, each in a process of its own (it takes all processors); kept until services end.

    The next is of the site whose turn was longest ago: who asks for four does not keep others waiting for all four.
    """

    def __init__(
        self, runner: Runner | None = None, *, stalled_after: timedelta = STALLED_AFTER, most_lines: int = MOST_LINES
    ) -> None:
        self._most_lines = most_lines
        self._runner = runner or partial(_apart, stalled_after=stalled_after)
        self._kept: OrderedDict[str, Job] = OrderedDict()
        self._waiting: list[tuple[Job, Recipe]] = []
        self._turns = count(1)
        self._last_turn: Counter[str] = Counter()
        self._lock = Lock()
        self._worker: Thread | None = None
        self._closed = False
        self.ends: Counter[Ending] = Counter()
        """How those that ran have ended."""

    def start(self, job: J, recipe: Recipe) -> J:
        """Raises TooManyJobs."""
        with self._lock:
            under_way = sum(1 for one in self._kept.values() if one.site == job.site and not one.is_over)
            if under_way >= MOST_WAITING:
                raise TooManyJobs(job.site, under_way)
            self._kept[job.id] = job
            self._waiting.append((job, recipe))
            self._forget(job.site)
            if self._worker is None and not self._closed:
                self._worker = Thread(target=self._work, name="backtests", daemon=True)
                self._worker.start()
        return job

    def get(self, id: str, kind: type[J]) -> J | None:
        """None where there is none (any more: only the newest are kept, and none when services start again)."""
        with self._lock:
            found = self._kept.get(id)
        return found if isinstance(found, kind) else None

    def of_sites(self, sites: frozenset[str] | None, kind: type[J]) -> list[J]:
        """Newest first; None: of all sites."""
        with self._lock:
            found = list(reversed(self._kept.values()))
        return [one for one in found if isinstance(one, kind) and (sites is None or one.site in sites)]

    def cancel(self, id: str) -> None:
        """One that waits is over at once, one that runs soon; one that is over stays as it is."""
        with self._lock:
            job = self._kept.get(id)
            if job is None or job.is_over:
                return
            job.stopping.set()
            if job.state == "waiting":
                job.state = "cancelled"
                self._waiting = [one for one in self._waiting if one[0] is not job]

    def ahead_of(self, job: Job) -> int:
        """How many may come before it: what runs, and one of each other site or all of its own that wait longer."""
        with self._lock:
            if job.state != "waiting":
                return 0
            running = sum(1 for one in self._kept.values() if one.state == "running")
            waiting = [one for one, _ in self._waiting]
            return running + sum(1 for one in waiting[: waiting.index(job)] if one is not job)

    def close(self) -> None:
        """Cancel all and wait until the process of the one that runs has ended. What is asked from now on waits."""
        with self._lock:
            self._closed = True
            ids, worker = list(self._kept), self._worker
        for id in ids:
            self.cancel(id)
        if worker is not None:
            worker.join(_CLOSE_SECONDS)

    def _forget(self, site: str) -> None:
        over = [one.id for one in self._kept.values() if one.is_over and one.site == site]
        for id in over[: max(0, len(over) - MOST_KEPT)]:
            del self._kept[id]

    def _make_room(self, newest: Job) -> None:
        """The oldest results go, first those of the site that holds the most; the newest stays however large."""
        held: dict[str, list[Job]] = defaultdict(list)
        for one in self._kept.values():
            if one.report is not None and one is not newest:
                held[one.site].append(one)
        lines = {site: sum(map(_lines, some)) for site, some in held.items()}
        while lines and sum(lines.values()) + _lines(newest) > self._most_lines:
            site = max(lines, key=lambda site: lines[site])
            oldest = held[site].pop(0)
            lines[site] -= _lines(oldest)
            if not held[site]:
                del lines[site]
            del self._kept[oldest.id]

    def _work(self) -> None:
        while (found := self._next()) is not None:
            self._do(*found)

    def _next(self) -> tuple[Job, Recipe] | None:
        """Of the site whose turn was longest ago the oldest; None ends the thread."""
        with self._lock:
            if not self._waiting:
                self._worker = None
                return None
            found = min(self._waiting, key=lambda one: self._last_turn[one[0].site])
            self._waiting.remove(found)
            self._last_turn[found[0].site] = next(self._turns)
            found[0].state = "running"
            return found

    def _do(self, job: Job, recipe: Recipe) -> None:
        def told(progress: Progress) -> None:
            job.share, job.readings, job.left = progress.share, progress.readings, progress.left

        try:
            report = self._runner(recipe, told, job.stopping)
        except Exception as error:  # the edge of a thread
            ending, job.error = _why(error, job.site)
            self.ends[ending] += 1
            job.state = "cancelled" if ending == "cancelled" else "failed"
            return
        job.report, job.share, job.readings = report, 1.0, report.readings
        with self._lock:
            self._make_room(job)
        self.ends["done"] += 1
        job.state = "done"


def _lines(job: Job) -> int:
    return 0 if job.report is None else job.report.lines


def _why(error: Exception, site: str) -> tuple[Ending, str]:
    """How it ended, and what is said of it to who asked."""
    # Imported here: whoever only builds a context needs none of it.
    from services.backtest.parallel import WorkerDied
    from services.backtest.report import Cancelled, NoRoom
    from services.backtest.stalling import Stalled

    match error:
        case Cancelled():
            return "cancelled", ""
        case ValueError():  # BacktestRefused, NoSuchSite: they say what was expected
            return "refused", str(error)
        case TelemetryUnavailable():
            return "unavailable", UNAVAILABLE
        case NoRoom():
            log.warning("backtest_no_room", site=site, why=str(error))
            return "no_room", NO_ROOM
        case Stalled():
            log.warning("backtest_stalled", site=site, why=str(error))
            return "stalled", STALLED
        case WorkerDied():
            log.warning("backtest_died", site=site, why=str(error))
            return "died", DIED
    log.error("backtest_failed", site=site, exc_info=error)
    return "broke", BROKE


def _apart(recipe: Recipe, told: Callable[[Progress], None], stopping: Event, *, stalled_after: timedelta) -> Report:
    from services.backtest.apart import run_apart

    return run_apart(recipe, told, stopping, stalled_after)
