"""`courtyard maintenance`: windows in which what is being worked on disturbs nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape
from rich.table import Table

from services.cli import app
from services.cli.console import Console
from services.cli.installed import open_installed, the_site
from services.cli.shared import explained, settings_with
from services.cli.times import wall
from services.clock import SystemClock

if TYPE_CHECKING:
    from services.maintenance.desk import MaintenanceDesk, Shown
    from services.maintenance.planning import Mistake, Wish

maintenance = typer.Typer(
    name="maintenance", help="Windows in which what is being worked on disturbs nobody.", no_args_is_help=True
)
app.add_typer(maintenance)
out = Console(highlight=False, soft_wrap=True)
_BY = "courtyard"
"""Whom the audit log names: who can write to the database needs no account."""
_ARGUMENTS = {
    "site": "SITE",
    "title": "TITLE",
    "starts_at": "--from",
    "ends_at": "--to",
    "scope.buildings": "--building",
    "scope.families": "--family",
    "scope.devices": "--device",
    "repeats": "--days",
    "repeats.days": "--days",
    "repeats.until": "--until",
}
"""Where on the command line people say what a window is made of."""
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:\+\d\d:\d\d|Z)")

Data = Annotated[Path | None, typer.Option("--data", help="Courtyard's data folder.")]
Id = Annotated[
    str, typer.Argument(metavar="WINDOW", help="The window's id, as `courtyard maintenance list` prints it.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@maintenance.command("list")
@explained
def list_(
    site: Annotated[str | None, typer.Option("--site", help="Of this site only.")] = None,
    past: Annotated[bool, typer.Option("--past", help="Also those that are over.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """What is on now, and what comes.

    With --json: a list of windows, each with its state (planned, open, over, cancelled) and its next times in UTC.
    """
    now = SystemClock().now()
    with _desk(data, site, "--site") as desk:
        found = desk.all(None, now, site=site, since=None if past else now)
    if as_json:
        typer.echo(json.dumps([_plain(one) for one in found], ensure_ascii=False, indent=2))
    elif not found:
        out.print("No maintenance window. Plan one: courtyard maintenance add --help")
    else:
        _print(found)


@maintenance.command("add")
@explained
def add(
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site's id.", show_default=False)],
    title: Annotated[
        str, typer.Argument(metavar="TITLE", help="What is done, such as 'Tank cleaning'.", show_default=False)
    ],
    starts: Annotated[
        str | None, typer.Option("--from", help="On the clock of the site: '2026-03-07 22:00'. Default: now.")
    ] = None,
    ends: Annotated[str | None, typer.Option("--to", help="Its end, on the clock of the site.")] = None,
    lasts: Annotated[str | None, typer.Option("--for", help="How long instead: 30m, 2h, 1d.")] = None,
    building: Annotated[list[str] | None, typer.Option("--building", help="Only this building (may repeat).")] = None,
    family: Annotated[
        list[str] | None, typer.Option("--family", help="Only this kind of device, such as water_pump (may repeat).")
    ] = None,
    device: Annotated[list[str] | None, typer.Option("--device", help="This device as well (may repeat).")] = None,
    days: Annotated[str | None, typer.Option("--days", help="Again on these days: 'sat,sun'.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="The last day on which it begins again.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would cover, and when.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Plan a window. While it is open data are kept and rules judge, but nobody is told; what is still wrong at its
    end is raised then. Buildings and families narrow each other, devices come on top; without any it is the whole site.

    Examples:

      courtyard maintenance add lotus "Tank cleaning" --for 2h --family water_pump --building 3

      courtyard maintenance add lotus "Night tests" --from "2026-03-07 23:00" --for 3h --days sat --until 2026-06-30
    """
    now = SystemClock().now()
    with _desk(data, site) as desk:
        scope = {"buildings": building or [], "families": family or [], "devices": device or []}
        times = _times(desk, site, starts, ends, lasts, now)
        wish = _wish({"site": site, "title": title, "scope": scope, **times, "repeats": _repeats(days, until)})
        with _in_words_of_the_command_line(desk.place(None, site).zone, "--to" if lasts is None else "--for"):
            found = desk.preview(None, wish, by=_BY, now=now) if dry_run else desk.add(None, wish, by=_BY, now=now)
    if as_json:
        typer.echo(json.dumps(_plain(found), ensure_ascii=False, indent=2))
        return
    out.print(f"{'It would cover' if dry_run else 'Planned. It covers'} {_covers(found)}.")
    for one in found.next:
        out.print(f"  {_clock(one.start, found)} to {_clock(one.end, found)}")
    if not dry_run:
        out.print(f"Take it back with: courtyard maintenance cancel {found.window.id}")


@maintenance.command("end")
@explained
def end(window: Id, as_json: AsJson = False, data: Data = None) -> None:
    """The work is done before its time: what is still wrong is raised now.

    One that recurs opens again on its next day; to be rid of all of them: courtyard maintenance cancel.
    """
    with _desk(data) as desk:
        found = desk.end(None, window, by=_BY, now=SystemClock().now())
    if as_json:
        typer.echo(json.dumps(_plain(found), ensure_ascii=False, indent=2))
    else:
        out.print(f"[bold]{escape(found.window.title)}[/bold] is over.")


