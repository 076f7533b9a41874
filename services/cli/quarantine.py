"""`courtyard quarantine`: messages that could not be decoded, seen from the gateway's own disk."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from services.cli import app
from services.cli.console import Console
from services.cli.installed import file_of, readable
from services.cli.shared import explained, settings_with

if TYPE_CHECKING:
    from gateway.quarantine import QuarantineEntry

quarantine = typer.Typer(no_args_is_help=True, help="Messages that could not be decoded.")
app.add_typer(quarantine, name="quarantine")
_SHOWN = 60
Data = Annotated[Path | None, typer.Option("--data", help="The gateway's data folder.")]


@quarantine.command("list")
@explained
def list_(
    data: Data = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many, newest first.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line, payload as hex.")] = False,
) -> None:
    """What was set aside, newest first, with the reason.

    Try a message against a mended profile with [bold]courtyard decode[/bold]; replay all of it on the page
    /quarantine or with POST /api/v1/quarantine/replay, which the running gateway carries out.
    """
    from gateway.journal import JournalReader

    with readable(file_of(settings_with(data_dir=data), "journal.db")) as path, closing(JournalReader(path)) as reader:
        entries = reader.quarantine(limit=limit)
    if as_json:
        for entry in entries:
            print(json.dumps(_plain(entry), ensure_ascii=False))
    elif entries:
        _print(entries)
    else:
        Console().print("Nothing is set aside: every message so far could be decoded.")


def _plain(entry: QuarantineEntry) -> dict[str, object]:
    return {
        "id": entry.id,
        "received_at": _when(entry),
        "topic": entry.topic,
        "payload_hex": entry.payload.hex(),
        "code": entry.code,
        "reason": entry.reason,
    }


def _when(entry: QuarantineEntry) -> str:
    return datetime.fromtimestamp(entry.received_at / 1000, UTC).isoformat(timespec="milliseconds")


def _print(entries: list[QuarantineEntry]) -> None:
    """A few lines for each: reasons and topics are too long for columns, and must not be cut off."""
    out = Console(highlight=False, soft_wrap=True)
    for entry in entries:
        shown = repr(entry.payload[:_SHOWN].decode("utf-8", "backslashreplace"))[1:-1]
        out.print(f"[bold]{entry.id}[/bold]  {_when(entry)}  {escape(entry.topic)}")
        out.print(f"    {escape(entry.reason)}")
        out.print(f"    {len(entry.payload)} bytes: {escape(shown)}{'…' if len(entry.payload) > _SHOWN else ''}")
