"""The audit log: append-only, and each row carries the hash of the one before, so a changed or removed row shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, text

from services.database import Database
from services.tables import audit

_START = "0" * 64


@dataclass(frozen=True)
class Intact:
    """Every row fits the one before. Note `head` elsewhere to prove later that nothing was cut off the end."""

    rows: int
    head: str


@dataclass(frozen=True)
class Broken:
    """The first row that does not fit."""

    seq: int
    reason: str


def append(
    connection: Connection,
    *,
    now: datetime,
    who: str | None,
    action: str,
    subject: str = "",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Add a row in the caller's transaction: an act and its record commit together. `who` None is Courtyard itself."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE"))  # one chain, one writer at a time
    last = connection.execute(select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)).first()
    seq, previous = (last.seq + 1, last.hash) if last else (1, _START)
    row = {"seq": seq, "at": now, "who": who, "action": action, "subject": subject[:200], "data": dict(data or {})}
    connection.execute(insert(audit).values(**row, previous_hash=previous, hash=_hash(row, previous)))


def verify(database: Database) -> Intact | Broken:
    """Walk the whole chain."""
    previous, seq = _START, 0
    with database.read() as connection:
        for row in connection.execute(select(audit).order_by(audit.c.seq)).mappings():
            if row["seq"] != seq + 1:
                return Broken(seq + 1, "a row is missing")
            seq = row["seq"]
            if row["previous_hash"] != previous:
                return Broken(seq, "the row before it was changed")
            if row["hash"] != _hash(dict(row), previous):
                return Broken(seq, "the row was changed")
            previous = row["hash"]
    return Intact(seq, previous)


def _hash(row: Mapping[str, Any], previous: str) -> str:
    said = [row["seq"], row["at"].isoformat(), row["who"], row["action"], row["subject"], row["data"], previous]
    return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
