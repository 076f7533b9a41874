"""One way to the database: SQLite by default, PostgreSQL by URL. Times are aware UTC datetimes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, DateTime, Dialect, Engine, ExceptionContext, MetaData, create_engine, event
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


KINDS = ("operational", "integrity", "data", "other")


def kind_of(error: BaseException | None) -> str:
    """Which of KINDS: operational means away, locked or full; integrity a constraint; data a value it cannot take."""
    if isinstance(error, OperationalError | InterfaceError | InternalError):
        return "operational"
    if isinstance(error, IntegrityError):
        return "integrity"
    return "data" if isinstance(error, DataError) else "other"


def driver_url(url: str) -> str:
    """The URL of the settings as SQLAlchemy wants it."""
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on both engines; SQLite would otherwise lose its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime cannot be stored; times are aware UTC")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """Owns the engine. `write()` is a transaction that takes the write lock at once; `read()` one that never writes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.errors: Counter[str] = Counter()
        """What has failed since the start, by one of KINDS; also what somebody expected and caught."""
        self._engine: Engine | None = None

    @classmethod
    def sqlite(cls, path: Path) -> Database:
        return cls(f"sqlite:///{path}")

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    def start(self) -> None:
        options: dict[str, Any] = {"pool_pre_ping": not self.is_sqlite}
        self._engine = create_engine(driver_url(self.url), **options)
        event.listen(self._engine, "handle_error", self._count_error)
        if self.is_sqlite:
            event.listen(self._engine, "connect", _prepare_sqlite)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _count_error(self, failed: ExceptionContext) -> None:
        self.errors[kind_of(failed.sqlalchemy_exception)] += 1

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the database is used before start()")
        return self._engine

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            if self.is_sqlite:
                # A deferred transaction that later writes fails with SQLITE_BUSY instead of waiting its turn.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            with connection.begin() if not connection.in_transaction() else _joined(connection):
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            yield connection
            connection.rollback()


@contextmanager
def _joined(connection: Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _prepare_sqlite(dbapi_connection: Any, _record: object) -> None:
    dbapi_connection.isolation_level = None  # we say BEGIN ourselves
    cursor = dbapi_connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
