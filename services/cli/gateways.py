"""`courtyard gateways`: who delivers readings here, and forgetting one that was taken down for good."""

from __future__ import annotations

import json
from typing import Annotated
from urllib.parse import quote

import typer
from rich.markup import escape

from services.cli import app
from services.cli.command import TokenFile, Url, ask_api, open_api
from services.cli.console import Console
from services.cli.shared import explained

gateways = typer.Typer(
    name="gateways", help="Gateways that deliver here: list them, forget one that is gone.", no_args_is_help=True
)
app.add_typer(gateways)
out = Console(highlight=False, soft_wrap=True)


@gateways.command("list")
@explained
def list_gateways(
    url: Url = "http://127.0.0.1:8080",
    token_file: TokenFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Say which gateways deliver here, and when each was heard last."""
    with open_api(url, token_file) as api:
        found = ask_api(api, "GET", "/health/detail")["gateways"]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for one in found:
        silent = one["silent_seconds"]
        heard = "never heard" if silent is None else f"heard {silent:.0f} s ago"
        out.print(f"[bold]{escape(one['id'])}[/bold]  {heard}")
    if not found:
        out.print("No gateway has delivered anything yet.")


@gateways.command("forget")
@explained
def forget(
    name: Annotated[str, typer.Argument(metavar="GATEWAY", help="Its name, as `courtyard gateways list` says it.")],
    url: Url = "http://127.0.0.1:8080",
    token_file: TokenFile = None,
) -> None:
    """Forget a gateway that was taken down for good: its alarm ends. Refused while it speaks; its data stay.

    Needs a token of the role admin for every site. A gateway that speaks again is there again.

    [bold]Example[/bold]

      courtyard gateways forget yard-2 --token-file token
    """
    with open_api(url, token_file) as api:
        ask_api(api, "DELETE", f"/gateways/{quote(name, safe='')}")
    out.print(f"The gateway {escape(name)} is forgotten. Its readings, gaps and alarms stay.")
