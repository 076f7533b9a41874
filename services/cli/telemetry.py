"""`courtyard telemetry`: the time series, its levels, and ways out of it."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway.reading import Millis, Reading
from services.cli import app
from services.cli.console import Console
from services.cli.installed import file_of, folder_of, open_installed, readable
from services.cli.shared import errors, explained, settings_with
from services.cli.times import wall
from services.clock import SystemClock, from_millis, to_millis

if TYPE_CHECKING:
    from device_profiles.telemetry import Level
    from gateway.telemetry.influx import InfluxTelemetry
    from gateway.telemetry.influxql import InfluxQl
    from gateway.telemetry.rollup import Rollup
    from services.settings import Settings
    from services.telemetry_status import TelemetryStatus

telemetry = typer.Typer(
    no_args_is_help=True, help="The time series: set up InfluxDB, see how it stands, sum up again, copy, export."
)
app.add_typer(telemetry, name="telemetry")
out = Console(highlight=False, soft_wrap=True)

Data = Annotated[Path | None, typer.Option("--data", help="Courtyard's data folder.")]
Url = Annotated[str | None, typer.Option("--influx-url", help="InfluxDB; default: COURTYARD_INFLUX_URL.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object for programs.")]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="Beginning (UTC), such as 2026-03-01 or '2026-03-01 08:00'."),
]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="End, not included (UTC); default: now.")]


@telemetry.command("setup")
@explained
def setup(
    url: Url = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what there is to do, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the database and its levels in InfluxDB 1 or 2, and let them keep what the settings say.

    Three levels: as measured (COURTYARD_INFLUX_RAW_DAYS), of five minutes (COURTYARD_INFLUX_5M_DAYS) and of an hour
    (COURTYARD_INFLUX_1H_DAYS). In InfluxDB 1 they are retention policies of the database telemetry, in InfluxDB 2 the
    buckets telemetry, telemetry/5m and telemetry/1h. Doing it twice changes nothing. Services do the same at their
    start; where their token may not, run this with one that may: an administrator's.

    [bold]Example[/bold]: COURTYARD_INFLUX_TOKEN=$(cat admin-token) courtyard telemetry setup --dry-run
    """
    from gateway.telemetry.retention import look
    from services.rollup import wanted_levels

    settings = _with_influx(settings_with(influx_url=url))
    with _asking(settings) as ql:
        token, org = settings.influx_token.strip(), settings.influx_org
        found = look(ql, url=settings.influx_url, token=token, org=org, levels=wanted_levels(settings))
        for change in found.changes:
            if not as_json:
                out.print(f"{'would ' if dry_run else ''}{escape(change.said)}")
            if not dry_run:
                change.carry_out()
    if as_json:
        changes = [change.said for change in found.changes]
        print(json.dumps({"version": found.version, "dry_run": dry_run, "changes": changes}, indent=1))
    elif not found.changes:
        out.print(f"InfluxDB {escape(found.version)} has all levels, and they keep what the settings say.")
    elif not dry_run:
        out.print(f"[green]Done.[/green] InfluxDB {escape(found.version)} is set up.")


@telemetry.command("status")
@explained
def status(data: Data = None, url: Url = None, as_json: AsJson = False) -> None:
    """How the time series stands: versions, levels with their oldest and newest points, series, what waits.

    What waits is that of journals in this data folder: the gateway's, and that of services which store for gateways
    elsewhere. With the embedded time series: its file.
    """
    from services.telemetry_status import of_embedded, of_influx, waiting

    settings = settings_with(data_dir=data, influx_url=url)
    if settings.influx_url:
        with _asking(settings) as ql, out.status("Asking InfluxDB …"):
            found = of_influx(ql)
    else:
        with readable(file_of(settings, "telemetry.db")) as path:
            found = of_embedded(path)
    wait = waiting(settings.data_dir)
    if as_json:
        print(json.dumps({**found.plain(), "waiting": wait}, indent=1))
        return
    _print_status(found)
    out.print(f"{wait} journal entries wait for it." if wait else "Nothing waits for it.")


def _print_status(found: TelemetryStatus) -> None:
    out.print(f"[bold]{escape(found.store)}[/bold]" + (f", {found.series} series" if found.series is not None else ""))
    table = Table("Level", "Oldest", "Newest", "Summed up until", box=None)
    for level in found.levels:
        table.add_row(level.name, *(_shown(at) for at in (level.oldest, level.newest, level.until)))
    out.print(table)


def _shown(at: Millis | None) -> str:
    return "–" if at is None else from_millis(at).strftime("%Y-%m-%d %H:%M:%SZ")


