"""What is forgotten, and when: each hour, what is older than the settings say. docs/operations.md lists every table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from services.commands import store as commands
from services.database import Database
from services.events import store as events
from services.maintenance import store as windows
from services.notices import sending
from services.presence import gap_store
from services.rules import book_store, trial_store
from services.rules.store import expire_decisions
from services.settings import Settings
from services.ticker import Chore

log = structlog.get_logger("courtyard.retention")

Expire = Callable[[Connection, datetime], int]
"""Forgets what was over before a moment, in the caller's transaction; how many rows it was."""


def retention_chores(database: Database, settings: Settings) -> list[Chore]:
    """One for each kind of record in the database of services."""
    judged_by = max(settings.decision_days, windows.BACKLOG.days)  # a gateway's backlog is still to be judged
    kinds: tuple[tuple[str, Expire, int], ...] = (
        ("notices", sending.expire, settings.notice_days),
        ("commands", commands.expire, settings.command_days),
        ("events", events.expire, settings.event_days),
        ("rule trials", trial_store.expire, settings.event_days),
        ("decisions", expire_decisions, settings.decision_days),
        ("gaps of gateways", gap_store.expire, settings.decision_days),
        ("maintenance", windows.expire, judged_by),
        ("rule books", book_store.expire, settings.decision_days),
    )
    return [_forgetting(database, *kind) for kind in kinds]


def _forgetting(database: Database, what: str, expire: Expire, days: int) -> Chore:
    def forget(now: datetime) -> None:
        with database.write() as connection:
            gone = expire(connection, now - timedelta(days=days))
        if gone:
            log.info("expired", what=what, rows=gone)

    return Chore(f"{what} retention", timedelta(hours=1), forget)
