"""Processes of their own, with nothing around them: each says what it misses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from gateway.metrics import of_telemetry
from gateway.ports import free_port
from gateway.reading import DeviceEntry, Reading, Registry
from gateway.telemetry.spool import SpooledTelemetry
from services.clock import SystemClock
from services.gateway_node import start_remote_gateway
from services.influx import make_influx
from services.metrics import Metrics
from services.metrics.exposition import exposed
from services.settings import Settings
from services.web.pages.render import translations
from services.web.views import fares
from tests.gateway.kit import meter_profile, now_millis, until
from tests.services.metrics.kit import Series, read, total, value


def test_a_gateway_alone_says_that_broker_and_services_are_away(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("courtyard_x")
    settings = Settings(
        data_dir=tmp_path / "data",
        mqtt=f"mqtt://127.0.0.1:{free_port()}",
        services_url=f"http://127.0.0.1:{free_port()}",
        gateway_token_file=tmp_path / "token",
        metrics=f"127.0.0.1:{free_port()}",
    )

    def figures() -> Series:
        return read(httpx.get(f"http://{settings.metrics}/metrics", trust_env=False, timeout=60).text)

    with ExitStack() as stack:
        start_remote_gateway(stack, settings, SystemClock())
        until(lambda: value(figures(), "courtyard_sink_failing", journal="gateway", consumer="services") == 1)
        until(lambda: total(figures(), "courtyard_registry_failures_total") >= 1)
        found = figures()
        assert value(found, "courtyard_gateway_connected") == 0
        # Since when the gateway listens is the first thing that it has to tell.
        assert value(found, "courtyard_journal_backlog_entries", journal="gateway", consumer="services") == 1
        assert value(found, "courtyard_scrape_failures_total", part="gateway") == 0
        assert not [name for name, _ in found if name.startswith(("courtyard_database", "courtyard_http"))]
    with pytest.raises(httpx.ConnectError):
        figures()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[SpooledTelemetry]:
    """In front of an InfluxDB that is not there."""
    settings = Settings(data_dir=tmp_path, influx_url=f"http://127.0.0.1:{free_port()}")
    devices = Registry(version="1", devices=[DeviceEntry(id="d1", profile="meter", address="m1", site="yard")])
    influx = make_influx(settings, SystemClock(), {"meter": meter_profile()}, lambda: devices)
    influx.start()
    made = SpooledTelemetry(influx, tmp_path / "telemetry-journal.db", max_bytes=10**8)
    made.start()
    yield made
    made.close()


def test_what_waits_for_an_influxdb_that_is_away_is_seen_in_figures_and_in_words(spool: SpooledTelemetry) -> None:
    metrics = Metrics()
    metrics.watch("telemetry", of_telemetry(spool, now_millis))
    at = now_millis()
    spool.write([Reading("d1", "", at, at, "telemetry", {"n": 1.5}, profile="meter")])
    until(lambda: bool(spool.error))
    found = read(exposed(metrics, "")[0].decode())
    where = {"journal": "services", "consumer": "telemetry"}
    assert value(found, "courtyard_journal_backlog_entries", **where) == 1
    assert value(found, "courtyard_journal_backlog_age_seconds", **where) < 60
    assert value(found, "courtyard_sink_failing", **where) == 1
    assert value(found, "courtyard_telemetry_points_written_total") == 0
    section = fares.sections(
        fares.Figures(metrics.collect()), [], SystemClock().now(), translations()["en"], silent_after=60,
        telemetry_error=spool.error,
    )  # fmt: skip
    (line,) = section[0].lines
    assert (line.mark, line.what) == (fares.BROKEN, "To the time series")
    assert "does not answer" in line.error
