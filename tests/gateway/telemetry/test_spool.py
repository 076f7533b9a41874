"""What services take waits on their disk while InfluxDB is away; whoever hands it over does not wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from gateway.reading import Event, Presence
from gateway.telemetry.influx import InfluxTelemetry
from gateway.telemetry.spool import SpooledTelemetry
from tests.fixtures_influxdb import Influx
from tests.gateway.kit import until
from tests.gateway.telemetry.influx_kit import count, database, reading, shared, writer
from tests.gateway.telemetry.test_lines import AT

__all__ = ["database", "shared"]


@contextmanager
def spooled(store: InfluxTelemetry, folder: Path, max_bytes: int = 10**8) -> Iterator[SpooledTelemetry]:
    spool = SpooledTelemetry(store, folder / "telemetry-journal.db", max_bytes=max_bytes)
    spool.start()
    try:
        yield spool
    finally:
        spool.close()


def test_what_is_taken_arrives_and_can_be_read_through_it(database: Influx, tmp_path: Path) -> None:
    with writer(database.url, tmp_path) as store, spooled(store, tmp_path) as spool:
        spool.write([reading(n) for n in range(3000)])
        until(lambda: spool.waiting == 0)
        until(
            lambda: spool.stats.bytes == 0, why="what the database has is given back: else a small journal looks full"
        )
        points = spool.range(device="pump-1", child="", metrics=["flow"], start=AT, end=AT + 10)
        assert [point.value for point in points["flow"]] == list(range(10))
        assert len(list(spool.scan(devices=["pump-1"], start=AT, end=AT + 3000))) == 3000
        spool.write([reading(1, flow="fast")])
        until(lambda: spool.refused == 1)


def test_while_the_database_is_away_nobody_waits_and_a_restart_forgets_nothing(
    database: Influx, tmp_path: Path
) -> None:
    database.kill()
    with writer(database.url, tmp_path) as store, spooled(store, tmp_path) as spool:
        began = time.monotonic()
        for start in range(0, 5000, 500):
            spool.write([reading(n) for n in range(start, start + 500)])
        assert time.monotonic() - began < 20
        until(lambda: "telemetry: InfluxDB" in spool.error)
        assert spool.waiting == 10
    database.start()
    with writer(database.url, tmp_path) as store, spooled(store, tmp_path) as spool:
        until(lambda: spool.waiting == 0)
        assert spool.error == ""
    assert count(database, "flow") == 5000


def test_its_journal_never_refuses_for_events_that_services_keep_elsewhere(tmp_path: Path) -> None:
    """Readings with events are never given up by a gateway's journal; here that would hold up alarms."""
    eventful = [
        msgspec.structs.replace(
            reading(n, running="x" * 2000), events=(Event("dry", phase="begin"),), presence=Presence.ONLINE
        )
        for n in range(200)
    ]
    with writer("http://127.0.0.1:9", tmp_path) as store, spooled(store, tmp_path, max_bytes=1024**2) as spool:
        for _ in range(10):
            spool.write(eventful)
        assert spool.stats.shed["telemetry"] > 0, "what is given up is counted"
        assert spool.stats.bytes <= 1024**2


def test_readings_without_values_are_no_entry(tmp_path: Path) -> None:
    with writer("http://127.0.0.1:9", tmp_path) as store, spooled(store, tmp_path) as spool:
        spool.write([msgspec.structs.replace(reading(1), values={}, presence=Presence.OFFLINE)])
        spool.write([])
        assert spool.waiting == 0