@telemetry.command("rollup")
@explained
def rollup(begin: From = None, end: To = None, data: Data = None, url: Url = None, as_json: AsJson = False) -> None:
    """Sum up five minutes and hours, now.

    Services do this all the time, and take late readings in by themselves. By hand it is for what other programs have
    written: with --from and --to that time is summed up again from what was measured, as far as it is kept. Without
    them what is due is done.
    """
    from device_profiles.telemetry import FIVE_MINUTES, HOURLY
    from gateway.telemetry.rollup import Rollup
    from services.profiles import load_library

    settings = _with_influx(settings_with(data_dir=data, influx_url=url))
    if end is not None and begin is None:
        raise ValueError("found --to without --from, expected both: say where to begin")
    now = SystemClock().now()
    span = _span(begin, end, now) if begin else None
    points: dict[str, int] = {}
    with ExitStack() as stack:
        ql = stack.enter_context(_asking(settings))
        store = _writing(stack, settings)
        work = Rollup(ql, store.post, load_library(settings))
        for level in (FIVE_MINUTES, HOURLY):
            with out.status(f"Summing up {level.name} …"):
                points[level.name] = _again(work, level, *span) if span else _due(work, level, now)
    if as_json:
        print(json.dumps({"points": points}))
    else:
        out.print(", ".join(f"{count} points of {name}" for name, count in points.items()) + " written.")


def _again(work: Rollup, level: Level, start: Millis, until: Millis) -> int:
    return sum(work.again(level, start, until))


def _span(begin: str | None, end: str | None, now: datetime) -> tuple[Millis, Millis]:
    """The last day, where nothing is said. Raises ValueError."""
    until = _millis("--to", end) if end else to_millis(now)
    start = _millis("--from", begin) if begin else until - 86_400_000
    if start >= until:
        raise ValueError(f"--from must be before --to; found {_shown(start)} and {_shown(until)}")
    return start, until


def _due(work: Rollup, level: Level, now: datetime) -> int:
    points = 0
    while (done := work.run_level(level, now)).behind:
        points += done.points
    return points + done.points


@telemetry.command("refused")
@explained
def refused(
    data: Data = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=20_000, help="How many, newest first.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """Values that InfluxDB does not take, with the reason, newest first.

    A value of another type than its profile says, a name that the database cannot hold, a reading older than what is
    kept: they are set aside, and everything else is stored. Mend the profile or the device; values that were set aside
    are not written again.
    """
    from gateway.telemetry.refused import FILE, listing, total

    with readable(folder_of(settings_with(data_dir=data)) / FILE) as path:
        entries = listing(path, limit)
    for entry in entries:
        when, which = _shown(entry.measured_at), f"{entry.device}/{entry.child}" if entry.child else entry.device
        if as_json:
            plain = {name: getattr(entry, name) for name in entry.__struct_fields__}
            print(json.dumps(plain, ensure_ascii=False))
            continue
        out.print(f"{when}  [bold]{escape(which)}[/bold]  {escape(entry.measurement)} {escape(entry.field)}")
        out.print(f"    {escape(entry.reason)}" + (f": {escape(entry.value)}" if entry.value else ""))
    if not as_json:
        out.print(f"{total(path)} were set aside in all." if entries else "Nothing was set aside.")


@telemetry.command("export")
@explained
def export(
    devices: Annotated[list[str], typer.Argument(metavar="DEVICE...", help="Ids of devices.", show_default=False)],
    begin: From = None,
    end: To = None,
    file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Where to; default: standard output.")
    ] = None,
    data: Data = None,
    url: Url = None,
) -> None:
    """Readings as they were measured, as CSV: a line for each value, in order of time.

    Columns: time (UTC), device, child, metric, value, quality, received (UTC). Default: the last day.

    [bold]Example[/bold]: courtyard telemetry export booster-1 --from 2026-03-01 --to 2026-03-02 --csv pump.csv
    """
    settings = settings_with(data_dir=data, influx_url=url)
    start, until = _span(begin, end, SystemClock().now())
    with ExitStack() as stack:
        readings = iter(_scan(stack, settings, devices, start, until))
        first = list(islice(readings, 1))  # before anything is written: the store may be away
        # utf-8-sig: Excel takes plain UTF-8 for something else, and Chinese names for noise.
        target = stack.enter_context(file.open("w", newline="", encoding="utf-8-sig")) if file else sys.stdout
        writer = csv.writer(target)
        writer.writerow(("time", "device", "child", "metric", "value", "quality", "received"))
        count = 0
        for reading in chain(first, readings):
            writer.writerows(_rows(reading))
            count += len(reading.values)
    if not count:
        errors.print(
            f"No value of {escape(', '.join(devices))} from {from_millis(start):%Y-%m-%d %H:%MZ} to "
            f"{from_millis(until):%Y-%m-%d %H:%MZ}. The id stands on the device's page; --from and --to say when.",
            highlight=False,
        )
    if file:
        out.print(f"{count} values written to {escape(str(file))}.")


def _rows(reading: Reading) -> Iterator[tuple[object, ...]]:
    at, received = (from_millis(one).isoformat(timespec="milliseconds") for one in _times(reading))
    for metric, value in reading.values.items():
        shown = "" if value is None else _no_formula(value) if isinstance(value, str) else value
        yield (
            at,
            _no_formula(reading.device),
            _no_formula(reading.child),
            metric,
            shown,
            reading.quality.value,
            received,
        )


def _times(reading: Reading) -> tuple[Millis, Millis]:
    return reading.measured_at, reading.received_at


def _no_formula(text: str) -> str:
    """Words come from devices; a spreadsheet must not run them."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


@telemetry.command("copy")
@explained
def copy(
    data: Data = None,
    url: Url = None,
    begin: From = None,
    again: Annotated[
        bool, typer.Option("--again", help="From the beginning, also where an earlier copy was stopped.")
    ] = False,
) -> None:
    """Copy the embedded time series into InfluxDB, when a site moves there.

    Set COURTYARD_INFLUX_URL first and start Courtyard again, so that new readings go to InfluxDB; then copy, while it
    runs. Stopped with ctrl-C or by a failure it goes on there the next time. What is older than the level as measured
    keeps (COURTYARD_INFLUX_RAW_DAYS) is left out: raise that setting before, if it matters. Five minutes and hours
    are summed up from the copy by services.
    """
    from gateway.telemetry.copying import copy as copied
    from gateway.telemetry.sqlite_scan import contents

    settings = _with_influx(settings_with(data_dir=data, influx_url=url))
    path, mark = file_of(settings, "telemetry.db"), settings.data_dir / "telemetry-copied.json"
    span = contents(path)[1]
    if span is None:
        out.print("The embedded time series is empty.")
        return
    start, end = span[0], span[1] + 1
    if begin is None and not again and mark.exists():
        start = max(start, int(json.loads(mark.read_text())["until"]))
    start = max(start, _millis("--from", begin) if begin else start, _oldest_kept(settings))
    if start > span[0]:
        out.print(f"From {_shown(start)}; the file begins at {_shown(span[0])}.")
    with ExitStack() as stack:
        store = _writing(stack, settings)
        bar = stack.enter_context(_progress())
        task = bar.add_task("", total=max(1, end - start))
        done = 0
        for step in copied(path, store, start, max(start, end)):
            done = step.readings
            bar.update(task, completed=step.until - start, description=f"{done} readings, until {_shown(step.until)}")
            mark.write_text(json.dumps({"until": step.until}))
    out.print(f"{done} readings copied.")
    if store.set_aside.count:
        out.print(f"{store.set_aside.count} values were ever set aside: see `courtyard telemetry refused`.")


def _oldest_kept(settings: Settings) -> Millis:
    return to_millis(SystemClock().now() - timedelta(days=settings.influx_raw_days) + timedelta(minutes=5))


def _progress() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=out, transient=True)


