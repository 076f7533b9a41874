"""What a backtest is made of, in words that another process understands: it opens database and history for itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event
from typing import TYPE_CHECKING

from services.backtest.bounds import USUAL, Bounds, bounded
from services.backtest.history import History, history_of
from services.backtest.lanes import Focus, Variant
from services.backtest.report import Cancelled, Progress, Report
from services.backtest.run import room_told, run
from services.database import Database

if TYPE_CHECKING:
    from services.context import Context

Told = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Two sides of one site and a stretch of its history."""

    database_url: str = field(repr=False)
    history: History
    site: str
    old: Variant
    new: Variant
    start: datetime
    end: datetime
    focus: Focus
    bounds: Bounds = USUAL
    """Of what it lists."""

    @room_told()
    def run(self, told: Told) -> Report:
        """Raises BacktestRefused, NoSuchSite, TelemetryUnavailable, NoRoom, WorkerDied, and what `told` raises."""
        with ExitStack() as stack:
            database = Database(self.database_url)
            database.start()
            stack.callback(database.close)
            report = run(
                database,
                self.history.open(stack),
                self.site,
                self.old,
                self.new,
                self.start,
                self.end,
                focus=self.focus,
                history=self.history,
                progress=told,
            )
        return bounded(report, self.bounds)


def recipe_of(
    context: Context,
    *,
    site: str,
    there: Mapping[str, str],
    old: Variant,
    new: Variant,
    start: datetime,
    end: datetime,
    focus: Focus,
) -> Recipe:
    """`there`: the devices of the site -> their profiles. Profiles that nobody there has stay here."""
    used = set(there.values())
    old, new = (
        Variant({id: profile for id, profile in side.library.items() if id in used}, side.book) for side in (old, new)
    )
    return Recipe(
        database_url=context.database.url,
        history=history_of(context.settings),
        site=site,
        old=old,
        new=new,
        start=start,
        end=end,
        focus=focus,
    )


def run_here(recipe: Recipe, told: Told, stopping: Event) -> Report:
    """In this process: for short stretches and where nothing else is to be done. Raises Cancelled too."""

    def watched(progress: Progress) -> None:
        if stopping.is_set():
            raise Cancelled
        told(progress)

    return recipe.run(watched)
