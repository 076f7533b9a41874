"""The `courtyard` command. Each module here adds its own commands to `app`; `index` knows all of them unread."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.index import Index

app = typer.Typer(
    name="courtyard",
    cls=Index,
    help="Watches the shared equipment of residential communities, and makes sure that what breaks is repaired.",
    no_args_is_help=True,
    epilog="Exit codes: 0 it is done; 1 it could not be done, or something is wrong: the reason is said on standard "
    "error; 2 the command line cannot be understood, or there is no Courtyard in the folder that --data names.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"courtyard {version('courtyard')}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Watches the shared equipment of residential communities, and makes sure that what breaks is repaired."""
