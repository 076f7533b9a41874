"""People, their roles at sites, sessions, tokens, and the audit log."""

from __future__ import annotations

from services.accounts.desk import first_start

__all__ = ["first_start"]
