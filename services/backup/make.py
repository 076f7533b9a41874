"""Taking a backup, beside a product that may be running.

The order matters. The journal is copied before the SQL snapshot is taken: what services had committed by then is in the
snapshot, and what they had not is in the journal, so that a gateway which starts from both delivers exactly what is
missing. The other way round the journal could have given back what the snapshot still lacks. The time series come
last for the same reason, and so does the journal in which services keep readings for InfluxDB: a store takes a reading
twice without harm, but never a reading that nobody has any more.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, select

from gateway.telemetry.spool import FILE as SPOOL_FILE
from services import migrations
from services.backup import config, sql
from services.backup.archive import Writer, free_bytes
from services.backup.copies import copy_online, file_bytes, is_journal
from services.backup.manifest import FORMAT, DatabasePart, JournalPart, Manifest
from services.database import Database
from services.settings import Settings
from services.sizes import in_words

SQL_FILE = "courtyard.db"
TELEMETRY_FILE = "telemetry.db"
JOURNAL_FILE = "journal.db"
_OF_THE_RUNNING = frozenset({"running.json"})
SPARE_BYTES = 64 * 1024**2
"""Left free on the disk that the archive goes to."""


class Progress(Protocol):
    """Where a person sees how far it is."""

    def step(self, what: str, total: int) -> Callable[[int], None]:
        """A step begins, with so many bytes or rows to do; returns what to call with each part that is done."""
        ...


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to take along beside journals, database, settings, profiles and site files."""

    telemetry: bool = False
    secrets: bool = False
    secrets_folder: Path | None = None


@dataclass
class _Work:
    """What has been found out and done so far."""

    sites: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    journals: list[JournalPart] = field(default_factory=list)
    database: DatabasePart | None = None


def make(target: Path, settings: Settings, now: datetime, progress: Progress, wanted: Wanted) -> Manifest:
    """Write the archive; returns what it says about itself. Raises ValueError, OSError, SQLAlchemyError."""
    if target.exists():
        raise FileExistsError(f"{target} exists and is not overwritten; choose another name")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent}; make it, or choose another")
    _check_space(target, settings, wanted)
    work = _Work()
    with Writer(target) as archive:
        _add_journals(archive, settings, work, progress)
        _add_small_files(archive, settings)
        _add_database(archive, settings, work, progress)
        _add_spool(archive, settings, work, progress)
        _add_telemetry(archive, settings, work, progress, wanted)
        _add_configuration(archive, settings, work, wanted)
        if work.database is None and not work.journals:
            raise ValueError(
                f"there is nothing of Courtyard's in {settings.data_dir}: expected {SQL_FILE}, {JOURNAL_FILE} or "
                "COURTYARD_DATABASE_URL; name the folder with --data"
            )
        manifest = Manifest(
            format=FORMAT,
            version=version("courtyard"),
            made_at=now,
            database=work.database,
            journals=work.journals,
            telemetry="telemetry/telemetry.db" in archive.members,
            secrets=wanted.secrets,
            sites=work.sites,
            left_out=work.left_out,
            members=archive.members,
        )
        archive.finish(manifest)
    return manifest


def _check_space(target: Path, settings: Settings, wanted: Wanted) -> None:
    """A copy of the largest file lies beside the archive for a while; how small the rest gets nobody knows before."""
    files = [*_databases(settings.data_dir), settings.data_dir / SQL_FILE]
    if wanted.telemetry:
        files.append(settings.data_dir / TELEMETRY_FILE)
    sizes = [file_bytes(file) for file in files]
    need = sum(sizes) // 2 + max(sizes, default=0) + SPARE_BYTES
    free = free_bytes(target.parent)
    if free < need:
        raise OSError(
            f"{target.parent} has {in_words(free)} free, and the backup may need {in_words(need)}; "
            "free some space, or name a file on another disk"
        )


def _databases(folder: Path) -> list[Path]:
    """Small database files of the data folder: the journal, and what else is kept beside it."""
    found = sorted(folder.rglob("*.db")) if folder.is_dir() else []
    apart = {folder / SQL_FILE, folder / TELEMETRY_FILE}
    return [file for file in found if file not in apart and ".damaged-" not in file.name and not _hidden(file, folder)]


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith((".", "before-restore")) for part in file.relative_to(folder).parts)


