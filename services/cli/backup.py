"""`courtyard backup` and `courtyard restore`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import msgspec
import typer
from rich.markup import escape
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from typer.core import TyperGroup

from services.cli import app
from services.cli.console import Console
from services.cli.shared import explained, settings_with
from services.clock import SystemClock
from services.sizes import in_words

if TYPE_CHECKING:
    from services.backup.manifest import Manifest
    from services.backup.restore import Report

out = Console(highlight=False, soft_wrap=True)


class _FileOrCommand(TyperGroup):
    """`courtyard backup FILE` is `courtyard backup make FILE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = bool(args) and (args[0] in self.commands or args[0] == "--help")
        return super().parse_args(ctx, args if named or not args else ["make", *args])


backup = typer.Typer(
    name="backup",
    cls=_FileOrCommand,
    help="One file with everything that makes this installation what it is: `courtyard backup FILE`.",
    no_args_is_help=True,
)
app.add_typer(backup)

Data = Annotated[Path | None, typer.Option("--data", help="Courtyard's data folder.")]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database", metavar="URL", help="postgresql://…; default: SQLite in the data folder.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object for programs.")]


@backup.command("make")
@explained
def make_backup(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Where to; in a folder it gets a name with the time.", show_default=False),
    ],
    data: Data = None,
    database: DatabaseUrl = None,
    telemetry: Annotated[
        bool, typer.Option("--telemetry", help="The embedded time series too; they are most of the size.")
    ] = False,
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Passwords of settings, the gateway's token, and --secrets too.")
    ] = False,
    secrets_folder: Annotated[
        Path | None, typer.Option("--secrets", metavar="DIR", help="The folder of secrets files; means --with-secrets.")
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option("--keep", min=1, help="In a folder: remove older backups, so that this many are left."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a backup, safe while Courtyard runs: `courtyard backup FILE`.

    It holds the SQL database (from SQLite or PostgreSQL, for either), the gateway's journal, settings without their
    secrets, your own profiles and the site files. Hashes of passwords and phone numbers of recipients are in it, so the
    file is for your user alone. It is written under another name and renamed when it is whole.

    [bold]Examples[/bold]

      courtyard backup /srv/backups --keep 14

      courtyard backup /srv/before-upgrade.zip --telemetry --with-secrets
    """
    from services.backup import keeping
    from services.backup.make import Wanted, make

    settings = settings_with(data_dir=data, database_url=database)
    if secrets_folder is not None and not secrets_folder.is_dir():
        raise ValueError(f"there is no folder {secrets_folder} with secrets")
    if keep is not None and not file.is_dir():
        step = "" if file.exists() else f"; where that is right, make it: mkdir -p {file}"
        raise ValueError(f"--keep needs a folder of backups, and {file} is none{step}")
    now = SystemClock().now()
    target = keeping.in_folder(file, now) if file.is_dir() else file
    secrets = with_secrets or secrets_folder is not None
    wanted = Wanted(telemetry=telemetry, secrets=secrets, secrets_folder=secrets_folder)
    with _Shown(as_json) as progress:
        manifest = make(target, settings, now, progress, wanted)
    removed = keeping.remove_older(file, keep) if keep is not None else []
    if as_json:
        print(json.dumps({"file": str(target), "removed": [str(one) for one in removed], **_plain(manifest)}, indent=1))
        return
    out.print(f"Written to [bold]{escape(str(target))}[/bold], {_size(target)}.")
    _print_manifest(manifest)
    if removed:
        out.print(f"Removed {len(removed)} older ones.")
    out.print(f"Try it: courtyard backup check {escape(str(target))}")


@backup.command("check")
@explained
def check_backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `courtyard backup`.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Say whether a backup is whole, what is in it, and whether this version can restore it."""
    from services.backup.restore import check

    with _Shown(as_json) as progress:
        manifest = check(file, progress)
    if as_json:
        print(json.dumps({"file": str(file), "whole": True, **_plain(manifest)}, indent=1))
        return
    out.print(f"{escape(str(file))} is whole; this version can restore it.")
    _print_manifest(manifest)


@app.command()
@explained
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `courtyard backup`.", show_default=False)],
    data: Data = None,
    database: DatabaseUrl = None,
    force: Annotated[
        bool, typer.Option("--force", help="Where something stands already: keep it aside, and restore.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make an installation from a backup, in an empty folder and an empty database.

    Every checksum is compared first. A backup of an older version is brought forward; one of SQLite can go into
    PostgreSQL and back, which is the way to move. Courtyard must not run on the folder.

    [bold]Examples[/bold]

      courtyard restore /srv/backups/courtyard-20260701T030000Z.zip --data /srv/courtyard

      courtyard restore /srv/backups/courtyard-20260701T030000Z.zip --data /srv/courtyard --database postgresql://courtyard@db/courtyard
    """
    from services.backup.restore import restore as restore_from

    settings = settings_with(data_dir=data, database_url=database)
    with _Shown(as_json) as progress:
        report = restore_from(file, settings, SystemClock().now(), progress, replace=force)
    if as_json:
        print(json.dumps(msgspec.to_builtins(report), indent=1, ensure_ascii=False))
    else:
        _print_report(report, settings.data_dir)


class _Shown:
    """Bars on a terminal; nothing where a machine reads."""

    def __init__(self, quiet: bool) -> None:
        self._bars = Bars(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
            console=Console(stderr=True), transient=True, disable=quiet,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def step(self, what: str, total: int) -> Callable[[int], None]:
        task = self._bars.add_task(escape(what), total=max(total, 1))
        return lambda done: self._bars.advance(task, done)


def _size(file: Path) -> str:
    return in_words(file.stat().st_size)


def _plain(manifest: Manifest) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(manifest)
    plain["bytes"] = sum(member["bytes"] for member in plain.pop("members").values())
    return plain


def _print_manifest(manifest: Manifest) -> None:
    out.print(f"  made       {manifest.made_at:%Y-%m-%d %H:%M} UTC by Courtyard {escape(manifest.version)}")
    if manifest.database is not None:
        rows = manifest.database.rows
        named = ", ".join(f"{rows.get(name, 0):,} {name}" for name in ("devices", "alarms", "tickets", "notices"))
        out.print(f"  database   {manifest.database.engine}, revision {escape(manifest.database.revision)}: {named}")
    if manifest.sites:
        out.print(f"  sites      {escape(', '.join(manifest.sites))}")
    if manifest.journals:
        out.print(f"  journals   {escape(', '.join(part.name for part in manifest.journals))}")
    out.print(f"  readings   {'the embedded time series' if manifest.telemetry else 'none'}")
    for text in manifest.left_out:
        out.print(f"  [yellow]left out[/yellow]   {escape(text)}")


def _print_report(report: Report, folder: Path) -> None:
    out.print(f"Restored to [bold]{escape(str(folder))}[/bold] as it was at {report.made_at:%Y-%m-%d %H:%M} UTC.")
    if report.rows:
        out.print(f"  database   {sum(report.rows.values()):,} rows in {len(report.rows)} tables")
    if report.migrated_from:
        out.print(
            f"  brought forward from revision {escape(report.migrated_from)} of Courtyard {escape(report.version)}"
        )
    if report.journals:
        out.print(f"  journals   {escape(', '.join(report.journals))}")
    if report.telemetry:
        out.print("  readings   the embedded time series")
    if report.set_aside:
        out.print(f"  what stood there is kept in {escape(report.set_aside)}")
    for text in report.not_restored:
        out.print(f"  [yellow]not restored[/yellow]  {escape(text)}")
    for step in report.next_steps:
        out.print(f"→ {escape(step)}")
