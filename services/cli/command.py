"""`courtyard command`: tell a device what to do, and see how it fares."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.markup import escape

from services.cli import app
from services.cli.console import Console
from services.cli.shared import explained

command = typer.Typer(name="command", help="Tell devices what to do.", no_args_is_help=True)
app.add_typer(command)
out = Console(highlight=False, soft_wrap=True)
_TOKEN = "COURTYARD_TOKEN"  # noqa: S105 - the name of the variable
_LOOK_SECONDS = 0.5
_COLOURS = {"done": "green", "failed": "red", "expired": "yellow", "cancelled": "yellow"}

Url = Annotated[
    str, typer.Option("--url", metavar="URL", help="Where Courtyard's pages are.", envvar="COURTYARD_PUBLIC_URL")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file", metavar="FILE", help=f"File with a token of `courtyard token create`; else ${_TOKEN}."
    ),
]


@command.command("list")
@explained
def list_commands(
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="Its id, such as charger-01.")],
    url: Url = "http://127.0.0.1:8080",
    token_file: TokenFile = None,
) -> None:
    """Say what a device can be told, with which params and by whom."""
    with open_api(url, token_file) as api:
        found = ask_api(api, "GET", f"/devices/{device}/commands")
    if not found["commands"]:
        out.print("This device has no commands.")
    for one in found["commands"]:
        may = "" if one["may_send"] else "  [yellow]not with this token[/yellow]"
        out.print(f"[bold]{one['command']}[/bold]  {escape(one['name']['en'])}  (role {one['role']}){may}")
        if one["children"]:
            out.print(f"    --child {escape(' | '.join(one['children']))}")
        for param in one["params"]:
            out.print(f"    --param {param['name']}={escape(str(param['default']))}  {escape(_range(param))}")


@command.command("send")
@explained
def send(
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="Its id, such as charger-01.")],
    name: Annotated[str, typer.Argument(metavar="COMMAND", help="As `courtyard command list` names it.")],
    child: Annotated[str, typer.Option("--child", metavar="CHILD", help='The part, such as "port:3".')] = "",
    param: Annotated[
        list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="What goes with it; may be repeated.")
    ] = None,
    url: Url = "http://127.0.0.1:8080",
    token_file: TokenFile = None,
) -> None:
    """Send a command and follow it to its end. Exits with 0 when it is done, with 1 otherwise.

    [bold]Example[/bold]

      courtyard command send charger-3 stop_charging --child port:2 --token-file token
    """
    wanted = {"command": name, "child": child, "params": dict(_pair(text) for text in param or [])}
    with open_api(url, token_file) as api:
        # With a key of its own, a request that is repeated is still one command.
        key = {"Idempotency-Key": secrets.token_hex(8)}
        found = ask_api(api, "POST", f"/devices/{device}/commands", json=wanted, headers=key)
        said = 0
        while True:
            for event in found["events"][said:]:
                out.print(
                    f"{event['at'][11:19]}  [{_COLOURS.get(event['what'], 'cyan')}]{event['what']}[/]{_data(event)}"
                )
            said = len(found["events"])
            if found["ended_at"] is not None:
                break
            time.sleep(_LOOK_SECONDS)
            found = ask_api(api, "GET", f"/commands/{found['id']}")
    if found["state"] != "done":
        raise typer.Exit(1)


def open_api(url: str, token_file: Path | None) -> httpx.Client:
    """A client of /api/v1 with the token of the file, or of the environment. Raises ValueError without one."""
    token = token_file.read_text().strip() if token_file is not None else os.environ.get(_TOKEN, "")
    if not token.isascii() or not token:
        raise ValueError(f"expected a token in --token-file or ${_TOKEN}, found none; courtyard token create makes one")
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=url.rstrip("/") + "/api/v1", headers=headers, timeout=15, follow_redirects=False)


def ask_api(api: httpx.Client, method: str, path: str, **more: Any) -> Any:
    """The answer; raises ValueError that says what was refused and what to do."""
    try:
        response = api.request(method, path, **more)
    except httpx.TransportError as error:
        said = f"{api.base_url} does not answer ({error or type(error).__name__}); is Courtyard up, and is --url right?"
        raise ValueError(said) from error
    if response.is_success:
        return response.json() if response.content else None
    try:
        problem = response.json()
        said = f"{problem['detail']} {problem['next_step']}"
    except (ValueError, KeyError, TypeError):
        said = f"found the answer {response.status_code}, expected one of Courtyard's; is --url right?"
    raise ValueError(said)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"--param: expected NAME=VALUE, found {text!r}")
    return name, value


def _range(param: dict[str, Any]) -> str:
    bounds = [f"{word} {param[key]:g}" for key, word in (("min", "from"), ("max", "to")) if param[key] is not None]
    return " ".join([param["type"], *bounds, param["uom"]]).strip()


def _data(event: dict[str, Any]) -> str:
    shown = {key: value for key, value in event["data"].items() if key != "at" and value not in ("", {}, None)}
    return "  " + escape(", ".join(f"{key}: {value}" for key, value in shown.items())) if shown else ""