def _add_journals(archive: Writer, settings: Settings, work: _Work, progress: Progress) -> None:
    for file in _databases(settings.data_dir):
        name = file.relative_to(settings.data_dir).as_posix()
        if name == SPOOL_FILE:
            continue
        _add_copy(archive, file, f"journals/{name}", progress)
        mine = name == JOURNAL_FILE and is_journal(file)
        work.journals.append(JournalPart(name, settings.gateway_id if mine else ""))


def _add_spool(archive: Writer, settings: Settings, work: _Work, progress: Progress) -> None:
    file = settings.data_dir / SPOOL_FILE
    if file.exists():
        _add_copy(archive, file, f"journals/{SPOOL_FILE}", progress)
        work.journals.append(JournalPart(SPOOL_FILE))


def _add_small_files(archive: Writer, settings: Settings) -> None:
    """What a gateway must know to go on where nobody can be asked: its devices, and what the broker sends it."""
    for file in sorted(settings.data_dir.glob("*.json")):
        if file.name not in _OF_THE_RUNNING and file.is_file() and not file.is_symlink():
            archive.add_file(f"files/{file.name}", file)


def _add_copy(archive: Writer, file: Path, name: str, progress: Progress) -> None:
    size = file_bytes(file)
    with tempfile.TemporaryDirectory(prefix=".courtyard-", dir=archive.target.parent) as folder:
        copy = Path(folder) / "copy.db"
        copy_online(file, copy, progress.step(f"copying {file.name}", size))
        archive.add_file(name, copy, progress.step(f"packing {file.name}", copy.stat().st_size))


def _add_database(archive: Writer, settings: Settings, work: _Work, progress: Progress) -> None:
    if not settings.database_url and not (settings.data_dir / SQL_FILE).exists():
        return
    with _opened(settings) as database, sql.snapshot(database) as connection:
        revision = migrations.current_on(connection)
        if revision is None:
            work.left_out.append("the database: it is empty")
            return
        tables = sql.tables_of(connection)
        told = progress.step("database", sql.count_rows(connection, tables))
        rows: dict[str, int] = {}
        for table in tables:
            with archive.member(f"sql/{table.name}.jsonl") as into:
                rows[table.name] = sql.dump(connection, table, into, told)
        work.database = DatabasePart(database.engine.dialect.name, revision, rows)
        if revision == migrations.newest():
            _add_sites(archive, connection, work)
        else:
            work.left_out.append("site files: the database has the tables of another version")


@contextmanager
def _opened(settings: Settings) -> Iterator[Database]:
    database = Database(settings.effective_database_url)
    database.start()
    try:
        yield database
    finally:
        database.close()


def _add_sites(archive: Writer, connection: Connection, work: _Work) -> None:
    """As files too, for people: the database has all that they say."""
    from services.sites.export import export_site
    from services.tables import sites

    for site in connection.execute(select(sites.c.id).order_by(sites.c.id)).scalars().all():
        archive.add(f"config/sites/{site}.yaml", export_site(connection, site).encode())
        work.sites.append(site)


def _add_telemetry(archive: Writer, settings: Settings, work: _Work, progress: Progress, wanted: Wanted) -> None:
    file = settings.data_dir / TELEMETRY_FILE
    if settings.influx_url:
        work.left_out.append("time series: they are in InfluxDB, which has a backup of its own")
    if not file.exists():
        return
    if wanted.telemetry:
        _add_copy(archive, file, "telemetry/telemetry.db", progress)
    else:
        work.left_out.append(f"the embedded time series, {in_words(file_bytes(file))}: ask for them with --telemetry")


def _add_configuration(archive: Writer, settings: Settings, work: _Work, wanted: Wanted) -> None:
    said = config.settings_as_said(settings, secrets=wanted.secrets)
    archive.add("config/settings.json", config.encode(said))
    for name, file in config.profile_files(settings.profiles_dir):
        archive.add(f"config/profiles/{name}", file.read_bytes())
    if not wanted.secrets:
        work.left_out.append("secrets (passwords in settings, tokens, the folder of secrets): ask with --with-secrets")
        return
    for name, file in config.secret_files(wanted.secrets_folder):
        archive.add(f"config/secrets/{name}", file.read_bytes())
    if settings.gateway_token_file is not None and settings.gateway_token_file.is_file():
        archive.add("config/gateway-token", settings.gateway_token_file.read_bytes())
