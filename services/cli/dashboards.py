"""`courtyard dashboards`: Grafana's view of the device profiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from device_profiles import library
from services.cli import app

dashboards = typer.Typer(no_args_is_help=True, help="Build Grafana dashboards from device profiles.")
app.add_typer(dashboards, name="dashboards")


@dashboards.command("build")
def build(
    profiles: Annotated[
        list[Path] | None, typer.Argument(help="Folders of your own profiles; without any, the shipped ones.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the JSON files go, in a folder per language; default: with the package.")
    ] = None,
) -> None:
    """Write one dashboard per profile and language."""
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
