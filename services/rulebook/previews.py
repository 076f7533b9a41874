"""Backtests that were asked for before a change is shipped: run one after the other, kept while services run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Literal

import structlog

from gateway.telemetry import TelemetryUnavailable
from services.ids import new_id
from services.rules.book import RuleBook

if TYPE_CHECKING:
    from services.backtest import Progress, Report, Sources

log = structlog.get_logger("courtyard.rulebook")
MOST_KEPT = 50
MOST_WAITING = 4
State = Literal["waiting", "running", "done", "failed"]
Run = Callable[..., "Report"]


@dataclass(kw_only=True)
class Preview:
    """One backtest of a change. `report` is there once it is done."""

    id: str
    site: str
    began_with: int
    """The version that was in force."""
    content: Mapping[str, Any]
    """The book that was tried."""
    start: datetime
    end: datetime
    by: str
    asked_at: datetime
    state: State = "waiting"
    share: float = 0.0
    report: Report | None = None
    error: str = ""

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed")


class TooManyPreviews(Exception):
    """Backtests take a processor each; the others come first."""


class Previews:
    """Backtests run on a thread of their own, one at a time; the newest are kept."""

    def __init__(self, run: Run | None = None) -> None:
        self._run = run or _backtest
        self._kept: OrderedDict[str, Preview] = OrderedDict()
        self._lock = Lock()
        self._turn = Lock()
        self.failures = 0

    def start(
        self,
        sources: Sources,
        *,
        site: str,
        began_with: int,
        old: RuleBook,
        new: RuleBook,
        content: Mapping[str, Any],
        start: datetime,
        end: datetime,
        by: str,
        now: datetime,
    ) -> Preview:
        """Ask for one; look at it again until it `is_over`. Raises TooManyPreviews."""
        asked = Preview(
            id=new_id(now),
            site=site,
            began_with=began_with,
            content=content,
            start=start,
            end=end,
            by=by,
            asked_at=now,
        )
        with self._lock:
            if sum(1 for one in self._kept.values() if not one.is_over) >= MOST_WAITING:
                raise TooManyPreviews(f"{MOST_WAITING} backtests are under way; wait until one of them is done")
            self._kept[asked.id] = asked
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        Thread(target=self._work, args=(sources, asked, old, new), name="rule book preview", daemon=True).start()
        return asked

    def get(self, id: str) -> Preview | None:
        """None where there is none (any more: they are not kept when services start again)."""
        with self._lock:
            return self._kept.get(id)

    def _work(self, sources: Sources, asked: Preview, old: RuleBook, new: RuleBook) -> None:
        def told(progress: Progress) -> None:
            asked.share = progress.share

        with self._turn:
            asked.state = "running"
            try:
                asked.report = self._run(sources, asked.site, old, new, asked.start, asked.end, told)
            except ValueError as refused:  # BacktestRefused, NoSuchSite: they say what was expected
                asked.error = str(refused)
            except TelemetryUnavailable:
                asked.error = "the telemetry store does not answer; run `courtyard doctor`"
            except Exception as error:  # the edge of a thread
                self.failures += 1
                asked.error = f"it failed: {type(error).__name__}; the log of services says why"
                log.error("preview_failed", site=asked.site, exc_info=error)
            asked.state = "done" if asked.report is not None else "failed"


def _backtest(sources: Sources, *asked: Any) -> Report:
    # Imported here: whoever only builds a context needs none of it.
    from services.backtest import preview

    return preview(sources, *asked)


def summary_of(done: Preview) -> dict[str, Any]:
    """What is kept with the version that was shipped after it."""
    report = done.report
    assert report is not None, "only what is done is shipped"
    return {
        "id": done.id,
        "by": done.by,
        "start": done.start.isoformat(),
        "end": done.end.isoformat(),
        "readings": report.readings,
        "old": _tally(report.old),
        "new": _tally(report.new),
        "rules": [
            {"profile": one.profile, "rule": one.rule, "old": _tally(one.old), "new": _tally(one.new)}
            for one in report.rules
            if one.changed or one.old != one.new
        ],
    }


def _tally(tally: Any) -> dict[str, Any]:
    return {name: getattr(tally, name) for name in ("alarms", "tickets", "notices", "flaps", "active_seconds")}
