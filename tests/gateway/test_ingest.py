"""Redeliveries are recognised over any number of reconnects, and set-aside messages come back with their own time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.decode import Decoder
from gateway.ingest import Ingest
from gateway.journal import Journal, NewQuarantine
from gateway.mqtt import Message
from gateway.quarantine import replay
from tests.gateway.kit import Ledger, meter_profile

NOW = 1_800_000_000_000


class Nobody:
    """The acknowledgements never arrive."""

    def acknowledge(self, messages: object) -> None: ...


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.db", consumers=("services",))
    made.start()
    yield made
    made.close()


def message(n: int, *, dup: bool = False) -> Message:
    return Message("meters/m1/telemetry", b'{"n": %d}' % n, n, 1, dup, False)


def journaled(journal: Journal) -> list[object]:
    reader = journal.reader()
    try:
        return [reading.values["n"] for entry in reader.after(0) for reading in entry.readings]
    finally:
        reader.close()


def test_a_message_that_comes_again_on_the_third_connection_is_stored_once(journal: Journal) -> None:
    ingest = Ingest(
        decoder=Decoder([meter_profile()], Ledger().registry()),
        journal=journal,
        now_millis=lambda: NOW,
        on_commit=lambda: None,
    )
    ingest.connection_opened()
    ingest.take([message(1), message(2)], Nobody())
    ingest.connection_opened()
    ingest.take([message(1, dup=True), message(3)], Nobody())  # cut off before 2 came again
    ingest.connection_opened()
    ingest.take([message(1, dup=True), message(2, dup=True), message(3, dup=True), message(4)], Nobody())
    assert journaled(journal) == [1, 2, 3, 4]
    assert ingest.counters.redelivered == 4


def test_a_replayed_message_was_measured_when_it_came(journal: Journal) -> None:
    """Its device has spoken since: the past must not look like now."""
    decoder = Decoder([meter_profile()], Ledger().registry())
    hour = 3_600_000
    topic, payload = "meters/m1/telemetry", b'{"n": 7}'
    journal.append([], [NewQuarantine(NOW - hour, 0, topic, payload, False, "no_binding", "")])
    decoder.decode(topic, b'{"n": 8}', NOW)
    assert replay(journal, decoder, None) == (1, 0)
    reader = journal.reader()
    (entry,) = reader.after(0)
    reader.close()
    assert [reading.measured_at for reading in entry.readings] == [NOW - hour]
    (later,) = decoder.decode(topic, b'{"n": 9}', NOW)
    assert later.received_at == NOW + 1, "and the stamps of today go on"
