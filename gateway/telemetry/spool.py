"""In front of InfluxDB where readings are handed over by others: a journal of its own.

Services take readings of gateways that write no time series themselves. Alarms must not wait for the time series, so
these readings are put on disk and forwarded from there, in order, as a gateway does from its journal. The journal is
bounded: at its cap the oldest readings are given up and counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock

import msgspec

from gateway.forward import TELEMETRY_BATCH, Forwarder, Signal, TelemetryConsumer
from gateway.journal import Entry, Journal, JournalFull, JournalReader, JournalStats, JournalUnwritable, NewEntry
from gateway.journal.repair import open_journal
from gateway.reading import Millis, Presence, Reading
from gateway.telemetry import Looked, Only, Point, TelemetryStore, TelemetryUnavailable

FILE = "telemetry-journal.db"
"""Its name in the data folder."""
_READINGS_PER_ENTRY = 500
_TIDY_SECONDS = 1.0
_STOP_SECONDS = 3.0
"""How long, at the end, a batch on its way to the database may take to arrive."""


class SpooledTelemetry:
    """A TelemetryStore whose `write` returns once the readings are on this machine's disk."""

    def __init__(self, store: TelemetryStore, path: Path, *, max_bytes: int) -> None:
        self.store = store
        """Where they go, and where is read."""
        self.journal: Journal
        self.reader: JournalReader
        self.forwarder: Forwarder
        self._path = path
        self._max_bytes = max_bytes
        self._signal = Signal()
        self._lock = Lock()
        self._next_tidy = 0.0

    def start(self) -> None:
        """Raises sqlite3.OperationalError where the folder cannot be written."""
        self.journal = open_journal(self._path, consumers=("telemetry",), max_bytes=self._max_bytes, keep=0)
        self.reader = self.journal.reader()
        self.forwarder = Forwarder(self.journal, _Consumer(self), self._signal, batch=TELEMETRY_BATCH)
        self.forwarder.start()

    def close(self) -> None:
        """What waits stays on disk for the next start."""
        self.forwarder.stop(_STOP_SECONDS)
        self.reader.close()
        with self._lock:
            self.journal.close()
        self.store.close()

    # --- what others may ask ----------------------------------------

    @property
    def stats(self) -> JournalStats:
        return self.journal.stats()

    @property
    def waiting(self) -> int:
        """Entries that the database has not taken yet; some hundred readings each at most."""
        return self.journal.stats().entries_waiting["telemetry"]

    @property
    def error(self) -> str:
        """Why the database takes nothing now; empty while it does."""
        return self.forwarder.error

    @property
    def refused(self) -> int:
        return self.store.refused

    # --- the port ----------------------------------------

    def write(self, readings: Sequence[Reading]) -> None:
        """Raises TelemetryUnavailable where this disk refuses."""
        kept = [_bare(reading) for reading in readings if reading.values or reading.flags]
        entries = [
            NewEntry(kept[at].received_at, 0, kept[at : at + _READINGS_PER_ENTRY])
            for at in range(0, len(kept), _READINGS_PER_ENTRY)
        ]
        if not entries:
            return
        with self._lock:
            try:
                self.journal.append(entries)
            except (JournalFull, JournalUnwritable) as error:
                raise TelemetryUnavailable(f"{self._path} cannot be written: {error}") from error
        self._signal.notify()

    def range(
        self, *, device: str, child: str, metrics: Sequence[str], start: Millis, end: Millis, limit: int = 2000
    ) -> dict[str, list[Point]]:
        """What the database has; not what still waits here."""
        return self.store.range(device=device, child=child, metrics=metrics, start=start, end=end, limit=limit)

    def scan(
        self,
        *,
        devices: Collection[str],
        start: Millis,
        end: Millis,
        only: Only | None = None,
        looked: Looked | None = None,
    ) -> Iterator[Reading]:
        return self.store.scan(devices=devices, start=start, end=end, only=only, looked=looked)

    def rename(self, old: str, new: str) -> None:
        """What waits here is written under its old name: renamings are repeated."""
        self.store.rename(old, new)

    def tidy(self) -> None:
        """Give back what the database has taken, now and then."""
        now = time.monotonic()
        with self._lock:
            if now >= self._next_tidy:
                self._next_tidy = now + _TIDY_SECONDS
                with suppress(JournalUnwritable):  # cursors only lag, and what is taken twice changes nothing
                    self.journal.maintain()


class _Consumer(TelemetryConsumer):
    idle_seconds = 2.0

    def __init__(self, spool: SpooledTelemetry) -> None:
        super().__init__(spool.store)
        self._tidy: Callable[[], None] = spool.tidy

    def take(self, entries: list[Entry], *, all_read: bool) -> int | None:
        reached = super().take(entries, all_read=all_read)
        self._tidy()
        return reached


def _bare(reading: Reading) -> Reading:
    """What the time series keeps. Without events, which a journal gives up for nothing: here they are copies."""
    if not (reading.events or reading.presence or reading.replies):
        return reading
    return msgspec.structs.replace(reading, events=(), presence=Presence.UNSAID, replies=())
