"""One backtest from beginning to end: read the site, replay its history, count both sides."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from time import perf_counter
from typing import Protocol

from device_profiles.schema import DeviceProfile, Text
from gateway.reading import Millis, Reading
from gateway.telemetry import TelemetryStore
from services.backtest import lanes as lanes_of
from services.backtest.compare import by_rule, differences, tally
from services.backtest.desk import Desk
from services.backtest.lanes import Lane, Lanes, Variant
from services.backtest.notes import notes_of
from services.backtest.order import as_heard
from services.backtest.replay import Replay, Slot
from services.backtest.report import DeviceResult, Episode, Progress, Report, RuleResult, Tally
from services.backtest.world import World, load_world
from services.clock import to_millis
from services.database import Database
from services.rules.book import Misfit, RuleBook

GRID = timedelta(seconds=30)
Told = Callable[[Progress], None]


class BacktestRefused(ValueError):
    """What was asked cannot be replayed; says what was expected."""


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
    """What `new` would have done at this site between start and end, beside `old`.

    `progress` is called every few thousand readings; it may raise Cancelled to stop. Raises BacktestRefused,
    NoSuchSite, TelemetryUnavailable.
    """
    library = context.library
    return run(context, site, Variant(library, old), Variant(library, new), start, end, progress=progress)


def run(
    context: Sources,
    site: str,
    old: Variant,
    new: Variant,
    start: datetime,
    end: datetime,
    *,
    rule: str = "",
    grid: timedelta = GRID,
    progress: Told | None = None,
) -> Report:
    """As `preview`, over any two sets of profiles. `rule`: "profile/rule", to judge only that one."""
    if start >= end:
        raise BacktestRefused(f"the end must be after the beginning; found {start.isoformat()} to {end.isoformat()}")
    began = perf_counter()
    with context.database.read() as connection:
        world = load_world(connection, site, end)
    lanes = lanes_of.build(world, old, new, _only(rule, world, old, new))
    return _Run(context, world, lanes, old, new, to_millis(start), to_millis(end), grid, rule, began).report(progress)


def _only(rule: str, world: World, old: Variant, new: Variant) -> Collection[tuple[str, str]]:
    if not rule:
        return ()
    profile, _, id = rule.partition("/")
    here = sorted({place.profile for place in world.places})
    if profile not in here:
        raise BacktestRefused(
            f"--rule: expected PROFILE/RULE with a profile of this site ({', '.join(here)}), found {rule!r}"
        )
    known = sorted({one.id for side in (old, new) if profile in side.library for one in side.library[profile].rules})
    if id not in known:
        raise BacktestRefused(f"--rule: profile {profile} has no rule {id!r}; expected one of: {', '.join(known)}")
    return {(profile, id)}


class _Run:
    def __init__(
        self,
        context: Sources,
        world: World,
        lanes: Lanes,
        old: Variant,
        new: Variant,
        start: Millis,
        end: Millis,
        grid: timedelta,
        rule: str,
        began: float,
    ) -> None:
        self._context = context
        self._world = world
        self._lanes = lanes
        self._start, self._end = start, end
        self._from = start - lanes.warm_up
        self._grid = grid
        self._rule = rule
        self._began = began
        self._scan_seconds = 0.0
        self._readings = 0
        self._heard: set[str] = set()
        self._desks = {
            lane: Desk(lane, world.empty_memory(lanes.sides[lane]), dict(side.library), start)
            for lane, side in ((Lane.OLD, old), (Lane.NEW, new))
        }

    def report(self, progress: Told | None) -> Report:
        replay = Replay(
            lanes=self._lanes, start=self._from, end=self._end, grid=round(self._grid.total_seconds() * 1000)
        )
        for slot in replay.run(self._parts()):
            self._follow(slot)
            if progress is not None and (slot.readings or slot.now >= self._end):
                share = (slot.now - self._from) / (self._end - self._from)
                progress(Progress(self._readings, slot.now, min(1.0, share)))
        return self._counted()

    def _parts(self) -> Iterable[list[Reading]]:
        devices = [
            id for id, states in self._lanes.states.items() if any(_judges(state.profile) for _, state in states)
        ]
        parts = iter(as_heard(self._context.telemetry.scan(devices=devices, start=self._from, end=self._end)))
        while True:
            before = perf_counter()
            part = next(parts, None)
            self._scan_seconds += perf_counter() - before
            if part is None:
                return
            self._heard.update(reading.device for reading in part)
            yield part

    def _follow(self, slot: Slot) -> None:
        self._readings += slot.readings
        for desk in self._desks.values():
            desk.follow(slot.now, slot.fired)

    def _counted(self) -> Report:
        old, new = (self._desks[lane].episodes() for lane in (Lane.OLD, Lane.NEW))
        total = perf_counter() - self._began
        return Report(
            site=self._world.site,
            timezone=self._world.timezone,
            start=self._start,
            end=self._end,
            warm_up_from=self._from,
            grid_seconds=self._grid.total_seconds(),
            rule=self._rule,
            readings=self._readings,
            devices=len(self._world.places),
            silent_devices=sum(1 for place in self._world.places if place.id not in self._heard),
            rules=self._rules(old, new),
            old=self._tally(old),
            new=self._tally(new),
            differences=differences(old, new, self._end),
            notes=notes_of(self._lanes.rules),
            misfits=tuple(map(_said, self._lanes.misfits)),
            scan_seconds=round(self._scan_seconds, 3),
            engine_seconds=round(total - self._scan_seconds, 3),
            total_seconds=round(total, 3),
        )

    def _tally(self, episodes: Iterable[Episode]) -> Tally:
        return tally(episodes, self._start, self._end)

    def _rules(self, old: list[Episode], new: list[Episode]) -> tuple[RuleResult, ...]:
        before, after = by_rule(old), by_rule(new)
        names = {place.id: place.name for place in self._world.places}
        found = []
        for key in sorted({*self._lanes.rules, *before, *after}):
            rule = self._lanes.rules.get(key)
            devices = sorted({*before.get(key, {}), *after.get(key, {})})
            found.append(
                RuleResult(
                    profile=key[0],
                    rule=key[1],
                    name=rule.name if rule is not None else Text(zh=key[1], en=key[1]),
                    changed=key in self._lanes.changed,
                    old=self._tally(one for some in before.get(key, {}).values() for one in some),
                    new=self._tally(one for some in after.get(key, {}).values() for one in some),
                    devices=tuple(
                        DeviceResult(
                            device=id,
                            name=names.get(id, Text(zh=id, en=id)),
                            old=self._tally(before.get(key, {}).get(id, ())),
                            new=self._tally(after.get(key, {}).get(id, ())),
                        )
                        for id in devices
                    ),
                )
            )
        return tuple(found)


def _judges(profile: object) -> bool:
    return profile is not None


def _said(misfit: Misfit) -> str:
    where = f"{misfit.profile}/{misfit.rule}" + (f" on {misfit.device}" if misfit.device else "")
    return f"{where}: {misfit.found}"
