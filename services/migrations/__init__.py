"""The database's shape over time. `upgrade(database)` brings any database to the newest one; there is no ini file."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from services.database import Database

_LOCK = 0x636F7572  # any number, the same in every process


def config_for(connection: Connection | None = None) -> Config:
    """Alembic's configuration, with the connection it shall use."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


class WrittenByNewer(ValueError):
    """The database has tables that this version does not know."""


def refuse_newer(database: Database) -> None:
    """Raises WrittenByNewer, which names the database, both revisions and the next step."""
    found = current(database)
    if found is None or found in known():
        return
    where = database.url.rpartition("@")[2].removeprefix("sqlite:///")
    raise WrittenByNewer(
        f"{where} was written by a newer Courtyard: found revision {found}, this version knows {newest()} at most; "
        "use the newer version, or restore a backup of this one into another folder"
    )


def upgrade(database: Database) -> None:
    """Migrate to the newest version, in one transaction; harmless where it is there already. Raises WrittenByNewer."""
    refuse_newer(database)
    with database.write() as connection:
        if not database.is_sqlite:
            # Two processes that start together must not both create the tables.
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        command.upgrade(config_for(connection), "head")


def current(database: Database) -> str | None:
    """The version that the database is at; None for an empty one."""
    with database.read() as connection:
        return current_on(connection)


def current_on(connection: Connection) -> str | None:
    """The same, within the caller's transaction."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade_on(connection: Connection, revision: str = "head") -> None:
    """To a version, within the caller's transaction, on a database that nobody else uses."""
    command.upgrade(config_for(connection), revision)


def newest() -> str | None:
    """The version that this product wants."""
    return ScriptDirectory.from_config(config_for()).get_current_head()


def known() -> frozenset[str]:
    """Every version that this product can bring forward."""
    return frozenset(script.revision for script in ScriptDirectory.from_config(config_for()).walk_revisions())
