"""A forwarder hands over everything once in order, survives a consumer that fails, and says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.forward import Forwarder, Signal, TelemetryConsumer, UplinkConsumer
from gateway.journal import Entry, Journal, NewEntry
from gateway.reading import Batch, GatewayStatus, Reading, Registry
from gateway.telemetry.sqlite import SqliteTelemetry
from gateway.uplink import UplinkUnavailable

STATUS = GatewayStatus(
    connected=True,
    journal_bytes=0,
    journal_max_bytes=1,
    journal_entries=0,
    oldest_entry_at=None,
    received=0,
    quarantined=0,
    quarantine_entries=0,
    shed=0,
    messages_per_second=0,
)


def entry(n: int) -> NewEntry:
    return NewEntry(n, n, [Reading("d", "", n, n, "t", {"n": n})])


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.005)


class Services:
    """The far side of an uplink: keeps a cursor, can be down, can lose its answer after committing."""

    def __init__(self) -> None:
        self.held = 0
        self.got: list[int] = []
        self.batches: list[Batch] = []
        self.down = False
        self.lose_answers = 0
        self.lock = threading.Lock()

    def cursor(self, gateway: str) -> int:
        if self.down:
            raise UplinkUnavailable("refused")
        return self.held

    def deliver(self, batch: Batch) -> int:
        with self.lock:
            if self.down:
                raise UplinkUnavailable("refused")
            self.batches.append(batch)
            if batch.readings:
                assert batch.first_seq == self.held + 1, "nothing left out, nothing twice"
                self.got += [r.measured_at for r in batch.readings]
                self.held = batch.last_seq
            if self.lose_answers:
                self.lose_answers -= 1
                raise UplinkUnavailable("timed out after it was taken")
            return self.held

    def registry(self) -> Registry:
        return Registry(version="1", devices=[])


_started: list[Forwarder] = []


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Closed once no forwarder reads it any more, also where a test has failed before it stopped its own."""
    made = Journal(tmp_path / "journal.db", consumers=("services", "telemetry"))
    made.start()
    yield made
    while _started:
        _started.pop().stop(60)
    made.close()


def running(journal: Journal, services: Services, progress: int = 0) -> tuple[Forwarder, Signal]:
    signal = Signal()
    consumer = UplinkConsumer(services, "gateway-1", progress_at=lambda: progress, status=lambda: STATUS)
    consumer.idle_seconds = 0.05
    forwarder = Forwarder(journal, consumer, signal, batch=50)
    _started.append(forwarder)
    forwarder.start()
    return forwarder, signal


def test_everything_arrives_once_in_order(journal: Journal) -> None:
    services = Services()
    forwarder, signal = running(journal, services)
    for start in range(0, 1000, 100):
        journal.append([entry(n) for n in range(start, start + 100)])
        signal.notify()
    until(lambda: len(services.got) == 1000)
    forwarder.stop()
    assert services.got == list(range(1000))
    assert journal.cursor("services") == 1000


def test_while_services_are_down_the_journal_waits_and_the_reason_shows(journal: Journal) -> None:
    services = Services()
    services.down = True
    forwarder, signal = running(journal, services)
    journal.append([entry(n) for n in range(100)])
    signal.notify()
    until(lambda: forwarder.failures >= 1)
    assert forwarder.error == "services: refused"
    assert journal.stats().entries_waiting["services"] == 100
    services.down = False
    until(lambda: len(services.got) == 100)
    until(lambda: forwarder.error == "")
    forwarder.stop()
    assert services.got == list(range(100))


def test_an_answer_lost_after_the_commit_repeats_nothing(journal: Journal) -> None:
    services = Services()
    services.lose_answers = 2
    forwarder, _ = running(journal, services)
    journal.append([entry(n) for n in range(300)])
    until(lambda: len(services.got) == 300)
    forwarder.stop()
    assert services.got == list(range(300))


def test_services_that_took_more_than_a_lost_journal_gave_lose_nothing_new(journal: Journal) -> None:
    """The gateway's disk was lost, and its clock is behind: services remember numbers far beyond."""
    services = Services()
    services.held = 1_000_000
    forwarder, signal = running(journal, services)
    until(lambda: services.batches != [])
    journal.append([entry(n) for n in range(50)])
    signal.notify()
    until(lambda: len(services.got) == 50)
    forwarder.stop()
    assert journal.last_seq == 1_000_050


def test_an_entry_that_cannot_be_read_holds_up_nothing(journal: Journal) -> None:
    services = Services()
    journal.append([entry(n) for n in range(5)])
    journal._db.execute("UPDATE entries SET body = x'c1' WHERE seq IN (3, 5)")
    forwarder, signal = running(journal, services)
    until(lambda: services.got == [0, 1, 3])
    journal.append([entry(9)])
    signal.notify()
    until(lambda: services.got == [0, 1, 3, 9])
    forwarder.stop()


def test_a_heartbeat_carries_progress_when_nothing_comes(journal: Journal) -> None:
    services = Services()
    forwarder, _ = running(journal, services, progress=1_700_000_000_000)
    until(lambda: len(services.batches) >= 2)
    forwarder.stop()
    assert all(b.readings == [] and b.progress_at == 1_700_000_000_000 for b in services.batches)
    assert services.batches[0].status == STATUS


def test_with_a_backlog_progress_is_only_what_was_handed_over(journal: Journal) -> None:
    services = Services()
    journal.append([entry(n) for n in range(1, 101)])
    forwarder, _ = running(journal, services, progress=5000)
    until(lambda: len(services.got) == 100)
    until(lambda: services.batches[-1].progress_at == 5000)
    forwarder.stop()
    assert [b.progress_at for b in services.batches[:2]] == [50, 100]


def test_telemetry_gets_every_reading(journal: Journal, tmp_path: Path) -> None:
    store = SqliteTelemetry(tmp_path / "t.db")
    store.start()
    forwarder = Forwarder(journal, TelemetryConsumer(store), Signal())
    journal.append([entry(n) for n in range(1200)])
    forwarder.start()
    until(lambda: journal.cursor("telemetry") == 1200)
    forwarder.stop()
    assert store.count() == 1200
    store.close()


def test_an_unexpected_error_is_shown_and_tried_again(journal: Journal) -> None:
    class Odd:
        name = "telemetry"
        idle_seconds = 0.05
        calls = 0

        def resume(self) -> None: ...
        def prepare(self) -> None: ...

        def take(self, entries: list[Entry], *, all_read: bool) -> int:
            self.calls += 1
            if self.calls == 1:
                raise KeyError("odd")
            return entries[-1].seq if entries else 10

    journal.append([entry(n) for n in range(10)])
    forwarder = Forwarder(journal, Odd(), Signal())
    forwarder.start()
    until(lambda: journal.cursor("telemetry") == 10)
    forwarder.stop()
    assert forwarder.failures == 1
