"""`courtyard up`: everything in one command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.panel import Panel

from services.cli import app
from services.cli.console import Console
from services.cli.shared import explained, set_up_logging, settings_with, stopped_by_signal
from services.settings import Settings
from services.startup import collector_at_rest

if TYPE_CHECKING:
    from services.bootstrap import Core

console = Console()
_MQTT_PORT = 1883


@app.command()
@explained
def up(
    demo: Annotated[
        bool, typer.Option("--demo", help="Bring a demo site to life: 430 households, simulated equipment, faults.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder for journal, databases and secrets. A second start goes on.")
    ] = None,
    http: Annotated[str | None, typer.Option("--http", metavar="HOST:PORT", help="Where the pages are.")] = None,
    mqtt: Annotated[
        str | None,
        typer.Option("--mqtt", metavar="URL", help='"embedded", or mqtt://[user:password@]host[:port], mqtts://…'),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more of what happens.")] = False,
) -> None:
    """Start everything: broker, gateway, services and pages, in one command.

    [bold]courtyard up --demo[/bold] shows a living site within a minute; [bold]courtyard up[/bold] starts empty and
    waits for [bold]courtyard site import FILE[/bold]. Ctrl-C stops cleanly; the next start goes on where it stopped,
    and what you made of the demo's site stays.
    """
    settings = settings_with(data_dir=data, http=http, mqtt=mqtt)
    set_up_logging("debug" if verbose else settings.log_level)
    stopping = stopped_by_signal()
    with ExitStack() as stack:
        with collector_at_rest():
            core = start(stack, settings, stopping, demo=demo)
        stopping.wait()
        core.hold.check()
        console.print("\nStopping…")
        began = time.monotonic()
    console.print(f"Stopped cleanly in {time.monotonic() - began:.1f} s. The next start goes on from here.")


def start(stack: ExitStack, settings: Settings, stopping: Event, *, demo: bool) -> Core:
    """Everything, in the order in which it depends on each other; progress on the console."""
    # Imported here so that `courtyard --help` does not pay for all of it.
    from services import bootstrap, folder
    from services.accounts.desk import first_start
    from services.clock import SystemClock
    from services.demo.bring import Bringing, bring
    from services.demo.mailbox import ENVIRONMENT

    clock = SystemClock()
    folder.claim(stack, settings.data_dir)
    _check_address(settings)
    if demo:
        settings = _with_mailbox(stack, settings)
    with console.status("Opening databases and profiles…") as status:
        core = bootstrap.start_core(stack, settings, clock, stopping)
        password = first_start(core.database, clock.now())
        if demo:
            status.update("Bringing the demo site in…")
            kept = bring(Bringing(database=core.database, library=core.library, folder=settings.data_dir), clock.now())
            if kept:
                console.print(kept, highlight=False, soft_wrap=True)
            core.intake.reload()
        mqtt_url = settings.mqtt
        if mqtt_url == "embedded":
            status.update("Starting the embedded broker…")
            mqtt_url = _start_broker(stack)
        status.update("Starting the gateway and the pages…")
        gateway = bootstrap.start_gateway(stack, core, mqtt_url)
        bootstrap.start_clockwork(stack, core)
        bootstrap.start_outbox(stack, core)
        bootstrap.start_annotations(stack, core)
        bootstrap.start_web(stack, core, gateway)
        if demo:
            _start_simulator(stack, mqtt_url)
    mailbox = os.environ[ENVIRONMENT] if demo else ""
    folder.describe(settings.data_dir, folder.RunningNote(os.getpid(), settings.http, mqtt_url, mailbox))
    _greet(settings, mqtt_url, password, demo=demo)
    return core


def _check_address(settings: Settings) -> None:
    """Said before anything is started, and by name."""
    from gateway.ports import holder, is_free
    from services.web.server import AddressTaken

    host, port = settings.http_address
    if port and not is_free(host, port):
        raise AddressTaken(f"{settings.http} is taken by {holder(port)}; stop it, or choose another with --http")


def _start_broker(stack: ExitStack) -> str:
    from gateway.broker import EmbeddedBroker
    from gateway.ports import is_free

    # The usual port where it is free, so that a device's default settings find it; any other port where it is not.
    broker = EmbeddedBroker(port=_MQTT_PORT if is_free("127.0.0.1", _MQTT_PORT) else 0)
    broker.start()
    stack.callback(broker.stop)
    return broker.url


def _with_mailbox(stack: ExitStack, settings: Settings) -> Settings:
    """The demo's notices arrive at this machine, and so need leave to go to a loopback address."""
    from services.demo.mailbox import ENVIRONMENT, Mailbox

    os.environ[ENVIRONMENT] = Mailbox(settings.data_dir / "demo-notices.jsonl").start(stack)
    return settings.model_copy(update={"webhook_allow_private": True})


def _start_simulator(stack: ExitStack, mqtt_url: str) -> None:
    """In a process of its own, as devices are; it ends when this process does."""
    simulator = subprocess.Popen(
        [sys.executable, "-m", "services.demo.play", "--mqtt", mqtt_url], stdin=subprocess.PIPE, start_new_session=True
    )

    def end() -> None:
        if simulator.stdin:
            simulator.stdin.close()
        try:
            simulator.wait(2)
        except subprocess.TimeoutExpired:
            simulator.kill()
            simulator.wait()

    stack.callback(end)


def _greet(settings: Settings, mqtt_url: str, password: str | None, *, demo: bool) -> None:
    from gateway.mqtt import BrokerAddress
    from gateway.ports import holder
    from services.demo import SITE_ID

    url = settings.effective_public_url
    address = BrokerAddress.parse(mqtt_url)  # shown without the password
    lines = [f"Board      [bold]{url}[/bold]"]
    if demo:
        lines.append(f"Residents  {url}/public/{SITE_ID}")
    lines.append(f"MQTT       {address}")
    if settings.mqtt == "embedded" and address.port != _MQTT_PORT:
        lines.append(
            f"           [yellow]port {_MQTT_PORT} is taken by {escape(holder(_MQTT_PORT))}; this one is new at"
        )
        lines.append("           every start. Free it, or name a broker with --mqtt[/yellow]")
    lines.append(f"Data       {settings.data_dir.resolve()}")
    if password is not None:
        lines += [
            "",
            f"Sign in as [bold]admin[/bold] with [bold]{password}[/bold]  (shown once)",
        ]
    else:
        lines += ["", "Sign in as before. Lost the password? courtyard account password admin"]
    lines += ["", "Ctrl-C stops."]
    console.print(Panel("\n".join(lines), title="Courtyard is up", expand=False, padding=(1, 2)))
