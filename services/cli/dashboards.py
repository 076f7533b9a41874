"""`courtyard dashboards`: Grafana's view of the device profiles, and whether the databases answer it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from device_profiles import library
from services.cli import app
from services.cli.console import Console
from services.cli.shared import explained
from services.clock import SystemClock
from services.settings import Settings

if TYPE_CHECKING:
    from dashboards.answerers import Influx, Tables
    from dashboards.check import Answer

dashboards = typer.Typer(no_args_is_help=True, help="Build Grafana dashboards from device profiles, and check them.")
app.add_typer(dashboards, name="dashboards")
Profiles = Annotated[
    list[Path] | None,
    typer.Argument(metavar="FOLDER", help="Folders of your own profiles; without any, the shipped ones."),
]


@dashboards.command("build")
def build(
    profiles: Profiles = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the JSON files go, in a folder per language; default: with the package.")
    ] = None,
) -> None:
    """Write the dashboards: every profile and family, site, district, tickets, data quality, Courtyard; zh and en."""
    # Imported here: Grafana's library takes most of a second, and no other command needs it.
    from dashboards.build import GENERATED, write_all

    try:
        loaded = library.load(*(profiles or [library.SHIPPED]))
    except library.ProfileMistakes as mistakes:
        for mistake in mistakes.mistakes:
            typer.echo(str(mistake), err=True)
        raise typer.Exit(1) from None
    for file in write_all(loaded, out or GENERATED):
        typer.echo(str(file))


@dashboards.command("check")
@explained
def check(
    profiles: Profiles = None,
    influx: Annotated[
        str | None, typer.Option(help="http://HOST:8086 of the InfluxDB; default: COURTYARD_INFLUX_URL.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="postgresql://… of the product; default: COURTYARD_DATABASE_URL.")
    ] = None,
    site: Annotated[list[str] | None, typer.Option(help="Ids of sites to ask about; default: all.")] = None,
    board: Annotated[str, typer.Option(help='Only dashboards whose uid has this in it, such as "family-".')] = "",
    resolution: Annotated[str, typer.Option(help="autogen (as measured), 5m or 1h.")] = "autogen",
    hours: Annotated[float, typer.Option(min=0.1, help="How far back, from now or from --end.")] = 6,
    end: Annotated[datetime | None, typer.Option(help="The end of the time asked about, UTC; default: now.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A query that finds nothing fails as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Every query with its rows and seconds as JSON.")] = False,
) -> None:
    """Ask every query of every dashboard of your own databases, as Grafana would: rows, time and errors of each.

    A panel that Grafana shows empty, slow or in error is found here with the query it asks. Nothing is changed.
    """
    from dashboards.build import all_boards
    from dashboards.check import Language, ask, chosen, questions

    settings = Settings()
    loaded = library.load(library.SHIPPED, *(profiles or []))
    boards = [one for _, one in all_boards(loaded, "en") if board in one["uid"]]
    until = end.replace(tzinfo=UTC) if end is not None else SystemClock().now()
    with ExitStack() as stack:
        series = _influx(stack, influx or settings.influx_url, settings.influx_token)
        tables = _tables(stack, database or settings.database_url)
        if series is None and tables is None:
            raise ValueError(
                "no database to ask: set COURTYARD_INFLUX_URL or COURTYARD_DATABASE_URL (postgresql://…), or give "
                "--influx or --database. Time series and tickets in SQLite are on Courtyard's own pages; Grafana does "
                "not reach them"
            )
        sites = site or [*(tables.sites() if tables else []), *(series.sites() if series else [])]
        if not sites:
            raise typer.BadParameter("expected a site in the databases, found none: nothing has been stored yet")
        family = series.family(sites) if series else ""
        what = chosen(resolution, sites=list(dict.fromkeys(sites)), family=family, end=until, hours=hours)
        given = {language: one for language, one in ((Language.INFLUXQL, series), (Language.SQL, tables)) if one}
        with Console(stderr=True).status(f"Asking {len(boards)} dashboards…"):
            found = list(ask((one for each in boards for one in questions(each)), what, given))
    _show(found, as_json=as_json, whole=strict)
    if any(one.error or (strict and not one.rows) for one in found):
        raise typer.Exit(1)


def _influx(stack: ExitStack, url: str, token: str) -> Influx | None:
    from dashboards.answerers import Influx

    if not url:
        return None
    series = Influx(url, token)
    stack.callback(series.close)
    return series


def _tables(stack: ExitStack, url: str) -> Tables | None:
    from dashboards.answerers import Tables

    if not url.startswith("postgres"):
        return None  # dashboards ask PostgreSQL; SQLite has no datasource in Grafana
    tables = Tables(url)
    stack.callback(tables.close)
    return tables


def _without_devices(found: Iterable[Answer]) -> dict[str, str]:
    """Title by uid of the dashboards none of whose panels found anything or failed: of devices that are not here."""
    titles: dict[str, str] = {}
    speaking = set()
    for one in found:
        asked = one.question
        titles[asked.uid] = asked.board
        if one.error or (one.rows and not asked.where.startswith(("variable ", "annotation "))):
            speaking.add(asked.uid)
    return {uid: title for uid, title in titles.items() if uid not in speaking}


def _show(found: Sequence[Answer], *, as_json: bool, whole: bool) -> None:
    """`whole`: also the dashboards whose panels all found nothing, which are only named otherwise."""
    if as_json:
        print(json.dumps([_plain(one) for one in found], ensure_ascii=False))
        return
    table = Table("dashboard", "panel", "query", "rows", "ms", "")
    silent = {} if whole else _without_devices(found)
    for one in found:
        asked = one.question
        if asked.uid in silent:
            continue
        word = f"[red]{one.error}[/red]" if one.error else ("" if one.rows else "[yellow]nothing[/yellow]")
        table.add_row(asked.board, asked.where, asked.ref, str(one.rows), f"{one.seconds * 1000:.0f}", word)
    if table.row_count:
        Console().print(table)
    if silent:
        names = escape(", ".join(silent.values()))
        Console().print(
            f"Dashboards that found nothing, as of devices that are not here (--strict lists them): {names}"
        )
    Console().print(_summary(found))


def _summary(found: Iterable[Answer]) -> str:
    listed = list(found)
    failed, empty = sum(bool(one.error) for one in listed), sum(not one.rows and not one.error for one in listed)
    slowest = max((one.seconds for one in listed), default=0.0)
    return f"{len(listed)} queries: {failed} failed, {empty} found nothing, the slowest took {slowest * 1000:.0f} ms"


def _plain(one: Answer) -> dict[str, object]:
    asked = one.question
    return {
        "dashboard": asked.uid,
        "panel": asked.where,
        "query": asked.ref,
        "language": asked.language,
        "rows": one.rows,
        "seconds": round(one.seconds, 4),
        "error": one.error,
        "asked": one.asked,
    }
