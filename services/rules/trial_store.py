"""What rules have recorded and told nobody: episodes of rules on trial, and what late data would have said."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete

from services.tables import rule_corrections, shadow_episodes


def expire(connection: Connection, before: datetime) -> int:
    """Forget what was over, or known, before that; how much it was. What goes on stays."""
    gone = connection.execute(delete(rule_corrections).where(rule_corrections.c.known_at < before)).rowcount
    over = shadow_episodes.c.cleared_at < before
    return gone + connection.execute(delete(shadow_episodes).where(over)).rowcount
