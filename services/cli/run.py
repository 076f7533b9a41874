"""The parts of the product as processes of their own: what a compose file or systemd starts."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from services.cli import app
from services.cli.console import Console
from services.cli.shared import explained, set_up_logging, settings_with, stopped_by_signal
from services.startup import collector_at_rest

console = Console()
Data = Annotated[Path | None, typer.Option("--data", help="Folder for journal, databases and secrets.")]


@app.command()
@explained
def gateway(
    data: Data = None,
    mqtt: Annotated[
        str | None, typer.Option("--mqtt", metavar="URL", help="mqtt://[user:password@]host[:port]")
    ] = None,
    services: Annotated[str | None, typer.Option("--services", metavar="URL", help="Where services are.")] = None,
    token_file: Annotated[Path | None, typer.Option("--token-file", help="File with this gateway's token.")] = None,
    name: Annotated[str | None, typer.Option("--id", help="This gateway's name; its token was made for it.")] = None,
) -> None:
    """Run a gateway alone, delivering to services elsewhere.

    It needs nothing but its disk to go on collecting; what services cannot take now waits in the journal.
    Make its token where services run: [bold]courtyard token create gateway-1 --role gateway[/bold].
    """
    settings = settings_with(
        data_dir=data, mqtt=mqtt, services_url=services, gateway_token_file=token_file, gateway_id=name
    )
    if settings.mqtt == "embedded":
        raise ValueError("a gateway alone needs a broker: --mqtt mqtt://host[:port] (or COURTYARD_MQTT)")
    if not settings.services_url:
        raise ValueError("a gateway alone needs services: --services http://host:port (or COURTYARD_SERVICES_URL)")
    with collector_at_rest():
        from services import folder
        from services.clock import SystemClock
        from services.gateway_node import start_remote_gateway

    set_up_logging(settings.log_level)
    stopping = stopped_by_signal()
    with ExitStack() as stack:
        folder.claim(stack, settings.data_dir)
        with collector_at_rest():
            start_remote_gateway(stack, settings, SystemClock())
        console.print(f"Gateway {settings.gateway_id} collects from its broker and delivers to {settings.services_url}")
        stopping.wait()


@app.command()
@explained
def services(
    data: Data = None,
    http: Annotated[
        str | None, typer.Option("--http", metavar="HOST:PORT", help="Where the pages and API are.")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option("--database", metavar="URL", help="postgresql://…; default: SQLite in the data folder."),
    ] = None,
) -> None:
    """Run services and pages alone; gateways elsewhere deliver to them over HTTP."""
    settings = settings_with(data_dir=data, http=http, database_url=database)
    with collector_at_rest():
        from services import bootstrap, folder
        from services.accounts.desk import first_start
        from services.clock import SystemClock

    set_up_logging(settings.log_level)
    clock = SystemClock()
    stopping = stopped_by_signal()
    with ExitStack() as stack:
        folder.claim(stack, settings.data_dir)
        with collector_at_rest():
            core = bootstrap.start_core(stack, settings, clock, stopping)
            password = first_start(core.database, clock.now())
            bootstrap.start_clockwork(stack, core)
            bootstrap.start_outbox(stack, core)
            bootstrap.start_annotations(stack, core)
            bootstrap.start_web(stack, core, None)
        folder.describe(settings.data_dir, folder.RunningNote(os.getpid(), settings.http))
        console.print(f"Services and pages: {settings.effective_public_url}")
        if password is not None:
            console.print(f"Sign in as admin with {password}  (shown once)")
        stopping.wait()
        core.hold.check()


@app.command()
@explained
def migrate(
    data: Data = None,
    database: Annotated[str | None, typer.Option("--database", metavar="URL", help="postgresql://…")] = None,
    reader: Annotated[
        str | None,
        typer.Option(
            "--reader", metavar="ROLE", help="Let this role of PostgreSQL (Grafana's) read alarms, tickets and outages."
        ),
    ] = None,
) -> None:
    """Bring the database to this version's tables. Safe to run again."""
    settings = settings_with(data_dir=data, database_url=database)
    from services import bootstrap

    with ExitStack() as stack:
        opened = bootstrap.open_database(stack, settings)
        console.print(f"{opened.engine.dialect.name}: the tables are this version's.")
        if reader is not None:
            from services.stack.reader import let_read

            console.print(f"{reader} may read {', '.join(let_read(opened, reader))}.")
