"""What `courtyard bench telemetry` measures is what it says: every reading of the journal is in the database."""

from __future__ import annotations

from itertools import islice

from services.bench import telemetry as bench
from tests.fixtures_influxdb import installed
from tests.needs import missing


def test_readings_are_each_of_their_own_time() -> None:
    some = list(islice(bench.readings(1_780_000_000_000), 3000))
    assert len({(reading.device, reading.measured_at) for reading in some}) == 3000
    assert all(len(reading.values) == bench.POINTS_PER_READING for reading in some)


def test_the_figures() -> None:
    if not installed():
        missing("InfluxDB is not installed (apt-get install influxdb)")
    figures = bench.backlog(10)
    assert (figures["backlog_points"], figures["backlog_lost"]) == (10 * 600 * 8, 0)
    assert figures["backlog_drain_times_input"] > 1
