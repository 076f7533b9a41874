"""A replay's episodes as a report. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from device_profiles.schema import Text
from gateway.reading import Millis
from services.backtest.actual import Actual
from services.backtest.agreement import Known, agreement_of
from services.backtest.compare import by_rule, differences, tally
from services.backtest.lanes import Focus, Lanes
from services.backtest.notes import notes_of
from services.backtest.place import RuleKey, Yard
from services.backtest.report import DeviceResult, Episode, Report, RuleResult, Side, Tally
from services.backtest.task import Stretch, Worked
from services.calm.names import STORMS
from services.rules.book import Misfit


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
    actual: Actual | None
    """What really happened, of all rules."""
    known: Known
    """What may explain where the old side differs from it."""
    readings: int
    influx: bool
    """They came from InfluxDB, which keeps less of them."""
    worked: Worked
    total_seconds: float
    processes: int


def report_of(found: Found) -> Report:
    lanes, worked, end = found.lanes, found.worked, found.stretch.end
    old, new = (_reported(found, side.episodes) for side in found.sides)
    agreed = _compared(found)
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
        rules=tuple(_rules(found, old, new, [] if agreed is None else [one.episode for one in agreed.records])),
        old=tally(old, found.start, end),
        new=tally(new, found.start, end),
        differences=differences(old, new, end),
        old_outage_notices=found.sides[0].outage_notices,
        new_outage_notices=found.sides[1].outage_notices,
        agreement=None
        if agreed is None
        else agreement_of(agreed, old, replace(found.known, quiet=quiet), found.start, end, found.stretch.grid),
        notes=notes_of(lanes, found.focus, quiet, found.readings, worked.seen, found.known.past, influx=found.influx),
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


def _compared(found: Found) -> Actual | None:
    """What really happened, as far as it was replayed."""
    if found.actual is None:
        return None
    wanted = {id(one) for one in _reported(found, (one.episode for one in found.actual.records))}
    return found.actual._replace(records=tuple(one for one in found.actual.records if id(one.episode) in wanted))


def _rule_of(episode: Episode) -> RuleKey:
    return (episode.child if episode.profile == STORMS else episode.profile), episode.rule


def _rules(
    found: Found, old: Sequence[Episode], new: Sequence[Episode], actual: Sequence[Episode]
) -> Iterator[RuleResult]:
    before, after, really = by_rule(old), by_rule(new), by_rule(actual)
    names = found.names

    def counted(episodes: Iterable[Episode]) -> Tally:
        return tally(episodes, found.start, found.stretch.end)

    for key in sorted({*found.lanes.rules, *before, *after, *really}):
        rule, mine, others, real = found.lanes.rules.get(key), *(one.get(key, {}) for one in (before, after, really))
        yield RuleResult(
            profile=key[0],
            rule=key[1],
            name=rule.name if rule is not None else Text(zh=key[1], en=key[1]),
            changed=key in found.lanes.changed,
            old=counted(one for some in mine.values() for one in some),
            new=counted(one for some in others.values() for one in some),
            actual=counted(one for some in real.values() for one in some),
            devices=tuple(
                DeviceResult(
                    device=id,
                    name=names.get(id, Text(zh=id, en=id)),
                    old=counted(mine.get(id, ())),
                    new=counted(others.get(id, ())),
                    actual=counted(real.get(id, ())),
                )
                for id in sorted({*mine, *others, *real})
            ),
        )


def _said(misfit: Misfit) -> str:
    where = "/".join(part for part in (misfit.profile, misfit.rule) if part)
    return ": ".join(part for part in (where, misfit.device, misfit.found) if part)
