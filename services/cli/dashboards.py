"""`courtyard dashboards`: Grafana's view of the device profiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashboards.build import GENERATED, write_all
from device_profiles import library
from services.cli import app

dashboards = typer.Typer(no_args_is_help=True, help="Build Grafana dashboards from device profiles.")
app.add_typer(dashboards, name="dashboards")


@dashboards.command("build")
def build(
    profiles: Annotated[
        list[Path] | None, typer.Argument(help="Folders of your own profiles; without any, the shipped ones.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the JSON files go, in a folder per language.")] = GENERATED,
) -> None:
    """Write one dashboard per profile and language."""
    try:
        loaded = library.load(*(profiles or [library.SHIPPED]))
    except library.ProfileMistakes as mistakes:
        for mistake in mistakes.mistakes:
            typer.echo(str(mistake), err=True)
        raise typer.Exit(1) from None
    for file in write_all(loaded, out):
        typer.echo(str(file))
