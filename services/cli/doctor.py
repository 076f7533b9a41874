"""`courtyard doctor`: what is wrong, and what to do."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from services.cli import app
from services.cli.console import Console
from services.cli.shared import explained, settings_with
from services.clock import SystemClock
from services.doctor.findings import Finding, Level

console = Console()
_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}


@app.command()
@explained
def doctor(
    data: Annotated[Path | None, typer.Option("--data", help="The data folder to look at.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the integrity check of databases.")] = False,
) -> None:
    """Say what is wrong with this installation and what to do. Changes nothing; exit code 1 when something fails.

    It reads the same settings (COURTYARD_…) as the programs it looks at: this machine, the broker, the journal, the
    database, InfluxDB, Grafana, mail, secrets, metrics, and whether the disk will do. What is not set is not asked.
    With COURTYARD_SERVICES_URL set it examines a gateway alone. Warnings leave the exit code at 0.
    """
    from services.doctor.examine import CHECK_SECONDS, examine

    settings = settings_with(data_dir=data)
    found = examine(settings, SystemClock(), check_seconds=0 if quick else CHECK_SECONDS)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in found], ensure_ascii=False, indent=1))
    else:
        console.print(_table(found))
        console.print(_summary(found))
    if any(finding.level is Level.FAIL for finding in found):
        raise typer.Exit(1)


def _table(found: list[Finding]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in found:
        words = escape(finding.found) + (f"\n[bold]→ {escape(finding.next_step)}[/bold]" if finding.next_step else "")
        table.add_row(f"[{_COLOURS[finding.level]}]{finding.level}[/]", finding.what, words)
    return table


def _summary(found: list[Finding]) -> str:
    failed = sum(finding.level is Level.FAIL for finding in found)
    warned = sum(finding.level is Level.WARN for finding in found)
    if failed or warned:
        return f"\n{failed} to mend, {warned} to look at."
    return "\nNothing is wrong."
