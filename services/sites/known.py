"""The devices in service, from memory: for what asks at every batch where they stand."""

from __future__ import annotations

import hashlib
import time
from threading import Lock

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from gateway.reading import Registry
from gateway.telemetry import TelemetryUnavailable
from services.database import Database
from services.sites.store import device_entries

_ASK_SECONDS = 10.0


class KnownDevices:
    """Asks the database every ten seconds at most. While it does not answer, what is known holds; where it never has,
    TelemetryUnavailable: readings written without their place would stand apart for good."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: Registry | None = None
        self._ask_at = 0.0
        self._lock = Lock()

    def registry(self) -> Registry:
        """Raises TelemetryUnavailable."""
        with self._lock:
            if time.monotonic() >= self._ask_at:
                self._ask_at = time.monotonic() + _ASK_SECONDS
                self._refresh()
            if self._known is None:
                raise TelemetryUnavailable("the database does not say where devices stand")
            return self._known

    def _refresh(self) -> None:
        try:
            with self._database.read() as connection:
                entries = device_entries(connection)
        except SQLAlchemyError:
            return
        version = hashlib.sha256(msgspec.msgpack.encode(entries)).hexdigest()[:16]
        self._known = Registry(version=version, devices=entries)
