"""The `courtyard` command. Each module here adds its own commands to `app`; `main` gathers them."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="courtyard",
    help="Watches the shared equipment of residential communities, and makes sure that what breaks is repaired.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