@maintenance.command("cancel")
@explained
def cancel(window: Id, as_json: AsJson = False, data: Data = None) -> None:
    """Take a window back: if it is open it is over now, and it never opens again."""
    with _desk(data) as desk:
        found = desk.cancel(None, window, by=_BY, now=SystemClock().now())
    if as_json:
        typer.echo(json.dumps(_plain(found), ensure_ascii=False, indent=2))
    else:
        out.print(f"[bold]{escape(found.window.title)}[/bold] is taken back.")


@contextmanager
def _desk(data: Path | None, site: str | None = None, argument: str = "SITE") -> Iterator[MaintenanceDesk]:
    """At a site, if it is named. Services that run see within a second what was written here."""
    from services.changes import Changes
    from services.maintenance.desk import MaintenanceDesk, plain_write
    from services.maintenance.planning import WindowOver
    from services.profiles import load_library
    from services.scope import NotFound

    settings = settings_with(data_dir=data)
    with ExitStack() as stack:
        database = open_installed(stack, settings)
        if site is not None:
            the_site(database, site, argument)
        library = load_library(settings)
        try:
            yield MaintenanceDesk(database=database, write=plain_write(database), changes=Changes(), library=library)
        except NotFound as error:
            raise ValueError(f"{error}; courtyard maintenance list --past names those there are") from error
        except WindowOver as error:
            raise ValueError(str(error)) from error


@contextmanager
def _in_words_of_the_command_line(zone: ZoneInfo, end: str) -> Iterator[None]:
    """What is wrong with a wish, by the options that said it and on the clock of the site."""
    from services.maintenance.planning import WindowRefused

    try:
        yield
    except WindowRefused as error:
        raise ValueError("\n".join(_mistake(one, zone, end) for one in error.mistakes)) from error


def _mistake(one: Mistake, zone: ZoneInfo, end: str) -> str:
    where = end if one.field == "ends_at" else _ARGUMENTS.get(one.field, one.field)
    return _INSTANT.sub(
        lambda found: f"{datetime.fromisoformat(found[0]).astimezone(zone):%Y-%m-%d %H:%M}",
        f"{where}: found {one.found}, expected {one.expected}",
    )


def _wish(said: dict[str, Any]) -> Wish:
    from pydantic import ValidationError

    from services.maintenance.planning import Wish

    try:
        return Wish.model_validate(said)
    except ValidationError as error:
        wrong = []
        for one in error.errors():
            field = ".".join(part for part in one["loc"] if isinstance(part, str))
            wrong.append(f"{_ARGUMENTS.get(field, field)}: found {one['input']!r}: {one['msg']}")
        raise ValueError("\n".join(wrong)) from error


def _times(
    desk: MaintenanceDesk, site: str, starts: str | None, ends: str | None, lasts: str | None, now: datetime
) -> dict[str, datetime]:
    from services.maintenance.windows import from_wall

    if ends is None and lasts is None:
        raise ValueError("found neither --for nor --to, expected one of them: how long it lasts (--for 2h) or its end")
    if ends is not None and lasts is not None:
        raise ValueError("found both --for and --to, expected one of them: how long it lasts, or its end")
    zone = desk.place(None, site).zone
    begins = now if starts is None else from_wall(wall("--from", starts), zone)
    over = from_wall(wall("--to", ends), zone, second=True) if ends is not None else begins + _span(lasts or "")
    return {"starts_at": begins, "ends_at": over}


def _span(text: str) -> timedelta:
    units = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
    if not text[:-1].isdigit() or text[-1:] not in units or len(text) > 6:
        raise ValueError(f"--for: found {text!r}, expected a length such as 30m, 2h or 1d")
    return int(text[:-1]) * units[text[-1]]


def _repeats(days: str | None, until: str | None) -> dict[str, Any] | None:
    if days is None and until is None:
        return None
    if days is None or until is None:
        raise ValueError("found only one of --days and --until, expected both: the days, and the last of them")
    try:
        last = date.fromisoformat(until)
    except ValueError as error:
        raise ValueError(f"--until: found {until!r}, expected a day such as 2026-06-30") from error
    return {"days": [one.strip() for one in days.split(",") if one.strip()], "until": last}


# --- printed ----------------------------------------------------------------------------------------------------------


def _print(found: list[Shown]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("id", no_wrap=True)  # it is copied into the next command
    for column in ("site", "what", "state", "covers", "next, on the clock of the site"):
        table.add_column(column, overflow="fold")
    for one in found:
        window = one.window
        times = ", ".join(f"{_clock(at.start, one)} to {_clock(at.end, one)}" for at in one.next[:2])
        title = escape(window.title)
        table.add_row(window.id, window.site, title, one.state.value, _covers(one), times or _was(one))
    out.print(table)


def _was(found: Shown) -> str:
    return f"was {_clock(found.window.starts_at, found)} to {_clock(found.window.ends_at, found)}"


def _covers(found: Shown) -> str:
    names = ", ".join(found.first_devices) + (", …" if found.devices > len(found.first_devices) else "")
    many = f"{found.devices} device{'' if found.devices == 1 else 's'}"
    return f"{many}: {names}" if names else many


def _clock(at: datetime, found: Shown) -> str:
    return at.astimezone(found.zone).strftime("%Y-%m-%d %H:%M")


def _plain(found: Shown) -> dict[str, Any]:
    window = found.window
    return {
        "id": window.id,
        "site": window.site,
        "title": window.title,
        "scope": window.scope.as_json(),
        "state": found.state.value,
        "devices": found.devices,
        "repeats": window.repeats.as_json() if window.repeats else None,
        "next": [{"start": _utc(one.start), "end": _utc(one.end)} for one in found.next],
        "created_by": window.created_by,
    }


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
