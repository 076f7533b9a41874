"""`courtyard enrol`: let a gateway in whose token stands in a file."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from services.cli import app
from services.cli.console import Console
from services.cli.shared import explained, settings_with

console = Console()


@app.command()
@explained
def enrol(
    name: Annotated[str, typer.Argument(metavar="GATEWAY", help="The gateway's name, as in its COURTYARD_GATEWAY_ID.")],
    token_file: Annotated[Path, typer.Option("--token-file", help="The file that holds its token.")],
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the database, where it is SQLite.")] = None,
) -> None:
    """Bring the database up to date and let a gateway in by the token of a file; safe to run again.

    Another token that this gateway had is revoked. docker-compose.yml does this before it starts services.
    """
    from services import bootstrap
    from services.accounts.enrol import SHORTEST, enrol_gateway
    from services.clock import SystemClock

    secret = token_file.read_text(encoding="utf-8").strip()
    if len(secret) < SHORTEST:
        raise ValueError(
            f"{token_file}: found a token of {len(secret)} characters, expected at least {SHORTEST}; "
            "`courtyard secrets init` makes one"
        )
    with ExitStack() as stack:
        database = bootstrap.open_database(stack, settings_with(data_dir=data))
        done = enrol_gateway(database, name=name, secret=secret, now=SystemClock().now())
    console.print(f"{name}: {done}")
