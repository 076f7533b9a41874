"""Services look after an InfluxDB by themselves: its levels are made, and what is over is summed up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.reading import Reading, Registry
from gateway.telemetry.influx import InfluxTelemetry
from services.clock import SystemClock, to_millis
from services.influx import make_influx
from services.rollup import rollup_chores
from services.settings import Settings
from tests.fixtures_influxdb import Influx
from tests.gateway.telemetry.influx_kit import server
from tests.gateway.telemetry.test_contract import PROFILE, entry

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)  # InfluxDB forgets by its own clock
LIBRARY = {"pump": PROFILE}


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    with server(tmp_path_factory.mktemp("influx")) as running:
        yield running


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def _store(stack: ExitStack, settings: Settings) -> InfluxTelemetry:
    registry = Registry(version="1", devices=[entry("pump-1")])
    store = make_influx(settings, SystemClock(), LIBRARY, lambda: registry)
    store.start()
    stack.callback(store.close)
    return store


@pytest.mark.influxdb
def test_services_make_the_levels_and_fill_them(influx: Influx, stack: ExitStack, tmp_path: Path) -> None:
    influx.query("DROP DATABASE telemetry")
    settings = Settings(data_dir=tmp_path, influx_url=influx.url, influx_5m_days=100)
    store = _store(stack, settings)
    levels, sums = rollup_chores(stack, settings, LIBRARY, store)
    levels.work(NOW)
    assert "2400h0m0s" in str(influx.query("SHOW RETENTION POLICIES"))
    start = to_millis(NOW - timedelta(hours=2))
    store.write(
        [
            Reading("pump-1", "", start + n * 60_000, start + n * 60_000, "t", {"pressure": 0.5}, profile="pump")
            for n in range(60)
        ]
    )
    sums.work(NOW)
    (five,) = influx.query('SELECT sum("cy_count") FROM "telemetry"."5m"."water_pump"')
    assert five["values"][0][1] == 60  # type: ignore[index]


def test_a_database_that_is_away_stops_no_chore(stack: ExitStack, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, influx_url="http://127.0.0.1:9")
    store = _store(stack, settings)
    for chore in rollup_chores(stack, settings, LIBRARY, store):
        chore.work(NOW)
