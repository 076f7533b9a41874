"""The installation that a command works on. It is never made by a command that only looks at one or changes one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from device_profiles.mistakes import nearest
from services.cli.shared import NoCourtyard

if TYPE_CHECKING:
    from services.database import Database
    from services.settings import Settings

_SQLITE = b"SQLite format 3\0"
_NEXT = "start one there (courtyard up), or name the folder of yours: --data DIR (or COURTYARD_DATA_DIR)"


def open_installed(stack: ExitStack, settings: Settings) -> Database:
    """The database as it stands, with this version's tables.

    Raises NoCourtyard where there is none, Damaged where it cannot be read, ValueError where it has the tables of
    another version or does not answer; each says the next step.
    """
    from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

    from services.database import Database
    from services.folder import Damaged
    from services.room import is_want_of_room

    file = None if settings.database_url else file_of(settings, "courtyard.db")
    database = Database(settings.effective_database_url)
    try:
        database.start()
        stack.callback(database.close)
        _check_version(database, settings)
    except ArgumentError as error:
        raise ValueError(
            "COURTYARD_DATABASE_URL: expected postgresql://user:password@host[:port]/name, found something else"
        ) from error
    except OperationalError as error:
        if file is not None and is_want_of_room(error):
            raise ValueError(f"{file}: the disk is full ({error.orig}); make room and do it again") from error
        raise ValueError(_away(str(error.orig), settings, file)) from error
    except DatabaseError as error:
        if file is None:
            raise ValueError(_away(str(error.orig), settings, file)) from error
        raise Damaged(file, str(error.orig)) from error
    return database


def file_of(settings: Settings, name: str) -> Path:
    """A file that an installation keeps in its folder. Raises NoCourtyard where it is not there."""
    path = settings.data_dir / name
    if not path.exists():
        raise NoCourtyard(f"there is no Courtyard in {settings.data_dir.absolute()} (no {name}); {_NEXT}")
    return path


@contextmanager
def readable(file: Path) -> Iterator[Path]:
    """A database file while it is read: raises Damaged, with its name, where it is none."""
    from services.folder import Damaged

    if file.exists() and _begins(file) not in (b"", _SQLITE):
        raise Damaged(file, "file is not a database")
    try:
        yield file
    except sqlite3.OperationalError:
        raise  # locked, or not for this user: nothing is wrong with the file
    except sqlite3.DatabaseError as error:
        raise Damaged(file, str(error)) from error


def _begins(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(len(_SQLITE))


def folder_of(settings: Settings) -> Path:
    """The folder of an installation or of a gateway alone. Raises NoCourtyard where it holds neither."""
    folder = settings.data_dir
    if not any((folder / name).exists() for name in ("courtyard.db", "journal.db", "telemetry.db")):
        raise NoCourtyard(f"there is no Courtyard in {folder.absolute()}; {_NEXT}")
    return folder


def the_site(database: Database, site: str, argument: str = "--site") -> tuple[str, ZoneInfo]:
    """The named site, or the only one where none is named, with its zone. Raises ValueError with those there are."""
    from sqlalchemy import select

    from services.tables import sites

    with database.read() as connection:
        known = {row.id: row.timezone for row in connection.execute(select(sites.c.id, sites.c.timezone))}
    site = next(iter(known)) if not site and len(known) == 1 else site
    if site not in known:
        there = (
            f"one of: {', '.join(sorted(known))}" if known else "a site, and there is none yet: courtyard site import"
        )
        meant = nearest(site, known) if len(known) > 1 else ""
        raise ValueError(f"{argument}: found {repr(site) if site else 'none'}, expected {there}{meant}")
    return site, ZoneInfo(known[site])


def _check_version(database: Database, settings: Settings) -> None:
    from services import migrations

    migrations.refuse_newer(database)
    found, expected = migrations.current(database), migrations.newest()
    if found == expected:
        return
    where = _where(settings)
    if found is None:
        raise NoCourtyard(f"there is no Courtyard in {where}: its database is empty; to begin: courtyard migrate")
    raise ValueError(
        f"{where} was written by an older Courtyard: found revision {found}, expected {expected}; stop what runs of "
        "the old version, make a backup (courtyard backup FILE), then: courtyard migrate"
    )


def _away(problem: str, settings: Settings, file: Path | None) -> str:
    if file is None:
        return f"{problem.strip()}\nIs PostgreSQL running there, and is COURTYARD_DATABASE_URL right?"
    step = "is another program holding it?" if "locked" in problem else "run this as the user that Courtyard runs as"
    return f"{_where(settings)}: {problem.strip()}; {step}"


def _where(settings: Settings) -> str:
    if not settings.database_url:
        return str(settings.data_dir / "courtyard.db")
    return f"the database {settings.database_url.rpartition('@')[2]}"
