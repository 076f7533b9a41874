"""`courtyard bench`: the figures of docs/performance.md, measured on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from services.cli import app
from services.cli.console import Console
from services.cli.shared import explained

bench = typer.Typer(
    no_args_is_help=True, help="Measure this machine; a real Mosquitto (for telemetry: InfluxDB) must be installed."
)
app.add_typer(bench, name="bench")
AsJson = Annotated[bool, typer.Option("--json", help="Figures as one JSON object.")]


@bench.command()
@explained
def ingest(
    messages: Annotated[int, typer.Option("--messages", min=1000, help="How many messages to publish.")] = 200_000,
    as_json: AsJson = False,
) -> None:
    """QoS 1 messages of 1,000 devices, eight JSON fields each: decode, journal, acknowledge."""
    from services.bench import ingest as measured

    with Console(stderr=True).status(f"Publishing {messages} messages…"):
        figures = measured.run(messages)
    _show(figures, as_json)


@bench.command()
@explained
def alarm(
    alarms: Annotated[int, typer.Option("--alarms", min=10, help="How many alarms to time.")] = 300,
    background: Annotated[int, typer.Option("--background", min=0, help="Messages a second beside them.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """From publish to the ticket committed and the webhook received, under background load."""
    from services.bench import alarm as measured

    with Console(stderr=True).status(f"Raising {alarms} alarms over {background} messages/s…"):
        figures = measured.run(alarms=alarms, background=background)
    _show(figures, as_json)


@bench.command()
@explained
def decode(as_json: AsJson = False) -> None:
    """Microseconds per message and codec, in memory."""
    from services.bench import decode as measured

    _show(measured.measure(), as_json)


@bench.command()
@explained
def telemetry(
    points: Annotated[int, typer.Option("--points", min=8000, help="How many values to write; eight a reading.")] = (
        4_000_000
    ),
    backlog: Annotated[
        int,
        typer.Option("--backlog", min=0, help="Readings a second of which ten minutes wait and are drained; 0: none."),
    ] = 1000,
    as_json: AsJson = False,
) -> None:
    """From the journal to a real InfluxDB, on one core of ours; beside it what that database takes at most.

    Debian's `influxdb` (apt-get install influxdb) is started in a folder of its own and thrown away afterwards. `lost`
    is what was in the journal and is not in the database.
    """
    from services.bench import telemetry as measured

    with Console(stderr=True).status("Counting lines…") as status:
        figures = measured.run(points=points, backlog_rate=backlog, report=status.update)
    _show(figures, as_json)


@bench.command()
@explained
def sums(
    devices: Annotated[int, typer.Option("--devices", min=180, help="Of 180 a site.")] = 18_000,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, help="How often each is summed up; the best one counts.")
    ] = 3,
    as_json: AsJson = False,
) -> None:
    """How long five minutes and an hour of a district take to be summed up: every metric and part of its devices.

    Debian's `influxdb` is started in a folder of its own, filled, and thrown away; filling takes some minutes.
    """
    from services.bench import sums as measured

    with Console(stderr=True).status("Filling InfluxDB…") as status:
        figures = measured.run(devices=devices, rounds=rounds, report=status.update)
    _show(figures, as_json)


@bench.command()
@explained
def dashboards(
    devices: Annotated[int, typer.Option("--devices", min=1080, help="Of 180 a site.")] = 18_000,
    days: Annotated[int, typer.Option("--days", min=3, help="Of the hourly level.")] = 30,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often each query is asked.")] = 5,
    thin: Annotated[int, typer.Option("--thin", min=1, help="Fill sites not shown with every N-th point only.")] = 1,
    as_json: AsJson = False,
) -> None:
    """How long each panel's query takes: a district of devices in a real InfluxDB, a site shown hourly and as measured.

    Debian's `influxdb` is started in a folder of its own, filled, asked and thrown away; filling takes some minutes.
    """
    from services.bench import dashboards as measured

    with Console(stderr=True).status("Filling InfluxDB…") as status:
        figures = measured.run(devices=devices, days=days, rounds=rounds, thin=thin, report=status.update)
    _show(figures, as_json)


@bench.command()
@explained
def rules(
    devices: Annotated[int, typer.Option("--devices", min=100, help="How many devices, of five rules each.")] = 18_000,
    readings: Annotated[int, typer.Option("--readings", min=1000, help="How many readings a round.")] = 100_000,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="The best of so many counts.")] = 5,
    as_json: AsJson = False,
) -> None:
    """What one reading costs the rule engine, the state of its device included, on one core.

    `by_devices` is the same in microseconds with 1,000, 10,000 and 100,000 devices: it does not grow with them.
    """
    from services.bench import rules as measured

    with Console(stderr=True).status("Judging…") as status:
        figures = measured.measure(devices=devices, readings=readings, rounds=rounds, report=status.update)
    _show(figures, as_json)


@bench.command()
@explained
def storm(
    devices: Annotated[int, typer.Option("--devices", min=50, help="How many of them fail.")] = 5000,
    database: Annotated[
        str, typer.Option("--database", metavar="URL", help="An empty PostgreSQL database; default: SQLite.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Thousands of devices of a site fail within one second: until it is decided who hears of what.

    `decided_p99_ms` is the time until alarm, ticket, outage and notices of 99 in 100 of them are committed,
    counted from the moment when all their readings waited. More than ten alarms of one rule are one storm: one ticket.
    """
    from services.bench import storm as measured

    with Console(stderr=True).status(f"{devices} devices fail…"):
        figures = measured.run(devices, database)
    _show(figures, as_json)


@bench.command()
@explained
def backtest(
    readings: Annotated[int, typer.Option("--readings", min=10_000, help="How long a history to make.")] = 1_000_000,
    as_json: AsJson = False,
) -> None:
    """How fast history is replayed: pump sets in the embedded time series, one rule made calmer, then all rules.

    `readings_per_second` is stored readings replayed under old and new rules, end to end, with a process per core.
    """
    from services.bench import backtest as measured

    with Console(stderr=True).status(f"Writing {readings} readings…") as status:
        figures = measured.measure(readings=readings, report=status.update)
    _show(figures, as_json)


@bench.command()
@explained
def history(
    folder: Annotated[Path, typer.Argument(help="A new folder for it.", metavar="FOLDER", show_default=False)],
    devices: Annotated[int, typer.Option("--devices", min=1, help="Pump sets, each with a reading a minute.")] = 500,
    days: Annotated[int, typer.Option("--days", min=1, help="How far back from the last midnight, UTC.")] = 30,
    as_json: AsJson = False,
) -> None:
    """A data folder with a long history, to run `courtyard backtest --data FOLDER` on at full size.

    Every set loses its pressure for 20 minutes, once in 33 hours. The default takes some minutes and 4 GB of disk.
    """
    from services.bench import history as made
    from services.clock import SystemClock

    midnight = SystemClock().now().replace(hour=0, minute=0, second=0, microsecond=0)
    shape = made.Shape(devices, days, midnight)
    with Progress(*Progress.get_default_columns(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Storing readings…", total=shape.readings)
        figures = made.make(folder, shape, lambda stored: bar.update(task, completed=stored))
    _show(figures, as_json)


def _show(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures))
        return
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, str(value))
    Console().print(table)
