"""A replay's episodes as a report. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from device_profiles.schema import Text
from gateway.reading import Millis
from services.backtest.compare import by_rule, differences, tally
from services.backtest.lanes import Focus, Lanes
from services.backtest.notes import notes_of
from services.backtest.place import RuleKey, Yard
from services.backtest.report import DeviceResult, Episode, Report, RuleResult, Tally
from services.backtest.task import Stretch, Worked
from services.calm.names import STORMS
from services.rules.book import Misfit


class Side(NamedTuple):
    """What one desk has found."""

    episodes: list[Episode]
    outage_notices: int


@dataclass(frozen=True, kw_only=True)
class Found:
    yard: Yard
    names: Mapping[str, Text]
    """Of devices and places."""
    lanes: Lanes
    focus: Focus
    start: Millis
    stretch: Stretch
    sides: tuple[Side, Side]
    """Old and new."""
    readings: int
    worked: Worked
    total_seconds: float
    processes: int


def report_of(found: Found) -> Report:
    lanes, worked, end = found.lanes, found.worked, found.stretch.end
    old, new = (_reported(found, side.episodes) for side in found.sides)
    quiet = [id for id in lanes.judged if id not in worked.heard]
    engine_seconds = max(0.0, worked.total_seconds - worked.scan_seconds / found.processes)
    return Report(
        site=found.yard.site,
        timezone=found.yard.timezone,
        start=found.start,
        end=end,
        warm_up_from=found.stretch.start,
        grid_seconds=found.stretch.grid / 1000,
        extent="rule" if found.focus.rule is not None else found.focus.extent,
        rule="/".join(found.focus.rule or ()),
        readings=found.readings,
        devices=len(lanes.judged),
        silent_devices=len(quiet),
        rules=tuple(_rules(found, old, new)),
        old=tally(old, found.start, end),
        new=tally(new, found.start, end),
        differences=differences(old, new, end),
        old_outage_notices=found.sides[0].outage_notices,
        new_outage_notices=found.sides[1].outage_notices,
        notes=notes_of(lanes, found.focus, quiet, found.readings, worked.seen),
        misfits=tuple(map(_said, lanes.misfits)),
        scan_seconds=round(worked.scan_seconds, 3),
        engine_seconds=round(engine_seconds, 3),
        total_seconds=round(found.total_seconds, 3),
        processes=found.processes,
    )


def _reported(found: Found, episodes: Iterable[Episode]) -> list[Episode]:
    """Those of the rules that were asked for; a storm belongs to the rule whose alarms it folds."""
    if found.focus.rule is None and found.focus.extent == "all":
        return list(episodes)
    return [one for one in episodes if _rule_of(one) in found.lanes.rules]


def _rule_of(episode: Episode) -> RuleKey:
    return (episode.child if episode.profile == STORMS else episode.profile), episode.rule


def _rules(found: Found, old: Sequence[Episode], new: Sequence[Episode]) -> Iterator[RuleResult]:
    before, after = by_rule(old), by_rule(new)
    names = found.names

    def counted(episodes: Iterable[Episode]) -> Tally:
        return tally(episodes, found.start, found.stretch.end)

    for key in sorted({*found.lanes.rules, *before, *after}):
        rule, mine, others = found.lanes.rules.get(key), before.get(key, {}), after.get(key, {})
        yield RuleResult(
            profile=key[0],
            rule=key[1],
            name=rule.name if rule is not None else Text(zh=key[1], en=key[1]),
            changed=key in found.lanes.changed,
            old=counted(one for some in mine.values() for one in some),
            new=counted(one for some in others.values() for one in some),
            devices=tuple(
                DeviceResult(
                    device=id,
                    name=names.get(id, Text(zh=id, en=id)),
                    old=counted(mine.get(id, ())),
                    new=counted(others.get(id, ())),
                )
                for id in sorted({*mine, *others})
            ),
        )


def _said(misfit: Misfit) -> str:
    where = "/".join(part for part in (misfit.profile, misfit.rule) if part)
    return ": ".join(part for part in (where, misfit.device, misfit.found) if part)
