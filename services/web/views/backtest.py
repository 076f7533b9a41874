"""What the pages of backtests show. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from device_profiles.expression import ExpressionError, names_of, parse
from device_profiles.schema import DeviceProfile, Rule
from gateway.reading import Millis
from services.backtest.report import Difference, Episode, Report, RuleResult, Tally
from services.clock import from_millis
from services.web.i18n import Language, Translations
from services.web.pages import format as fmt
from services.web.views.board import label_of

_MOST_DEVICES, _MOST_EPISODES = 20, 40
_LONGEST_CHART: Millis = 7 * 86_400_000
_AROUND: Millis = 1_800_000
Times = tuple[datetime, datetime | None]


@dataclass(frozen=True)
class Line:
    """One thing that is counted, old and new, in words; `tone` says whether it became less or more."""

    what: str
    old: str
    new: str
    change: str
    tone: str


@dataclass(frozen=True)
class RuleLines:
    name: str
    rule: str
    changed: bool
    lines: tuple[Line, ...]
    devices: tuple[tuple[str, str, tuple[Line, ...]], ...]
    """(id, name, lines) of those that differ."""
    more_devices: int


@dataclass(frozen=True)
class Drawn:
    """The episodes of one rule on one device or child that differ, and the curve to draw them on."""

    device: str
    device_name: str
    part: str
    """What the child is called; "" for the device itself."""
    rule: str
    url: str
    """"" where the rule reads no metric: there is no curve."""
    title: str
    spans: str
    """JSON for the chart script: [[from, to, "old" | "new"], …]."""
    episodes: tuple[Shown, ...]


@dataclass(frozen=True)
class Shown:
    """One difference with its times: (raised, cleared or None), or None where a side has no such episode."""

    kind: str
    old: Times | None
    new: Times | None


def lines(old: Tally, new: Tally, t: Translations) -> tuple[Line, ...]:
    counts = [
        (t.gettext("Alarms"), "alarms"),
        (t.gettext("Tickets"), "tickets"),
        (t.gettext("Notices"), "notices"),
        (t.gettext("Flapping"), "flaps"),
        (t.gettext("Suppressed"), "suppressed"),
        (t.gettext("Folded under a storm"), "folded"),
        (t.gettext("On trial"), "shadow"),
    ]
    found = [_counted(word, getattr(old, name), getattr(new, name)) for word, name in counts]
    return (*found[:4], _active(old, new, t), *(one for one in found[4:] if one.old != "0" or one.new != "0"))


def _counted(what: str, old: int, new: int) -> Line:
    change = "" if old == new else f"{new - old:+d}".replace("-", "\u2212")
    return Line(what, str(old), str(new), change, _tone(new - old))


def _active(old: Tally, new: Tally, t: Translations) -> Line:
    before, after = (timedelta(seconds=round(one.active_seconds)) for one in (old, new))
    less = after < before
    change = "" if before == after else ("\u2212" if less else "+") + fmt.duration(abs(after - before), t)
    told = [fmt.duration(one, t) if one else "0" for one in (before, after)]
    return Line(t.gettext("Time in alarm"), told[0], told[1], change, _tone((after - before).total_seconds()))


def _tone(change: float) -> str:
    return "ok" if change < 0 else "warn" if change > 0 else ""


def rules(report: Report, t: Translations, language: Language) -> list[RuleLines]:
    """Those with something to say."""
    shown = [one for one in report.rules if one.changed or one.old != one.new or any(vars(one.old).values())]
    return [_rule(one, t, language) for one in shown]


def _rule(one: RuleResult, t: Translations, language: Language) -> RuleLines:
    differing = [device for device in one.devices if device.old != device.new]
    return RuleLines(
        name=one.name.in_(language),
        rule=f"{one.profile}/{one.rule}",
        changed=one.changed,
        lines=lines(one.old, one.new, t),
        devices=tuple(
            (device.device, device.name.in_(language), lines(device.old, device.new, t))
            for device in differing[:_MOST_DEVICES]
        ),
        more_devices=max(0, len(differing) - _MOST_DEVICES) + one.more_differing,
    )


def drawn(report: Report, library: Mapping[str, DeviceProfile], language: Language) -> list[Drawn]:
    """By device, child and rule, those with the most differences first."""
    groups: dict[tuple[str, str, str, str], list[Difference]] = {}
    for one in report.differences:
        groups.setdefault(one.either.key, []).append(one)
    names = {device.device: device.name.in_(language) for rule in report.rules for device in rule.devices}
    chosen = sorted(groups.items(), key=lambda item: -len(item[1]))[:_MOST_DEVICES]
    return [_drawn(report, key, found, library, names, language) for key, found in chosen]


def _drawn(
    report: Report,
    key: tuple[str, str, str, str],
    every: list[Difference],
    library: Mapping[str, DeviceProfile],
    names: Mapping[str, str],
    language: Language,
) -> Drawn:
    device, child, profile, rule = key
    known, found = library.get(profile), every[:_MOST_EPISODES]
    own = next((one for one in known.rules if one.id == rule), None) if known is not None else None
    metrics = metrics_of(known, own) if known is not None and own is not None else ()
    start, end = _window(report, found)
    query = "".join(f"&metric={name}" for name in metrics)
    return Drawn(
        device=device,
        device_name=names.get(device, device),
        part=label_of(profile, child, library, language),
        rule=own.name.in_(language) if own is not None else rule,
        url=f"/devices/{quote(device)}/history?child={quote(child)}&start={start}&end={end}{query}" if metrics else "",
        title=" · ".join(known.metrics[name].name.in_(language) for name in metrics) if known is not None else "",
        spans=json.dumps([*_spans(found, end)]),
        episodes=tuple(map(_shown, found)),
    )


def _shown(one: Difference) -> Shown:
    return Shown(one.kind, episode_times(one.old), episode_times(one.new))


def episode_times(episode: Episode | None) -> Times | None:
    """(raised, cleared), None where there is none."""
    if episode is None:
        return None
    return from_millis(episode.raised_at), None if episode.cleared_at is None else from_millis(episode.cleared_at)


def metrics_of(profile: DeviceProfile, rule: Rule) -> tuple[str, ...]:
    """The metrics of its own scope that a rule reads."""
    try:
        read = parse(rule.when, names_of(profile, rule.scope)).names
    except ExpressionError:
        return ()
    return tuple(name for name, metric in profile.metrics.items() if name in read and metric.scope == rule.scope)


def _window(report: Report, found: Iterable[Difference]) -> tuple[Millis, Millis]:
    """Around the episodes: on a curve of a whole week one of a minute is a hair."""
    episodes = [one for pair in found for one in (pair.old, pair.new) if one is not None]
    start = max(report.start, min(one.raised_at for one in episodes) - _AROUND)
    end = min(report.end, max(one.cleared_at or report.end for one in episodes) + _AROUND)
    return start, min(end, start + _LONGEST_CHART)


def _spans(found: Iterable[Difference], end: Millis) -> Iterable[tuple[Millis, Millis, str]]:
    for one in found:
        for side, episode in (("old", one.old), ("new", one.new)):
            if episode is not None:
                yield episode.raised_at, episode.cleared_at or end, side
