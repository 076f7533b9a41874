"""Who holds a database, and how that is said."""

from __future__ import annotations

import os
import socket
from datetime import datetime

import msgspec


class Owner(msgspec.Struct, frozen=True):
    """A process that holds a database; what it could not be asked for is left out."""

    host: str = ""
    pid: int = 0
    since: datetime | None = None

    def __str__(self) -> str:
        who = f"process {self.pid} on {self.host}" if self.pid else "a program that does not say its name"
        return f"{who}, since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else who


class DatabaseInUse(OSError):
    """Another Courtyard holds the database."""

    def __init__(self, where: str, owner: Owner) -> None:
        super().__init__(
            f"the database {where} is held by another Courtyard: {owner}. One at a time can judge what it holds: "
            "stop that one and start this again, or give this one a database of its own with --database "
            "(COURTYARD_DATABASE_URL). If its machine is dead, the hold ends by itself within half a minute"
        )
        self.owner = owner


def this_process(now: datetime) -> Owner:
    return Owner(socket.gethostname(), os.getpid(), now)
