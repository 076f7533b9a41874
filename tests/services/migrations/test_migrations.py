"""A migrated database is exactly what tables.py says."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

import services.tables
from services import migrations
from services.database import Database, metadata


def _differences(database: Database) -> list[object]:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, metadata))


def _migrated(database: Database) -> None:
    database.start()
    try:
        assert migrations.current(database) is None
        migrations.upgrade(database)
        migrations.upgrade(database)  # harmless
        assert migrations.current(database) == migrations.newest()
        assert _differences(database) == []
        tables = set(inspect(database.engine).get_table_names())
        assert tables == {*metadata.tables, "alembic_version"}
        assert services.tables.alarms.name in tables
    finally:
        database.close()


def test_sqlite(tmp_path: Path) -> None:
    _migrated(Database.sqlite(tmp_path / "courtyard.db"))


@pytest.mark.postgresql
def test_postgresql(postgresql_url: str) -> None:
    _migrated(Database(postgresql_url))


def test_partial_unique_indexes_stand_on_sqlite(tmp_path: Path) -> None:
    database = Database.sqlite(tmp_path / "courtyard.db")
    database.start()
    migrations.upgrade(database)
    with database.read() as connection:
        sql = {
            row[0]: row[1]
            for row in connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'index'")
        }
    database.close()
    # The comparison above does not look at WHERE; without it one device could never have a second episode.
    assert "WHERE state <> 'cleared'" in sql["uq_alarms_standing"]
    assert "WHERE state = 'ongoing'" in sql["uq_outages_ongoing"]
    assert "WHERE retired_at IS NULL" in sql["uq_devices_profile_address"]


def test_every_migration_goes_down_again(tmp_path: Path) -> None:
    from alembic import command

    database = Database.sqlite(tmp_path / "courtyard.db")
    database.start()
    migrations.upgrade(database)
    with database.write() as connection:
        command.downgrade(migrations.config_for(connection), "base")
    assert set(inspect(database.engine).get_table_names()) == {"alembic_version"}
    migrations.upgrade(database)
    assert _differences(database) == []
    database.close()
