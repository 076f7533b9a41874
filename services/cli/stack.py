"""`courtyard stack`: docker-compose.yml played by programs of this machine, without containers."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.panel import Panel

from services.cli import app
from services.cli.console import Console
from services.cli.shared import explained, stopped_by_signal

if TYPE_CHECKING:
    from services.stack.play import Stack

stack = typer.Typer(name="stack", help="The stack of docker-compose.yml without containers.", no_args_is_help=True)
app.add_typer(stack)
console = Console(highlight=False)
File = Annotated[Path, typer.Option("--file", help="The compose file.")]
_FILE = Path("docker-compose.yml")
_DATA = Path("courtyard-stack")
_SCREEN = ("TERM", "COLUMNS", "LINES", "NO_COLOR")
"""What says how wide and colourful a terminal is; every other setting is the service's."""


@stack.command("up")
@explained
def stack_up(
    data: Annotated[
        Path, typer.Option("--data", help="Folder for volumes, logs and secrets. A second start goes on.")
    ] = _DATA,
    demo: Annotated[
        bool, typer.Option("--demo", help="The profile demo: a site of 430 households, its equipment and its faults.")
    ] = False,
    tls: Annotated[
        bool, typer.Option("--tls", help="The profile tls too: TLS for devices and pages, by a certificate of its own.")
    ] = False,
    secrets: Annotated[
        Path | None, typer.Option("--secrets", help="Folder of the secrets; default: a new one in the data folder.")
    ] = None,
    file: File = _FILE,
) -> None:
    """Start what docker-compose.yml describes from programs of this machine: Mosquitto, PostgreSQL, InfluxDB, Grafana
    where it is installed, gateway and services as processes of their own.

    Start lines, settings, secrets, health checks and their order are read from the compose file, so that what runs here
    is what runs there; ports are on loopback, others where one is taken. Ctrl-C stops everything.
    """
    from services.stack.play import Stack
    from services.stack.supervisor import Supervisor

    _check_file(file)
    if demo:
        os.environ.setdefault("COURTYARD_WEBHOOK_ALLOW_PRIVATE", "true")  # the demo's mailbox is on loopback
    playing = Stack(
        file=file,
        data=data,
        secrets=secrets or data / "secrets",
        profiles=[*(["demo"] if demo else []), *(["tls"] if tls else [])],
        say=lambda line: console.print(f"[green]up[/green]  {line}"),
    )
    stopping = stopped_by_signal()
    with ExitStack() as ends:
        _claim(ends, data)
        supervisor = ends.enter_context(Supervisor())
        for name, reason in playing.plan.left_out.items():
            console.print(f"[yellow]--[/yellow]  {name:<13} {reason}")
        playing.up(supervisor)
        _greet(playing, demo=demo)
        while not stopping.wait(0.3):
            for ended in playing.watch():
                console.print(f"[yellow]{ended}[/yellow]; starting it again")
        console.print("\nStopping…")
    console.print("Stopped. The next start goes on from here.")


@stack.command("plan")
@explained
def stack_plan(
    file: File = _FILE,
    demo: Annotated[bool, typer.Option("--demo", help="With the profile demo.")] = False,
) -> None:
    """Say what `courtyard stack up` would start, in which order, and what is missing for it. Starts nothing."""
    from services.stack import compose
    from services.stack.play import plan

    _check_file(file)
    planned = plan(compose.read(file.read_text(encoding="utf-8"), os.environ), ["demo"] if demo else [])
    for service in planned.services:
        line = " ".join([*service.entrypoint, *service.command]) or service.image
        console.print(f"{service.name:<13} {line}", soft_wrap=True)
    for name, reason in planned.left_out.items():
        console.print(f"[yellow]{name:<13} left out: {reason}[/yellow]", soft_wrap=True)
    if planned.packages:
        raise ValueError(f"missing; on Debian: apt-get install {' '.join(planned.packages)}")


