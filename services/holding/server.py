"""PostgreSQL: a session's advisory lock, on a connection that does nothing else; the lock goes with the session.

A session ends with its process, a restart of the server, or the network between them: hence the watch in `hold`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC
from typing import Any

from sqlalchemy import Connection, NullPool, Row, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from services.database import driver_url
from services.holding.owner import Owner

_KEY = {"space": 0x636F7572, "what": 1}
"""Any numbers, the same in every process; another space than that of the one-number locks used elsewhere."""
_NAME = "courtyard {pid}@{host}"
_NAME_BYTES = 63
"""Longer names of programs are cut by PostgreSQL."""
_CONNECTING = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# The server, too, must notice that the owner's machine is gone: Linux would ask for the first time after two hours.
_SERVER_NOTICES = text(
    "SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false), "
    "set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '25000', false)"
)
# Between taking it and the watch stands a migration, which may last longer than a server lets sessions idle.
_MAY_IDLE = text("SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'")
_TAKE = text("SELECT pg_try_advisory_lock(:space, :what)").bindparams(**_KEY)
_THIS = text("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
_OWNER = text(
    "SELECT a.application_name AS name, host(a.client_addr) AS address, a.backend_start AS since, a.pid AS session "
    "FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = :space AND l.objid = :what "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
).bindparams(**_KEY)
_LOOKS = 3


class NotNoticedYet(OSError):
    """The server goes on with a session whose client has given it up: a line was cut, and neither said so."""

    def __init__(self) -> None:
        super().__init__(
            "the server has not noticed yet that the session before is over; it does so within half a minute"
        )


class ServerKeeper:
    def __init__(self, url: str, me: Owner) -> None:
        name = _NAME.format(pid=me.pid, host=me.host)[:_NAME_BYTES]
        self._engine = create_engine(
            driver_url(url),
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",  # a server may end sessions that idle within a transaction
            connect_args={**_CONNECTING, "application_name": name},
        )
        self._connection: Connection | None = None
        self._session: tuple[Any, ...] = ()
        """With which it was taken the last time: its number and since when, which no other session shares."""

    def try_to_take(self) -> Owner | None:
        """Raises SQLAlchemyError where the server does not answer, NotNoticedYet where nobody else has it."""
        connection = self._connected()
        for _ in range(_LOOKS):
            if connection.scalar(_TAKE):
                self._session = tuple(connection.execute(_THIS).one())
                return None
            row = connection.execute(_OWNER).first()
            if row is not None and (row.session, row.since) == self._session:
                raise NotNoticedYet
            if row is not None:
                return _said(row)
        return Owner()  # it came and went between the looks

    def reach(self) -> None:
        self._connected()

    def is_ours(self) -> bool:
        if self._connection is None:
            return False
        try:
            self._connection.scalar(text("SELECT 1"))
        except SQLAlchemyError:
            self.let_go()
            return False
        return True

    def let_go(self) -> None:
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.close()
            self._connection = None

    def _connected(self) -> Connection:
        if self._connection is None:
            connection = self._engine.connect()
            try:
                connection.execute(_SERVER_NOTICES)
                connection.execute(_MAY_IDLE)
            except SQLAlchemyError:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def owner_on(connection: Connection) -> Owner | None:
    """Who holds the database of this connection; None: nobody."""
    row = connection.execute(_OWNER).first()
    return None if row is None else _said(row)


def _said(row: Row[Any]) -> Owner:
    """A session of another role shows its name alone."""
    since = row.since.astimezone(UTC) if row.since else None
    named = re.fullmatch(r"courtyard (\d+)@(.*)", row.name or "")
    return Owner(named[2], int(named[1]), since) if named else Owner(row.address or "", 0, since)
