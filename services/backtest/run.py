"""One backtest from beginning to end: read the site, replay its history, count both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from time import perf_counter
from typing import Protocol

from sqlalchemy.exc import OperationalError

from device_profiles.schema import DeviceProfile
from gateway.telemetry import TelemetryStore, TelemetryUnavailable
from gateway.telemetry.sqlite import SqliteTelemetry
from services.backtest import parallel
from services.backtest.actual import Actual, late_readings, oldest_notice, read_actual
from services.backtest.agreement import Known
from services.backtest.desk import Desk
from services.backtest.history import History, Readable, history_of
from services.backtest.lanes import EVERYTHING, Focus, Lanes, Variant, build
from services.backtest.past import Past
from services.backtest.past_store import read_past
from services.backtest.place import SIDES, RuleKey, Yard
from services.backtest.report import NoRoom, Progress, Report
from services.backtest.result import Found, report_of
from services.backtest.several import ids_of_rules
from services.backtest.task import Stretch, Task, Worked, replay
from services.backtest.world import World, load_world
from services.clock import from_millis, to_millis
from services.database import Database
from services.groups.rule import SITE_RULES
from services.room import is_want_of_room
from services.rules import book_store
from services.rules.book import RuleBook

GRID = timedelta(seconds=30)
_LONGEST_WARM_UP = timedelta(days=2)
"""What rules need to warm up is not known before the site is read; windows that were over by then change nothing."""
_WORTH_A_PROCESS = timedelta(days=2)
"""Device time: below, to start a process takes longer than it saves."""
Told = Callable[[Progress], None]


class BacktestRefused(ValueError):
    """What was asked cannot be replayed; says what was expected."""


@contextmanager
def room_told() -> Iterator[None]:
    """Nothing is written, yet a reader of SQLite needs some room beside the file. Raises NoRoom."""
    try:
        yield
    except (TelemetryUnavailable, OperationalError, OSError) as error:
        if is_want_of_room(error):
            raise NoRoom(f"the disk is full ({error.__cause__ or error}); make room, then do it again") from error
        raise


class Sources(Protocol):
    """Where a site and its history are read; services.context.Context is one."""

    @property
    def database(self) -> Database: ...
    @property
    def library(self) -> Mapping[str, DeviceProfile]: ...
    @property
    def telemetry(self) -> TelemetryStore: ...


def preview(
    context: Sources,
    site: str,
    old: RuleBook,
    new: RuleBook,
    start: datetime,
    end: datetime,
    progress: Told | None = None,
) -> Report:
    """What `new` would have done at this site between start and end, beside `old`: the rules that differ, and what
    they suppress.

    `progress` is called now and then; it may raise Cancelled to stop. Raises BacktestRefused, NoSuchSite,
    TelemetryUnavailable.
    """
    return run(
        context.database,
        context.telemetry,
        site,
        Variant(context.library, old),
        Variant(context.library, new),
        start,
        end,
        focus=Focus("affected"),
        history=_history_of(context),
        progress=progress,
    )


def _history_of(context: Sources) -> History | None:
    from services.context import Context  # imported here: a context keeps the backtests that were asked for

    return history_of(context.settings) if isinstance(context, Context) else None


@room_told()
def run(
    database: Database,
    store: Readable,
    site: str,
    old: Variant,
    new: Variant,
    start: datetime,
    end: datetime,
    *,
    focus: Focus = EVERYTHING,
    grid: timedelta = GRID,
    history: History | None = None,
    processes: int | None = None,
    progress: Told | None = None,
) -> Report:
    """As `preview`, over any two sets of profiles. With `history`, other processes help where it is worth while:
    `processes` of them, or as many as there are cores. Raises BacktestRefused, NoSuchSite, TelemetryUnavailable,
    NoRoom."""
    if start >= end:
        raise BacktestRefused(f"the end must be after the beginning; found {start.isoformat()} to {end.isoformat()}")
    began = perf_counter()
    with database.read() as connection:
        world = load_world(connection, site, start - _LONGEST_WARM_UP, end)
    _check(focus.rule, world.yard, old, new)
    old, new = (_of_site(side, world.yard) for side in (old, new))
    lanes = build(world.yard, old, new, focus)
    stretch = Stretch(to_millis(start) - lanes.warm_up, to_millis(end), round(grid.total_seconds() * 1000))
    past = _past(database, world, lanes, stretch, end)
    task = Task(
        yard=lanes.over_several.alone(world.yard),
        old=old,
        new=new,
        focus=focus,
        stretch=stretch,
        devices=tuple(lanes.judged),
        past=past,
        gateways=world.yard.gateways if focus.rule is None and focus.extent == "all" else (),
        windows=world.memory.windows,
    )
    tasks = _split(task, processes) if history is not None else [task]
    desks = [
        Desk(
            lane,
            world.empty_memory(lanes.sides[lane], lanes.over_several, lane),
            side.library,
            to_millis(start),
            past,
        )
        for lane, side in zip(SIDES, (old, new), strict=True)
    ]
    worked, reached = Worked(), Progress(0, stretch.start, 0.0)

    def looked() -> None:
        """It goes on, though it is no further."""
        if progress is not None:
            progress(reached._replace(seconds=perf_counter() - began))

    several = history is not None and len(tasks) > 1
    slots = (
        parallel.run(tasks, history, worked, looked)
        if history and several
        else replay(task, lanes, store, worked, looked)
    )
    with closing(slots):
        for slot in slots:
            for desk in desks:
                desk.follow(slot)
            reached = Progress(reached.readings + slot.readings, slot.now, stretch.share(slot.now))
            looked()
    actual, known = _really(database, world, lanes, past, start, end)
    found = Found(
        yard=world.yard,
        names={id: card.name for id, card in world.memory.cards.items()},
        lanes=lanes,
        focus=focus,
        start=to_millis(start),
        stretch=stretch,
        actual=actual,
        known=known,
        sides=(desks[0].found(), desks[1].found()),
        readings=reached.readings,
        influx=not isinstance(store, SqliteTelemetry),
        worked=worked,
        total_seconds=perf_counter() - began,
        processes=len(tasks),
    )
    return report_of(found)


def _split(task: Task, processes: int | None) -> list[Task]:
    span = timedelta(milliseconds=task.stretch.end - task.stretch.start) * len(task.devices)
    if processes is None and span < _WORTH_A_PROCESS:
        return [task]
    return parallel.split(task, task.devices, processes or parallel.cores())


def _past(database: Database, world: World, lanes: Lanes, stretch: Stretch, end: datetime) -> Past:
    with database.read() as connection:
        return read_past(
            connection,
            world.yard.site,
            gateways={place.gateway for place in world.yard.places} | set(world.yard.gateways),
            devices=lanes.judged.keys(),
            moments=lanes.moments,
            start=from_millis(stretch.start),
            end=end,
        )


def _really(
    database: Database, world: World, lanes: Lanes, past: Past, start: datetime, end: datetime
) -> tuple[Actual, Known]:
    """What really happened in that time, and what may explain where the replay differs from it."""
    site = world.yard.site
    with database.read() as connection:
        known = Known(
            past=past,
            rules=lanes.rules,
            by_silence=lanes.by_silence,
            reach=lanes.reach,
            quiet=(),
            late=late_readings(connection, site, start, end),
            gateways={place.id: place.gateway for place in world.yard.places},
            versions=tuple(reversed(book_store.list_versions(connection, site))),
            notices_since=oldest_notice(connection, site),
        )
        return read_actual(connection, site, start, end), known


def _check(rule: RuleKey | None, yard: Yard, old: Variant, new: Variant) -> None:
    if rule is None:
        return
    profile, id = rule
    if profile == SITE_RULES:
        ids = ids_of_rules(yard)
        if id not in ids:
            raise BacktestRefused(
                f"the site file has no rule {id!r} over several devices; expected one of: {', '.join(ids) or 'none'}"
            )
        return
    here = sorted({place.profile for place in yard.places})
    if profile not in here:
        raise BacktestRefused(
            f"no device here has the profile {profile!r}; expected one of: {', '.join(here) or 'none'}"
        )
    known = sorted({one.id for side in (old, new) if profile in side.library for one in side.library[profile].rules})
    if id not in known:
        raise BacktestRefused(f"profile {profile} has no rule {id!r}; expected one of: {', '.join(known) or 'none'}")


def _of_site(side: Variant, yard: Yard) -> Variant:
    """Without the profiles that nobody there has: they need not go to other processes."""
    here = {place.profile for place in yard.places}
    return Variant({id: profile for id, profile in side.library.items() if id in here}, side.book)
