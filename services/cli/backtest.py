"""`courtyard backtest`: what other rules would have done."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from services.cli import app
from services.cli.console import Console
from services.cli.installed import open_installed, the_site
from services.cli.shared import errors, explained, settings_with
from services.cli.times import wall
from services.clock import SystemClock, from_millis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from device_profiles.schema import DeviceProfile
    from services.backtest import Difference, Report, Tally, Variant
    from services.backtest.place import RuleKey
    from services.backtest.report import Progress as Told
    from services.database import Database

out = Console(highlight=False, soft_wrap=True)
_COLUMNS = ("alarms", "tickets", "notices", "flaps", "time in alarm", "suppressed", "folded")
_SELDOM = ("flaps", "suppressed", "folded")
_MOST_LISTED = 40
_MOST_DEVICES = 12
_KINDS = {
    "only_old": "gone",
    "only_new": "new",
    "moved": "moved",
    "changed": "told otherwise",
}


@app.command("backtest")
@explained
def backtest(
    site: Annotated[str, typer.Option("--site", help="The site's id; may be left out where there is one.")] = "",
    begin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="On the site's clock: 2026-03-01 or '2026-03-01 08:00'; default: a day before --to.",
        ),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Its end, on the site's clock; default: now.")
    ] = None,
    rule: Annotated[
        str, typer.Option("--rule", metavar="PROFILE/RULE", help="Judge this rule alone, such as booster_set/low.")
    ] = "",
    change: Annotated[
        Path | None,
        typer.Option("--with", metavar="FILE", help="The change: part of a rule book, or a whole profile (YAML)."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="With --with: judge also the rules that it does not touch.")
    ] = False,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, max=8, help="Default: one for each core.", show_default=False)
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Courtyard's data folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for programs.")] = False,
) -> None:
    """Replay a site's history under the rules that are live, beside changed ones, and count both.

    It only reads, from the embedded time series or InfluxDB, and may run while Courtyard does. Before the time that is
    counted, rules warm up on what came before. Without --with it says what the live rules would have done.

    The file of --with says what the site's rule book would say:

      rules:  {booster_set: {pressure_low: {for: 5m, severity: major}}}
      params: {booster_set: {loss_margin: 0.12}}

    or, with --rule, that rule's new words alone: {for: 5m}. Or it is a whole profile in the place of the one that is
    loaded. `when`, `for`, `clear_when`, `clear_for`, `severity`, `mode` (live, shadow, off), `grades`, `schedule`,
    `flapping`, `acknowledge_within` and `suppressed_by` can be changed.

    Exit codes: 0 it ran, 1 it could not (the reason is said), 2 there is no Courtyard where it looked, or the command
    line cannot be understood.

    [bold]Example[/bold]: courtyard backtest --site yard --from 2026-03-01 --to 2026-03-08 --with calmer.yaml
    """
    from services.backtest import Focus, run
    from services.backtest.history import history_of
    from services.backtest.stalling import watched
    from services.profiles import load_library

    settings = settings_with(data_dir=data)
    with ExitStack() as stack:
        database = open_installed(stack, settings)
        site, zone = the_site(database, site)
        devices = _devices(database, site)
        start, until = _stretch(begin, end, zone)
        key = _rule_key(rule)
        live = _live(database, load_library(settings), site)
        new = live if change is None else _changed(live, change, key, devices)
        focus = Focus("affected" if change is not None and not everything else "all", key)
        history = history_of(settings)
        store = history.open(stack)
        stalled_after = timedelta(seconds=settings.backtest_stalled_after)
        with _bar(quiet=as_json) as bar, watched(stalled_after, partial(_end, bar)) as alive:
            task = bar.add_task("reading", total=1.0, left="")

            def told(progress: Told) -> None:
                reached = from_millis(progress.until).astimezone(zone)
                said = f"{progress.readings:,} readings, {reached:%m-%d %H:%M}"
                bar.update(task, completed=progress.share, description=said, left=_left(progress.left))
                alive()

            report: Report = run(
                database,
                store,
                site,
                live,
                new,
                start,
                until,
                focus=focus,
                history=history,
                processes=processes,
                progress=told,
            )
    if as_json:
        print(json.dumps(report.to_json(), ensure_ascii=False))
    else:
        _print(report, zone, compared=change is not None)


# --- what is asked ----------------------------------------


def _devices(database: Database, site: str) -> dict[str, str]:
    """The profiles of its devices by id."""
    from sqlalchemy import select

    from services.tables import devices

    there = select(devices.c.id, devices.c.profile).where(devices.c.site == site, devices.c.retired_at.is_(None))
    with database.read() as connection:
        return {row.id: row.profile for row in connection.execute(there)}


def _stretch(begin: str | None, end: str | None, zone: ZoneInfo) -> tuple[datetime, datetime]:
    now = SystemClock().now()
    until = now.astimezone(zone) if end is None else wall("--to", end).replace(tzinfo=zone)
    start = until - timedelta(days=1) if begin is None else wall("--from", begin).replace(tzinfo=zone)
    if start > now:
        raise ValueError(f"--from lies in the future; found {start:%Y-%m-%d %H:%M}: a backtest replays what has been")
    if start >= until:
        raise ValueError(f"--from must be before --to; found {start:%Y-%m-%d %H:%M} and {until:%Y-%m-%d %H:%M}")
    return start, until


def _rule_key(rule: str) -> RuleKey | None:
    if not rule:
        return None
    profile, slash, id = rule.partition("/")
    if not slash or not profile or not id:
        raise ValueError(f"--rule: expected PROFILE/RULE such as booster_set/pressure_low, found {rule!r}")
    return profile, id


def _live(database: Database, library: Mapping[str, DeviceProfile], site: str) -> Variant:
    from services.backtest import Variant
    from services.rules import book_store

    with database.read() as connection:
        return Variant(library, book_store.newest(connection, site).book)


def _changed(live: Variant, change: Path, rule: RuleKey | None, devices: dict[str, str]) -> Variant:
    from services.backtest.change import with_change

    if not change.exists():
        raise ValueError(f"--with: found no file {change}, expected part of a rule book or a whole profile (YAML)")
    return with_change(live, change.read_text(encoding="utf-8"), name=str(change), rule=rule, devices=devices)


def _bar(*, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        console=errors,
        transient=True,
        disable=quiet,
    )


def _end(bar: Progress, stalled: Exception) -> None:
    """What hangs cannot be interrupted: the process ends, and with it those that help."""
    bar.stop()
    errors.print(f"[bold red]Error[/bold red] {escape(str(stalled))}", highlight=False, soft_wrap=True)
    os._exit(1)


def _left(span: timedelta | None) -> str:
    """By all that has been replayed: the last seconds alone would say another thing with each look."""
    return "" if span is None else f"about {_time(span.total_seconds())} left"


# --- what is said ----------------------------------------


def _print(report: Report, zone: ZoneInfo, *, compared: bool) -> None:
    times = (report.start, report.end, report.warm_up_from)
    begin, end, warm_up = (from_millis(at).astimezone(zone) for at in times)
    out.print(f"[bold]{escape(report.site)}[/bold]  {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} {report.timezone}")
    out.print(
        f"{report.readings:,} readings of {_many(report.devices, 'device')}, {report.readings_per_second:,} a second"
        f" ({_many(report.processes, 'process')}, warm-up from {warm_up:%m-%d %H:%M})"
    )
    if report.rules:
        out.print(_table(report, compared=compared))
    if compared:
        _print_differences(report, zone)
    if report.agreement is not None and report.readings:
        from services.cli.agreement_said import print_agreement

        print_agreement(out, report.agreement, report.old, zone)
    for misfit in report.misfits:
        out.print(f"[yellow]not fitting[/yellow] {escape(misfit)}")
    for note in report.notes:
        out.print(f"[dim]{escape(note.text.en)}[/dim]", soft_wrap=True)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}{'es' if what.endswith('s') else 's'}"


def _table(report: Report, *, compared: bool) -> Table:
    """Devices stand under their rule, and a column of which every cell is 0 is left out: it fits a narrow terminal."""
    # Names are typed into the next command, so they are never cut.
    shown = _columns(report)
    table = Table(Column("rule", overflow="fold"), *shown, box=None, pad_edge=False)

    def row(name: str, old: Tally, new: Tally) -> None:
        cells = dict(zip(_COLUMNS, _cells(old, new, compared=compared), strict=True))
        table.add_row(name, *(cells[column] for column in shown))

    for rule in report.rules:
        if rule.old == rule.new and not any(vars(rule.old).values()) and not rule.changed:
            continue
        name = f"{rule.profile}/{rule.rule}" + (" *" if rule.changed else "")
        row(f"[bold]{escape(name)}[/bold]", rule.old, rule.new)
        # Compared: those that differ; alone: those with something to say. The sums hold all of them.
        devices = [one for one in rule.devices if not compared or one.old != one.new]
        for device in devices[:_MOST_DEVICES]:
            row(f"  {escape(device.device)}", device.old, device.new)
        if len(devices) > _MOST_DEVICES:
            table.add_row(f"  … and {len(devices) - _MOST_DEVICES} more")
    row("[bold]in sum[/bold]", report.old, report.new)
    outages = (report.old_outage_notices, report.new_outage_notices)
    if any(outages):
        told = _cell(*outages, compared=compared)
        table.add_row("about outages", *(told if column == "notices" else "" for column in shown))
    return table


def _columns(report: Report) -> list[str]:
    some = {column for column in _SELDOM if getattr(report.old, column) or getattr(report.new, column)}
    return [column for column in _COLUMNS if column not in _SELDOM or column in some]


def _cells(old: Tally, new: Tally, *, compared: bool) -> list[str]:
    counts = [(getattr(old, name), getattr(new, name)) for name in ("alarms", "tickets", "notices", "flaps")]
    cells = [_cell(*pair, compared=compared) for pair in counts]
    seconds = (old.active_seconds, new.active_seconds)
    cells.append(
        _time(seconds[1])
        if not compared or seconds[0] == seconds[1]
        else f"{_time(seconds[0])} | {_time(seconds[1])}{_coloured(round(seconds[1] - seconds[0]), _time)}"
    )
    return cells + [
        _cell(getattr(old, name), getattr(new, name), compared=compared) for name in ("suppressed", "folded")
    ]


def _cell(old: int, new: int, *, compared: bool) -> str:
    if not compared or old == new:
        return str(new)
    return f"{old} | {new}{_coloured(new - old, str)}"


def _coloured(change: int, shown: object) -> str:
    """What has become less is green: fewer interruptions. Whether that is right is for people to say."""
    assert callable(shown)
    colour, sign = ("green", "-") if change < 0 else ("red", "+")
    return f" [{colour}]{sign}{shown(abs(change))}[/{colour}]"


def _time(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}h{minutes:02}" if hours else f"{minutes}m{rest:02}" if minutes else f"{rest}s"


def _print_differences(report: Report, zone: ZoneInfo) -> None:
    if not report.differences:
        out.print("No episode differs.")
        return
    names = (Column("rule", overflow="fold"), Column("device", overflow="fold"))
    table = Table(Column("difference", min_width=10), *names, "old", "new", box=None, pad_edge=False)
    for one in report.differences[:_MOST_LISTED]:
        table.add_row(*_difference(one, zone))
    out.print(table)
    left = len(report.differences) - _MOST_LISTED
    if left > 0:
        out.print(f"… and {left} more; --json lists all.")


def _difference(one: Difference, zone: ZoneInfo) -> tuple[str, ...]:
    episode = one.either
    device = f"{episode.device}/{episode.child}" if episode.child else episode.device
    times = []
    for side in (one.old, one.new):
        if side is None:
            times.append("–")
            continue
        begin = from_millis(side.raised_at).astimezone(zone)
        end = "…" if side.cleared_at is None else f"{from_millis(side.cleared_at).astimezone(zone):%H:%M:%S}"
        times.append(f"{begin:%m-%d %H:%M:%S} – {end}")
    return _KINDS[one.kind], escape(f"{episode.profile}/{episode.rule}"), escape(device), *times
