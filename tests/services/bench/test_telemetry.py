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
    said: list[str] = []
    figures = bench.run(points=80_000, backlog_rate=10, report=said.append)
    assert (figures["points"], figures["lost"], figures["backlog_lost"]) == (80_000, 0, 0)
    assert figures["backlog_points"] == 10 * 600 * 8
    assert figures["points_per_second"] > 0
    assert figures["database_limit_points_per_second"] > 0
    assert figures["backlog_drain_times_input"] > 1
    assert len(said) == 3
