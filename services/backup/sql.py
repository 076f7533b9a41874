"""Tables as lines of JSON, in one snapshot, from either engine into either engine.

What a table looks like is read from the database itself, so that a database of an older version is taken as it is; it
is loaded into tables of that version and brought forward by the migrations.

    sql/tickets.jsonl     ["id","number",…]           the columns, then one row a line
                          ["01jz…",17,…]

Times are RFC 3339 in UTC, JSON columns are what they hold, NULL is null.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from time import sleep
from typing import IO, Any

import msgspec
from sqlalchemy import JSON, Connection, DateTime, Integer, MetaData, Table, func, insert, select, text
from sqlalchemy.exc import DBAPIError, StatementError

from services.backup.manifest import BackupUnusable
from services.database import Database

_VERSION_TABLE = "alembic_version"
_ROWS = 1000
LONGEST_LINE = 16 * 1024**2
"""One row; the largest that Courtyard writes have some hundred kilobytes."""
_decode_names = msgspec.json.Decoder(list[str]).decode
_NO_ROWS = (TypeError, ValueError, LookupError, RecursionError)
Told = Callable[[int], None]


@contextmanager
def snapshot(database: Database) -> Iterator[Connection]:
    """A connection that sees one moment until it closes, and holds up nobody who writes meanwhile."""
    with database.engine.connect() as connection:
        if database.is_sqlite:
            # Said by ourselves, as everywhere: the driver would begin none before reading.
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql("SELECT COUNT(*) FROM sqlite_master")
        else:
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        yield connection
        connection.rollback()


def tables_of(connection: Connection) -> list[Table]:
    """What is there, each after those it refers to."""
    found = MetaData()
    found.reflect(bind=connection)
    return [table for table in found.sorted_tables if table.name != _VERSION_TABLE]


def count_rows(connection: Connection, tables: Sequence[Table]) -> int:
    return sum(int(connection.execute(select(func.count()).select_from(table)).scalar_one()) for table in tables)


def dump(connection: Connection, table: Table, into: IO[bytes], told: Told = lambda _: None) -> int:
    """Write every row; returns how many."""
    columns = list(table.columns)
    into.write(_line([column.name for column in columns]))
    order = list(table.primary_key.columns)
    rows = connection.execution_options(yield_per=_ROWS).execute(select(table).order_by(*order))
    count = 0
    for part in rows.partitions():
        into.write(b"".join(_line([_plain(value) for value in row]) for row in part))
        count += len(part)
        told(len(part))
    return count


def _line(values: list[Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        # SQLite keeps UTC without saying so.
        aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return aware.isoformat()
    return value


def load(connection: Connection, table: Table, source: IO[bytes], told: Told = lambda _: None) -> int:
    """Insert what `dump` wrote; returns how many rows. Raises BackupUnusable where they do not fit the table."""
    names = _names(table, source)
    convert = [_converter(table, name, connection) for name in names]
    statement = insert(table)
    count = 0
    parts = _parts(source)
    while True:
        try:
            part = next(parts, None)
            if part is None:
                return count
            rows = [{name: to(value) for name, to, value in zip(names, convert, row, strict=True)} for row in part]
            connection.execute(statement, rows)
        except DBAPIError as error:
            raise BackupUnusable(f"table {table.name}, behind row {count}: {error.orig}".strip()) from error
        except (*_NO_ROWS, StatementError) as error:
            said = "no rows of it" if isinstance(error, RecursionError) else error
            raise BackupUnusable(f"table {table.name}, behind row {count}: {said}") from error
        count += len(rows)
        told(len(rows))


def _names(table: Table, source: IO[bytes]) -> list[str]:
    """The columns, as the first line says them."""
    try:
        names = _decode_names(source.readline(LONGEST_LINE))
    except msgspec.MsgspecError as error:
        raise BackupUnusable(f"table {table.name}: expected the names of its columns first ({error})") from error
    unknown = [name for name in names if name not in table.columns]
    if unknown:
        raise BackupUnusable(f"table {table.name} has no column {', '.join(unknown)}")
    return names


def _parts(source: IO[bytes]) -> Iterator[list[list[Any]]]:
    lines = iter(partial(source.readline, LONGEST_LINE), b"")
    while part := list(islice(lines, _ROWS)):
        yield [_row(line) for line in part]


def _row(line: bytes) -> list[Any]:
    if len(line) >= LONGEST_LINE:
        raise ValueError(f"expected rows of at most {LONGEST_LINE // 1024**2} MB")
    row = json.loads(line)
    if not isinstance(row, list):
        raise ValueError(f"expected a list, found {type(row).__name__}")
    return row


def _converter(table: Table, name: str, connection: Connection) -> Callable[[Any], Any]:
    column = table.columns[name]
    if isinstance(column.type, DateTime):
        return lambda value: None if value is None else datetime.fromisoformat(value)
    if isinstance(column.type, JSON):
        # None would be stored as JSON's null; where SQL's NULL may stand, that is what is meant.
        column.type.none_as_null = bool(column.nullable)
        return lambda value: value
    if connection.dialect.name == "postgresql":
        return lambda value: value.replace("\0", "\ufffd") if isinstance(value, str) else value
    return lambda value: value


def continue_numbers(connection: Connection, tables: Sequence[Table]) -> None:
    """Numbers that the database gives itself go on behind those that were loaded. SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables:
        for column in table.primary_key.columns:
            if isinstance(column.type, Integer):
                _continue(connection, table.name, column.name)


def _continue(connection: Connection, table: str, column: str) -> None:
    sequence = connection.execute(
        text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": f'"{table}"', "column": column}
    ).scalar()
    if sequence is None:
        return
    highest = connection.execute(text(f'SELECT MAX("{column}") FROM "{table}"')).scalar()  # noqa: S608 - our tables
    if highest is not None:
        connection.execute(text("SELECT setval(:sequence, :highest)"), {"sequence": sequence, "highest": highest})


_LOOKS = 20
_LOOK_SECONDS = 0.1


def others_connected(connection: Connection) -> int:
    """How many other connections a PostgreSQL database has. The server goes on listing one that was closed until its
    process has ended, so those that are seen are looked at for a while."""
    query = (
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    for looks_left in reversed(range(_LOOKS)):
        found = int(connection.execute(text(query)).scalar_one())
        if not found or not looks_left:
            break
        sleep(_LOOK_SECONDS)
        connection.execute(text("SELECT pg_stat_clear_snapshot()"))  # else a transaction sees the same list again
    return found


def drop(connection: Connection) -> None:
    """Every table, the one that says the version too."""
    found = MetaData()
    found.reflect(bind=connection)
    found.drop_all(connection)
