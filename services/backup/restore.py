"""An installation from an archive: everything is checked first, built beside, and put in place at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from sqlalchemy import Connection, Table, func, inspect, select

from services import folder, migrations
from services.accounts import audit
from services.backup import manifest as manifests
from services.backup import sql
from services.backup.archive import Reader, free_bytes
from services.backup.copies import number_after
from services.backup.make import JOURNAL_FILE, SQL_FILE, TELEMETRY_FILE, Progress, Wanted, make
from services.backup.manifest import BackupUnusable, Manifest
from services.database import Database
from services.holding.file import SUFFIX as HELD
from services.settings import Settings
from services.sizes import in_words
from services.tables import gateways, notices

PROFILES_FOLDER = "profiles"
KEPT_FOLDER = "restored"
"""Settings, site files and secrets: for people to look at, and read by nothing."""
_NOT_COUNTED = frozenset({"running.json", f"{SQL_FILE}{HELD}"})
"""May be in a folder that still counts as empty: a start makes them before anything else."""


@dataclass
class Report:
    """What a restore did."""

    made_at: datetime
    version: str
    rows: dict[str, int] = field(default_factory=dict)
    migrated_from: str = ""
    """The revision of the backup, where this version has a newer one."""
    journals: list[str] = field(default_factory=list)
    telemetry: bool = False
    notices_waiting: int = 0
    set_aside: str = ""
    """Where what stood there before is kept."""
    next_steps: list[str] = field(default_factory=list)
    not_restored: list[str] = field(default_factory=list)


def check(path: Path, progress: Progress) -> Manifest:
    """Whether an archive is whole, and whether this version could restore it. Raises BackupUnusable, OSError."""
    with Reader(path) as archive:
        _verify(archive, progress)
        return archive.manifest


def _verify(archive: Reader, progress: Progress) -> None:
    manifest = archive.manifest
    archive.verify(progress.step("checking", sum(member.bytes for member in manifest.members.values())))
    for name in manifest.members:
        _check_name(name)
    manifests.check_revision(manifest, migrations.known(), version("courtyard"))


def _check_name(name: str) -> None:
    """A name must not lead out of the folder that it is put into."""
    path = PurePosixPath(name)
    # `files//etc/x` is below files, and what stands behind `files/` is not.
    plain = path.as_posix() == name and not path.is_absolute() and name != "."
    if not plain or ".." in path.parts or "\\" in name or "\0" in name:
        raise BackupUnusable(
            f"it has a member {name!r}, whose name leads elsewhere; expected a file of `courtyard backup`"
        )


def restore(path: Path, settings: Settings, now: datetime, progress: Progress, *, replace: bool) -> Report:
    """Put it into `settings.data_dir` and the database of the settings, which must both be empty; with `replace` what
    stands there is kept aside. Raises BackupUnusable, ValueError, OSError, SQLAlchemyError: nothing has changed then.
    """
    with ExitStack() as stack:
        archive = stack.enter_context(Reader(path))
        _verify(archive, progress)
        _check_folder(settings.data_dir)
        folder.claim(stack, settings.data_dir)
        remove_half_built(settings.data_dir)
        _check_space(archive, settings.data_dir)
        report = Report(archive.manifest.made_at, archive.manifest.version)
        aside = settings.data_dir / f"before-restore-{now:%Y%m%dT%H%M%SZ}"
        standing = _standing(settings.data_dir)
        if standing and not replace:
            names = ", ".join(file.name for file in standing[:5])
            raise ValueError(
                f"{settings.data_dir} is not empty: {names}; choose another folder with --data, or add --force to keep "
                "what is there aside"
            )
        building = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".restoring-", dir=settings.data_dir)))
        _restore_files(archive, building, now, report, progress)
        if settings.database_url:
            # The database server commits by itself, so it comes before the files are moved, which cannot fail much.
            with _server(settings, aside, now, progress, replace=replace, report=report) as connection:
                _fill(connection, archive, building, now, report, progress)
        elif archive.manifest.database is not None:
            with _new_sqlite(building / SQL_FILE) as connection:
                _fill(connection, archive, building, now, report, progress)
        _put_in_place(standing, aside, building, settings.data_dir, report)
        _say_what_is_left(archive.manifest, settings, report)
        return report


# --- what stands there ----------------------------------------------------------------------------------------------


def _check_folder(data_dir: Path) -> None:
    if data_dir.exists() and not data_dir.is_dir():
        raise ValueError(f"{data_dir} is a file; name a folder with --data")


def _standing(data_dir: Path) -> list[Path]:
    def counts(entry: Path) -> bool:
        return entry.name not in _NOT_COUNTED and not entry.name.startswith((".restoring-", "before-restore-"))

    return sorted(entry for entry in data_dir.iterdir() if counts(entry))


def _check_space(archive: Reader, data_dir: Path) -> None:
    need = sum(member.bytes for member in archive.manifest.members.values()) * 3 // 2
    free = free_bytes(data_dir)
    if free < need:
        raise OSError(f"{data_dir} has {in_words(free)} free, and this backup may need {in_words(need)}")


def _put_in_place(standing: list[Path], aside: Path, building: Path, data_dir: Path, report: Report) -> None:
    if standing:
        aside.mkdir(mode=0o700, exist_ok=True)
        for entry in standing:
            entry.rename(aside / entry.name)
        report.set_aside = str(aside)
    # The database last: with it the folder counts as an installation.
    for entry in sorted(building.iterdir(), key=lambda entry: entry.name == SQL_FILE):
        entry.rename(data_dir / entry.name)


# --- files ----------------------------------------------------------------------------------------------------------


def _restore_files(archive: Reader, building: Path, now: datetime, report: Report, progress: Progress) -> None:
    told = progress.step("files", sum(member.bytes for member in archive.manifest.members.values()))
    for part in archive.manifest.journals:
        _check_name(part.name)
        archive.extract(f"journals/{part.name}", building / part.name, told)
        if part.gateway:
            # Services elsewhere may have taken more than this journal knows of. Journals count from the microsecond in
            # which they were made, and no message takes less than one: so nothing was given a number beyond this.
            number_after(building / part.name, int(now.timestamp() * 1_000_000))
        report.journals.append(part.name)
    for name in archive.names("files"):
        archive.extract(name, building / name.removeprefix("files/"), told)
    if archive.manifest.telemetry:
        archive.extract("telemetry/telemetry.db", building / TELEMETRY_FILE, told)
        report.telemetry = True
    profiles = "config/profiles/"
    for name in archive.names("config"):
        if name.startswith(profiles):
            target = building / PROFILES_FOLDER / name.removeprefix(profiles)
        else:
            target = building / KEPT_FOLDER / name.removeprefix("config/")
        archive.extract(name, target, told)


# --- the database ---------------------------------------------------------------------------------------------------


@contextmanager
def _new_sqlite(path: Path) -> Iterator[Connection]:
    path.touch(mode=0o600)
    database = Database.sqlite(path)
    database.start()
    try:
        with database.write() as connection:
            yield connection
        with database.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        database.close()


@contextmanager
def _server(
    settings: Settings, aside: Path, now: datetime, progress: Progress, *, replace: bool, report: Report
) -> Iterator[Connection]:
    """A transaction on an empty database; what stood in it is saved as an archive of its own first."""
    database = Database(settings.database_url)
    database.start()
    try:
        with database.read() as connection:
            standing = inspect(connection).get_table_names()
            others = 0 if database.is_sqlite else sql.others_connected(connection)
        if standing and not replace:
            raise ValueError(
                f"the database is not empty: it has {len(standing)} tables; name another with --database, or add "
                "--force to keep a backup of it aside"
            )
        if standing and others:
            raise ValueError(f"{others} other programs are connected to the database; stop Courtyard's services first")
        if standing:
            aside.mkdir(mode=0o700, exist_ok=True)
            saved = aside / "database.zip"
            empty = settings.model_copy(update={"data_dir": aside / "none", "profiles_dir": None})
            if "alembic_version" in standing:
                make(saved, empty, now, progress, Wanted())
            report.set_aside = str(aside)
        with database.write() as connection:
            if standing:
                sql.drop(connection)
            yield connection
    finally:
        database.close()


def _fill(
    connection: Connection, archive: Reader, building: Path, now: datetime, report: Report, progress: Progress
) -> None:
    part = archive.manifest.database
    if part is None:
        return
    migrations.upgrade_on(connection, part.revision)
    tables = {table.name: table for table in sql.tables_of(connection)}
    told = progress.step("database", sum(part.rows.values()))
    for name, table in tables.items():
        if name in part.rows:
            report.rows[name] = _load_table(connection, archive, table, part.rows[name], told)
    unknown = sorted(set(part.rows) - set(tables))
    if unknown:
        report.not_restored.append(f"tables that are not Courtyard's: {', '.join(unknown)}")
    migrations.upgrade_on(connection)
    if part.revision != migrations.newest():
        report.migrated_from = part.revision
    _finish(connection, archive.manifest, building, now, report)
    sql.continue_numbers(connection, sql.tables_of(connection))


def _load_table(
    connection: Connection, archive: Reader, table: Table, expected: int, told: Callable[[int], None]
) -> int:
    # Migrations fill some tables; what the backup says of them counts.
    connection.execute(table.delete())
    with archive.open(f"sql/{table.name}.jsonl") as source:
        loaded = sql.load(connection, table, source, told)
    if loaded != expected:
        raise BackupUnusable(f"table {table.name}: found {loaded} rows, expected {expected}; take another backup")
    return loaded


def _finish(connection: Connection, manifest: Manifest, building: Path, now: datetime, report: Report) -> None:
    for part in manifest.journals:
        if part.gateway:
            taken = connection.execute(select(gateways.c.cursor).where(gateways.c.id == part.gateway)).scalar()
            number_after(building / part.name, int(taken or 0))
    waiting = select(func.count()).select_from(notices).where(notices.c.state == "queued")
    report.notices_waiting = int(connection.execute(waiting).scalar_one())
    data = {"made_at": manifest.made_at.isoformat(), "version": manifest.version}
    audit.append(connection, now=now, who=None, action="restored", subject="backup", data=data)


# --- what to say ----------------------------------------------------------------------------------------------------


def _say_what_is_left(manifest: Manifest, settings: Settings, report: Report) -> None:
    report.not_restored += manifest.left_out
    if manifest.database is None:
        report.not_restored.append("the database: this is the backup of a gateway alone")
    kept = settings.data_dir / KEPT_FOLDER
    report.next_steps.append(f"Compare your settings with {kept / 'settings.json'}.")
    if any(name.startswith("config/profiles/") for name in manifest.members):
        report.next_steps.append(f"Your own profiles: COURTYARD_PROFILES_DIR={settings.data_dir / PROFILES_FOLDER}")
    if manifest.secrets:
        report.next_steps.append(f"Secrets lie in {kept}: put them where they belong, then remove them there.")
    if not any(part.name == JOURNAL_FILE for part in manifest.journals):
        report.not_restored.append("a journal: gateways that run elsewhere have their own, and go on from it")
    if report.notices_waiting:
        report.next_steps.append(
            f"{report.notices_waiting} notices were waiting and go out at the start; those sent since the backup was "
            "made may go out twice."
        )


def remove_half_built(data_dir: Path) -> None:
    """What a restore that was killed has left."""
    for entry in data_dir.glob(".restoring-*"):
        shutil.rmtree(entry, ignore_errors=True)
