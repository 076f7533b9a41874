"""`courtyard secrets`: the passwords of docker-compose.yml and of `courtyard stack`, as files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from services.cli import app
from services.cli.console import Console
from services.cli.shared import explained

secrets = typer.Typer(name="secrets", help="Passwords and tokens of the stack, as files.", no_args_is_help=True)
app.add_typer(secrets)
out = Console(highlight=False)
Folder = Annotated[Path, typer.Option("--dir", help="The folder of the secrets.")]
_DEFAULT = Path("deploy/secrets")
_NOW = "Now: docker compose kill -s HUP mosquitto (a stack that runs without containers takes it by itself)"


@secrets.command("init")
@explained
def secrets_init(
    folder: Folder = _DEFAULT,
    rotate: Annotated[
        list[str] | None, typer.Option("--rotate", metavar="NAME", help="Replace this secret; may be repeated.")
    ] = None,
) -> None:
    """Make the random secrets that docker-compose.yml wants; what is there already stays.

    One file has one reader: as root, each file is given to the user of the image that reads it (mode 600). As another
    user that is not possible: the files can be read by all, and the folder (mode 700) keeps others out.
    [bold]--rotate NAME[/bold] makes one anew and says what must be started again.
    """
    from services.stack.keys import Keys

    keys = Keys(folder)
    for name in rotate or []:
        outcome = keys.rotate(name)
        out.print(f"{outcome.done}  [bold]{outcome.secret.name}[/bold]", soft_wrap=True)
        out.print(f"  now: {outcome.secret.after}", soft_wrap=True)
    if rotate:
        return
    for secret, done in keys.make():
        files = ", ".join(file.name for file in secret.files)
        out.print(f"{done:<5} [bold]{secret.name:<16}[/bold] {secret.purpose}", soft_wrap=True)
        out.print(f"      [dim]{'':<16} {files}[/dim]", soft_wrap=True)
    if os.geteuid() != 0:
        out.print(f"\nNot root: the files are readable, and {folder} is closed to others. Leave it so.", soft_wrap=True)


@secrets.command("device")
@explained
def secrets_device(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The device's id, as it stands in its topics.")],
    folder: Folder = _DEFAULT,
    remove: Annotated[bool, typer.Option("--remove", help="Take its account away.")] = False,
) -> None:
    """Give one device an account of its own at Mosquitto; its password is printed once and kept nowhere.

    It may speak under its own name only (courtyard/SITE/KIND/NAME/…) and hear its own commands, so a password that is
    lost is one device. Mosquitto takes the change without a restart: docker compose kill -s HUP mosquitto
    """
    from services.stack.keys import Keys

    keys = Keys(folder)
    if remove:
        keys.remove_device(name)
        out.print(f"{name} has no account any more.", soft_wrap=True)
        out.print(_NOW, soft_wrap=True)
        return
    password = keys.add_device(name)
    out.print(f"User      {name}", soft_wrap=True)
    out.print(f"Password  [bold]{password}[/bold]  (shown once)", soft_wrap=True)
    out.print(_NOW, soft_wrap=True)


@secrets.command("list")
@explained
def secrets_list(folder: Folder = _DEFAULT) -> None:
    """Say which secrets there are, who reads them, and which are missing. Prints none of them."""
    from services.stack.catalogue import CATALOGUE
    from services.stack.keys import Keys

    keys = Keys(folder)
    for secret in CATALOGUE:
        for file in secret.files:
            there = "there  " if (folder / file.name).exists() else "[bold red]missing[/bold red]"
            out.print(f"{there} {file.name:<26} user {file.owner:<6} {secret.purpose}", soft_wrap=True)
    out.print(f"\nAccounts at Mosquitto: {', '.join(keys.accounts()) or 'none'}", soft_wrap=True)


@secrets.command("tls")
@explained
def secrets_tls(
    host: Annotated[list[str], typer.Option("--host", help="A name or address that devices and people use.")],
    folder: Folder = _DEFAULT,
    days: Annotated[int, typer.Option("--days", min=1, help="How long the certificate is good.")] = 397,
) -> None:
    """Make a certificate authority of your own and a certificate by it, to try the compose profile [bold]tls[/bold].

    tls_ca.crt is what devices and browsers must be told to trust. For a certificate of a real authority, put its chain
    into tls.crt and its key into tls.key instead. What is there already stays; remove tls.crt and tls.key to renew.
    """
    from services.stack.certificates import make

    made = make(folder, host, days)
    out.print("\n".join(f"made  {path}" for path in made) or "kept  tls.crt and tls.key", soft_wrap=True)
    out.print(f"Now: docker compose --profile tls up -d; devices trust {folder / 'tls_ca.crt'}", soft_wrap=True)
