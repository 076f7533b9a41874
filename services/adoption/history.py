"""A device's history goes with it when it gets its place, and back when that is undone.

The time series and this database commit apart, and a gateway learns of a new id only some seconds later. So each
renaming is written down with what made it, and carried out again and again for a day: the second time nothing is left.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, or_, select

from gateway.telemetry import TelemetryStore
from services.database import Database
from services.tables import device_renames

_LASTS = timedelta(days=1)


def note_rename(connection: Connection, old: str, new: str, now: datetime) -> None:
    """In the caller's transaction. A renaming back replaces the one it undoes."""
    forget_renames(connection, old)
    connection.execute(delete(device_renames).where(device_renames.c.old == old))
    connection.execute(insert(device_renames).values(old=old, new=new, at=now))


def forget_renames(connection: Connection, device: str) -> None:
    """What was filed elsewhere is no concern of this device any more: its address has changed."""
    connection.execute(delete(device_renames).where(device_renames.c.new == device))


def carry(database: Database, telemetry: TelemetryStore, now: datetime) -> int:
    """Do what is written down; how many renamings are still watched. Raises TelemetryUnavailable."""
    with database.read() as connection:
        wanted = connection.execute(select(device_renames).order_by(device_renames.c.at)).all()
    for row in wanted:
        telemetry.rename(row.old, row.new)
    over = [row.old for row in wanted if now - row.at >= _LASTS]
    if over:
        with database.write() as connection:
            connection.execute(delete(device_renames).where(or_(*(device_renames.c.old == old for old in over))))
    return len(wanted) - len(over)
