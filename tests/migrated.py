"""Databases with their tables: migrated once in this process, and copied for each test that wants one.

That the migrations themselves are sound is proved by tests/services/migrations.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import psycopg

from services import migrations
from services.database import Database

_TEMPLATE = "courtyard_template"


def opened(url: str) -> Database:
    """A database of the newest version; one that is empty is a copy, one that has tables keeps what it has."""
    if url.startswith("sqlite:///"):
        place(Path(url.removeprefix("sqlite:///")))
    else:
        _place_on_postgresql(url)
    database = Database(url)
    database.start()
    migrations.upgrade(database)
    return database


def place(path: Path) -> None:
    """A new SQLite database of the newest version, unless there is a file already."""
    if not path.exists():
        path.write_bytes(_of_sqlite())


@cache
def _of_sqlite() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        _migrate(f"sqlite:///{path}")
        return path.read_bytes()


def _migrate(url: str) -> None:
    database = Database(url)
    database.start()
    migrations.upgrade(database)
    database.close()


def _place_on_postgresql(url: str) -> None:
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() != (None,):
            return
    name = urlsplit(url).path.removeprefix("/")
    server = url.replace(f"/{name}", "/postgres", 1)
    _make_template(server)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}".encode())


@cache
def _make_template(server: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {_TEMPLATE}".encode())
    _migrate(server.replace("/postgres", f"/{_TEMPLATE}", 1))