# --- what commands share ----------------------------------------


def _with_influx(settings: Settings) -> Settings:
    if not settings.influx_url:
        raise ValueError("COURTYARD_INFLUX_URL is not set: the time series is a file in the data folder")
    return settings


@contextmanager
def _asking(settings: Settings) -> Iterator[InfluxQl]:
    from gateway.telemetry import TelemetryUnavailable
    from gateway.telemetry.influxql import InfluxQl

    try:
        with InfluxQl(settings.influx_url, settings.influx_token.strip(), settings.influx_org) as ql:
            yield ql
    except TelemetryUnavailable as error:
        step = "is InfluxDB running there, and are COURTYARD_INFLUX_URL and COURTYARD_INFLUX_TOKEN right?"
        raise ValueError(f"{error}\n{settings.influx_url.rpartition('@')[2]}: {step}") from error


def _writing(stack: ExitStack, settings: Settings) -> InfluxTelemetry:
    """The writing half, as services have it: devices stand where the database says."""
    from services.influx import make_influx
    from services.profiles import load_library
    from services.sites.known import KnownDevices

    database = open_installed(stack, settings)
    store = make_influx(settings, SystemClock(), load_library(settings), KnownDevices(database).registry)
    store.start()
    stack.callback(store.close)
    return store


def _scan(
    stack: ExitStack, settings: Settings, devices: Collection[str], start: Millis, end: Millis
) -> Iterator[Reading]:
    if settings.influx_url:
        from gateway.telemetry.influx_read import InfluxReader

        return InfluxReader(stack.enter_context(_asking(settings))).scan(devices=devices, start=start, end=end)
    from gateway.telemetry.sqlite import SqliteTelemetry

    path = stack.enter_context(readable(file_of(settings, "telemetry.db")))
    return SqliteTelemetry(path).scan(devices=devices, start=start, end=end)


def _millis(option: str, text: str) -> Millis:
    """UTC, with or without saying so."""
    return to_millis(wall(option, text.removesuffix("Z").removesuffix("+00:00")).replace(tzinfo=UTC))
