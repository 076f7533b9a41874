"""Follows the journal for one consumer: reads behind its cursor, hands over, moves the cursor, retries."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from threading import Condition, Event, Thread
from typing import Protocol

import structlog

from gateway.journal import Entry, Journal, JournalReader, Stretch
from gateway.parts import Part, parts_of
from gateway.reading import Batch, GatewayStatus, Millis
from gateway.telemetry import TelemetryStore, TelemetryUnavailable
from gateway.uplink import Uplink, UplinkRejected, UplinkUnavailable

log = structlog.get_logger("courtyard.forward")

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
TELEMETRY_BATCH = 10_000
"""Entries at once: a database takes few large requests far faster than many small ones."""


class Consumer(Protocol):
    """What a forwarder feeds."""

    name: str
    idle_seconds: float
    """How long it may stay without a call while there is nothing to take."""

    def resume(self) -> int | None:
        """The cursor the consumer itself holds; None where the journal's own is right."""
        ...

    def prepare(self) -> None:
        """Called before the journal is read: what is known now holds for everything that is read."""
        ...

    def take(self, entries: list[Entry], *, all_read: bool) -> int | None:
        """Take entries in order; returns the cursor reached, None for "where it was". An empty list says only that
        time has passed. `all_read`: nothing more was waiting."""
        ...


class Signal:
    """Wakes forwarders after a commit."""

    def __init__(self) -> None:
        self._condition = Condition()
        self._count = 0

    def notify(self) -> None:
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    @property
    def count(self) -> int:
        return self._count

    def wait_beyond(self, count: int, timeout_seconds: float) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._count != count, timeout_seconds)


class Forwarder:
    """One thread, one consumer, one cursor. Its failures are visible in `error` until the next success."""

    def __init__(self, journal: Journal, consumer: Consumer, signal: Signal, *, batch: int = 500) -> None:
        self.error = ""
        self.failures = 0
        self.consumer = consumer.name
        self._journal = journal
        self._consumer = consumer
        self._signal = signal
        self._batch = batch
        self._stopping = Event()
        self._reader: JournalReader
        self._thread = Thread(target=self._run, name=f"forward-{consumer.name}", daemon=True)

    def start(self) -> None:
        # Opened here: what fails in the thread before its loop would end it without a word.
        self._reader = self._journal.reader()
        self._thread.start()

    def stop(self, timeout_seconds: float = 5) -> None:
        """What is being handed over may arrive within the timeout; else it is handed over again at the next start."""
        self._stopping.set()
        self._signal.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        reader = self._reader
        pause = _FIRST_PAUSE_SECONDS
        resumed = False
        try:
            while not self._stopping.is_set():
                try:
                    if not resumed:
                        self._resume()
                        resumed = True
                    seen = self._signal.count
                    all_read = self._hand_over(reader)
                    self.error, pause = "", _FIRST_PAUSE_SECONDS
                    if all_read and not self._stopping.is_set():
                        self._signal.wait_beyond(seen, self._consumer.idle_seconds)
                except Exception as error:  # a loop's edge: counted, shown, tried again
                    resumed = False  # what the consumer has committed may be more than it could say
                    pause = self._failed(error, pause)
        finally:
            reader.close()

    def _hand_over(self, reader: JournalReader) -> bool:
        """One batch; returns whether everything that waited was read."""
        self._consumer.prepare()
        entries = reader.after(self._journal.cursor(self._consumer.name), self._batch)
        # Fewer than asked for do not say it alone, for a batch is bounded in bytes as well. What is committed and not
        # yet counted in `last_seq` comes with a signal.
        last = entries[-1].seq if entries else self._journal.last_seq
        all_read = len(entries) < self._batch and last >= self._journal.last_seq
        reached = self._consumer.take(entries, all_read=all_read)
        if reached is not None:
            self._journal.advance(self._consumer.name, reached)
        return all_read

    def _resume(self) -> None:
        held = self._consumer.resume()
        if held is None:
            return
        last = self._journal.last_seq
        if held > last:
            # A journal that was lost, and a clock behind the one that numbered it: number on behind what was taken.
            log.error("consumer_is_ahead", consumer=self._consumer.name, taken=held, last_written=last)
            self._journal.number_after(held)
        self._journal.advance(self._consumer.name, min(held, last))

    def _failed(self, error: Exception, pause: float) -> float:
        self.error = f"{self._consumer.name}: {error}"
        self.failures += 1
        expected = isinstance(error, UplinkUnavailable | UplinkRejected | TelemetryUnavailable)
        (log.warning if expected else log.exception)("forward_failed", consumer=self._consumer.name, error=str(error))
        self._stopping.wait(pause * random.uniform(0.75, 1.25))
        return min(pause * 2, _LONGEST_PAUSE_SECONDS)


class TelemetryConsumer:
    """Writes readings to the time series; a store takes a reading twice without harm."""

    name = "telemetry"
    idle_seconds = 3600.0

    def __init__(self, store: TelemetryStore) -> None:
        self._store = store

    def resume(self) -> None:
        return None

    def prepare(self) -> None:
        return None

    def take(self, entries: list[Entry], *, all_read: bool) -> int | None:  # noqa: ARG002 - the protocol's
        if not entries:
            return None
        readings = [reading for entry in entries for reading in entry.readings]
        if readings:
            self._store.write(readings)
        return entries[-1].seq


class UplinkConsumer:
    """Hands batches to services, and tells them regularly how far this gateway has seen time pass, and since when it
    has been listening."""

    name = "services"
    idle_seconds = 2.0

    def __init__(
        self,
        uplink: Uplink,
        gateway_id: str,
        *,
        progress_at: Callable[[], Millis],
        status: Callable[[], GatewayStatus],
        stretches: Callable[[], Sequence[Stretch]] = tuple,
        stored: bool = False,
    ) -> None:
        """`stretches`: when it listened. `stored`: this gateway writes the time series itself; services need not."""
        self._uplink = uplink
        self._gateway = gateway_id
        self._progress_at = progress_at
        self._status = status
        self._stretches = stretches
        self._stored = stored
        self._known: Millis = 0
        self._cursor = 0

    def resume(self) -> int:
        self._cursor = self._uplink.cursor(self._gateway)
        return self._cursor

    def prepare(self) -> None:
        self._known = self._progress_at()

    def take(self, entries: list[Entry], *, all_read: bool) -> int:
        *before, last = parts_of(entries, self._stretches(), self._cursor)
        for part in before:
            self._deliver(part, None)
        self._deliver(last, self._known if all_read else None)
        return self._cursor

    def _deliver(self, part: Part, known: Millis | None) -> None:
        progress = part.progress(known)
        self._cursor = self._uplink.deliver(
            Batch(
                gateway=self._gateway,
                first_seq=part.first_seq,
                last_seq=part.last_seq,
                progress_at=self._known if progress is None else progress,
                readings=part.readings,
                status=self._status(),
                stored=self._stored,
                listening=part.listening,
            )
        )