@stack.command("status")
@explained
def stack_status(
    data: Annotated[Path, typer.Option("--data", help="The folder it was started in.")] = _DATA,
    file: File = _FILE,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Run the health check that docker-compose.yml states for each service that was started.

    The exit code is 1 where one fails.
    """
    from services.stack import compose
    from services.stack.play import examine

    _check_file(file)
    found = list(examine(compose.read(file.read_text(encoding="utf-8"), os.environ), file.resolve().parent, data))
    if as_json:
        typer.echo(json.dumps([one._asdict() for one in found]))
    else:
        for one in found:
            colour = {"well": "green", "unwell": "red", "ended": "red"}[one.state]
            ports = ", ".join(map(str, one.ports))
            console.print(f"[{colour}]{one.state:<7}[/{colour}] {one.service:<13} process {one.pid:<8} {ports}")
    if any(one.state != "well" for one in found):
        raise typer.Exit(1)


@stack.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@explained
def stack_exec(
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="Whose settings and secrets: services, gateway, ...")
    ],
    words: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="A command of courtyard with its options.")],
    data: Annotated[Path, typer.Option("--data", help="The folder it was started in.")] = _DATA,
    file: File = _FILE,
) -> None:
    """Run a command of courtyard with the settings and secrets of a service of the stack that was started, like
    `docker compose exec services courtyard ...`.

    `courtyard stack exec services doctor`, `courtyard stack exec services site import yard.yaml`
    """
    from services.stack import compose
    from services.stack.play import command

    _check_file(file)
    planned = compose.read(file.read_text(encoding="utf-8"), os.environ)
    program = command(planned, file.resolve().parent, data, service, words)
    screen = {name: os.environ[name] for name in _SCREEN if name in os.environ}
    done = subprocess.run(program.argv, env={**screen, **program.environment}, check=False)
    raise typer.Exit(done.returncode)


def _check_file(file: Path) -> None:
    if not file.is_file():
        raise ValueError(f"there is no {file} here; run it in a clone of Courtyard, or name one with --file")


def _claim(ends: ExitStack, data: Path) -> None:
    from services import folder

    data.mkdir(parents=True, exist_ok=True)  # open to others: PostgreSQL may not run as root
    folder.claim(ends, data)


def _greet(playing: Stack, *, demo: bool) -> None:
    from services.demo import SITE_ID
    from services.stack.catalogue import CA

    place = playing.place
    pages = playing.url("services", 8080)
    lines = [f"Board      [bold]{pages}[/bold]"]
    if demo:
        lines.append(f"Residents  {pages}/public/{SITE_ID}")
    password = playing.first_password()
    if password:
        lines.append(f"           sign in as [bold]admin[/bold] with [bold]{password}[/bold] (as of the first start)")
    if "grafana" not in playing.plan.left_out:
        lines.append(f"Grafana    {playing.url('grafana', 3000)}  admin, {place.secret_file('grafana_admin_password')}")
    if "proxy:8883" in place.ports:
        authority = place.secrets / CA
        lines.append(
            f"TLS        mqtts://localhost:{place.port('proxy', 8883)}, https://localhost:{place.port('proxy', 8443)}; "
            f"trust {authority}"
        )
    lines += [
        f"MQTT       mqtt://127.0.0.1:{place.port('mosquitto', 1883)}",
        f"           a device's account: courtyard secrets device NAME --dir {place.secrets}",
        f"InfluxDB   {playing.url('influxdb', 8086)}  courtyard, {place.secret_file('influxdb_admin_token')}",
        f"PostgreSQL 127.0.0.1:{place.port('postgres', 5432)}  postgres, {place.secret_file('postgres_password')}",
        f"Logs       {place.folder / 'logs'}",
        "",
        "Is all well? courtyard stack status, courtyard stack exec services doctor",
        "Ctrl-C stops everything; what ends by itself is started again.",
    ]
    console.print(Panel("\n".join(lines), title="The stack is up", expand=False))
