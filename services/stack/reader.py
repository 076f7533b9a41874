"""What Grafana's role in PostgreSQL may read: the state of the equipment and of the work, and nothing about people."""

from __future__ import annotations

from sqlalchemy import text

from services.database import Database

READABLE = (
    "sites",
    "buildings",
    "units",
    "devices",
    "gateways",
    "device_states",
    "alarms",
    "tickets",
    "outages",
)
"""What dashboards ask, and no more. Not: people, sessions, tokens, audit, recipients and notices (addresses), events
(who went through which door), what people write on tickets."""


def let_read(database: Database, role: str) -> tuple[str, ...]:
    """Give `role` the right to read READABLE, and take every other one. Raises ValueError where that cannot be."""
    if database.is_sqlite:
        raise ValueError("--reader: SQLite knows no roles; Grafana's panels of tickets need PostgreSQL")
    with database.write() as connection:
        if connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}).first() is None:
            raise ValueError(f"--reader: PostgreSQL has no role {role!r}; deploy/postgres/roles.sh makes it")
        quoted = connection.dialect.identifier_preparer.quote_identifier(role)
        connection.execute(text(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {quoted}"))
        connection.execute(text(f"GRANT SELECT ON {', '.join(READABLE)} TO {quoted}"))
    return READABLE
