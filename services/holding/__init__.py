"""One Courtyard at a time judges what a database holds: its memory is a copy of it, and two copies drift apart.

`hold` takes the database for this process, or says whose it is. The hold is the engine's own (a lock on a file beside
SQLite, a session's lock in PostgreSQL) and ends with its owner, however that ends; nothing has to be cleaned up.
Commands that look, or write small things in transactions of their own, need none.
"""

from __future__ import annotations

from services.holding.hold import Hold, hold, owner_of
from services.holding.owner import DatabaseInUse, Owner

__all__ = ["DatabaseInUse", "Hold", "Owner", "hold", "owner_of"]
