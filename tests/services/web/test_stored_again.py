"""A batch is stored before it is committed. Where services then refuse it, or fail, it comes again: the time series
holds each of its points once all the same, also where the second try is cut in other pieces."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from gateway.reading import Batch, Reading
from gateway.telemetry import TelemetryStore
from gateway.telemetry.spool import SpooledTelemetry
from services.clock import to_millis
from tests.gateway.kit import until
from tests.gateway.telemetry.influx_kit import count, server, writer
from tests.services.web.world import NOW, World

READINGS = [
    Reading("east-pump", "", at, at, "t", {"pressure": at % 7 / 10}, profile="pump")
    for at in range(to_millis(NOW), to_millis(NOW) + 8000, 1000)
]
NAME = "gateway@*"


def deliver(world: World, first: int, last: int) -> int:
    """Hand readings over, by their numbers from 1; the status of the answer."""
    batch = Batch(NAME, first, last, READINGS[last - 1].received_at, READINGS[first - 1 : last])
    # Services answer whatever happens, and go on.
    client = TestClient(world.app, raise_server_exceptions=False)
    token = {"Authorization": f"Bearer {world.tokens[NAME]}"}
    status: int = client.post("/api/v1/intake", content=msgspec.json.encode(batch), headers=token).status_code
    return status


@contextmanager
def without_room(world: World) -> Iterator[None]:
    """The database of services takes nothing."""
    with world.context.database.write() as connection:
        connection.execute(
            text("CREATE TRIGGER no BEFORE INSERT ON device_states BEGIN SELECT RAISE(FAIL, 'full'); END")
        )
    yield
    with world.context.database.write() as connection:
        connection.execute(text("DROP TRIGGER no"))


def suffer(world: World, points: Callable[[], int]) -> None:
    before = points()
    with without_room(world):
        for _ in range(3):
            assert deliver(world, 1, 4) >= 500
    assert world.context.intake.cursor(NAME) == 0, "nothing was committed"
    until(lambda: points() - before == 4, 60, "what was refused is stored already, each point once")
    assert deliver(world, 1, 6) == 200
    assert deliver(world, 1, 6) == 200, "the answer to the first was lost"
    assert deliver(world, 7, 8) == 200
    until(lambda: points() - before >= 8, 60, "all are stored")
    assert points() - before == 8


def test_in_the_embedded_store(world: World, tmp_path: Path) -> None:
    def points() -> int:
        with closing(sqlite3.connect(tmp_path / "telemetry.db")) as db:
            found: int = db.execute("SELECT COUNT(*) FROM readings").fetchone()[0]
        return found

    suffer(world, points)


@pytest.mark.influxdb
def test_in_influxdb(world: World, tmp_path: Path) -> None:
    embedded = world.context.telemetry
    with server(tmp_path) as influx, writer(influx.url, tmp_path) as store:
        spooled = SpooledTelemetry(store, tmp_path / "spool.db", max_bytes=2**24)
        spooled.start()
        _use(world, spooled)
        try:
            suffer(world, lambda: count(influx, "pressure"))
            until(lambda: spooled.waiting == 0, 60)
            assert count(influx, "pressure") == len(READINGS)
        finally:
            spooled.close()
            _use(world, embedded)


def _use(world: World, store: TelemetryStore) -> None:
    object.__setattr__(world.context, "telemetry", store)
