"""A writer for tests in front of a real InfluxDB, and a look at what is stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from device_profiles.schema import DeviceProfile
from gateway.reading import Reading, Registry
from gateway.telemetry.influx import InfluxAddress, InfluxTelemetry
from gateway.telemetry.refused import RefusedPoints
from tests.fixtures_influxdb import Influx, installed
from tests.gateway.telemetry.test_lines import AT, REGISTRY, pump
from tests.needs import missing


@contextmanager
def server(folder: Path, prefix: Sequence[str] = (), **settings: str) -> Iterator[Influx]:
    if not installed():
        missing("InfluxDB is not installed (apt-get install influxdb)")
    with Influx(folder / "influxdb", prefix, **settings) as running:
        yield running


@contextmanager
def writer(
    url: str,
    folder: Path,
    *,
    token: str = "",
    org: str = "",
    gzip: bool = False,
    timeout_seconds: float = 10.0,
    profile: DeviceProfile | None = None,
    registry: Registry = REGISTRY,
) -> Iterator[InfluxTelemetry]:
    profile = profile or pump()
    store = InfluxTelemetry(
        InfluxAddress(url=url, token=token, org=org, gzip=gzip, timeout_seconds=timeout_seconds),
        library={profile.profile: profile},
        registry=lambda: registry,
        set_aside=RefusedPoints(folder / "refused.db"),
        now_millis=lambda: AT,
    )
    store.start()
    try:
        yield store
    finally:
        store.close()


def reading(n: int, device: str = "pump-1", child: str = "", **values: object) -> Reading:
    """Measured at the n-th millisecond."""
    return Reading(
        device,
        child,
        AT + n,
        AT + n,
        "t",
        values or {"flow": float(n), "pressure": 1.5},
        profile="pump",  # type: ignore[arg-type]
    )


def count(database: Influx, field: str, measurement: str = "water_pump") -> int:
    found = database.query(f"SELECT COUNT({field}) FROM {measurement}")
    return int(found[0]["values"][0][1]) if found else 0  # type: ignore[index]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    with server(tmp_path_factory.mktemp("influx")) as running:
        yield running


@pytest.fixture
def database(shared: Influx) -> Iterator[Influx]:
    """One for the whole module, empty for each test."""
    shared.query("DROP DATABASE telemetry; CREATE DATABASE telemetry")
    yield shared
