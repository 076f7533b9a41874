"""`courtyard site`: the site file into the database, or only looked over."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from services.cli import app
from services.cli.console import Console
from services.cli.installed import open_installed, the_site
from services.cli.shared import explained, settings_with
from services.clock import SystemClock

if TYPE_CHECKING:
    from services.sites.store import Site

site = typer.Typer(name="site", help="What stands where, what serves whom, who is told.", no_args_is_help=True)
app.add_typer(site)
out = Console()

File = Annotated[Path, typer.Argument(metavar="FILE", help="The site file (YAML).", show_default=False)]


@site.command("import")
@explained
def site_import(
    file: File,
    data: Annotated[Path | None, typer.Option("--data", help="Courtyard's data folder.")] = None,
) -> None:
    """Bring a site up to its file. The same file again changes nothing; a device that is gone from it is retired.

    Where there is no Courtyard yet it begins one, and says so: a site may be imported before the first `courtyard up`.

    [bold]Example[/bold]: courtyard site import yard.yaml
    """
    from services.bootstrap import open_database
    from services.profiles import load_library
    from services.sites.importer import import_site, read_site

    settings = settings_with(data_dir=data)
    library = load_library(settings)
    with ExitStack() as stack:
        read_site(file, library)  # what cannot be imported begins no installation
        begun = not settings.database_url and not (settings.data_dir / "courtyard.db").exists()
        database = open_database(stack, settings)
        report = import_site(database, file, library, SystemClock().now())
    if begun:
        out.print(f"Begun a new Courtyard in {settings.data_dir.absolute()}.", highlight=False, soft_wrap=True)
    out.print(f"Site [bold]{report.site}[/bold]" + (": nothing has changed." if report.is_unchanged else ""))
    for kind in ("buildings", "units", "devices", "supplies", "feeds", "rules", "recipients"):
        out.print(f"  {kind:<11} {getattr(report, kind)}", highlight=False)
    if report.adopted:
        out.print(f"  adopted     {', '.join(report.adopted)} (had been heard before)", highlight=False)
    if report.kept:
        out.print(
            f"  kept        {', '.join(report.kept)} (adopted on the page and not in the file: courtyard site export)",
            highlight=False,
        )


@site.command("list")
@explained
def site_list(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
    data: Annotated[Path | None, typer.Option("--data", help="Courtyard's data folder.")] = None,
) -> None:
    """Which sites there are: id, names, time zone, buildings, households."""
    from services.scope import EVERYWHERE
    from services.sites.store import list_sites

    with ExitStack() as stack, open_installed(stack, settings_with(data_dir=data)).read() as connection:
        found = [_plain(one) for one in list_sites(connection, EVERYWHERE)]
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    table = Table("id", "name", "time zone", "buildings", "households", box=None, pad_edge=False)
    for one in found:
        name = f"{one['name']['zh']}  {one['name']['en']}"
        table.add_row(one["id"], escape(name), one["timezone"], str(one["buildings"]), str(one["households"]))
    out.print(table if found else "No site yet. Bring one in: courtyard site import FILE")


def _plain(site: Site) -> dict[str, Any]:
    return {
        "id": site.id,
        "name": {"zh": site.name.zh, "en": site.name.en},
        "timezone": site.timezone,
        "buildings": len(site.buildings),
        "households": site.households,
    }


@site.command("export")
@explained
def site_export(
    name: Annotated[
        str, typer.Argument(metavar="SITE", help="The site's id, as `courtyard site list` says it.", show_default=False)
    ],
    to: Annotated[Path | None, typer.Option("--to", help="Write it there instead of printing it.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Courtyard's data folder.")] = None,
) -> None:
    """Write a site as its file, with the devices that were adopted or replaced on the page.

    Import what it wrote, and the file owns them as well.
    """
    from services.sites.export import export_site

    with ExitStack() as stack:
        database = open_installed(stack, settings_with(data_dir=data))
        the_site(database, name, "SITE")
        with database.read() as connection:
            text = export_site(connection, name)
    if to is None:
        typer.echo(text, nl=False)
        return
    to.write_text(text, encoding="utf-8")
    out.print(f"Written to {to}. Look at it, then: courtyard site import {to}", highlight=False, soft_wrap=True)


@site.command("check")
@explained
def site_check(file: File) -> None:
    """Say every mistake of a site file with its line, and touch nothing."""
    from services.profiles import load_library
    from services.sites.importer import read_site

    read = read_site(file, load_library(settings_with()))
    households = sum(unit.households for building in read.buildings for unit in building.units)
    out.print(
        f"{file}: fine. {len(read.buildings)} buildings, {households} households, {len(read.devices)} devices, "
        f"{len(read.supplies)} supplies, {len(read.feeds)} feeds, {len(read.rules)} rules, "
        f"{len(read.recipients)} recipients.",
        highlight=False,
        soft_wrap=True,
    )
