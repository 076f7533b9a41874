"""Where devices stand, from memory: right, or not said at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.telemetry import TelemetryUnavailable
from services import migrations
from services.database import Database
from services.sites import known
from services.sites.known import KnownDevices


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.sqlite(tmp_path / "courtyard.db")
    database.start()
    yield database
    database.close()


def test_what_is_not_known_yet_is_not_taken_for_an_empty_list(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = KnownDevices(database)
    for _ in range(2):  # asked, and between two questions
        with pytest.raises(TelemetryUnavailable, match="where devices stand"):
            devices.registry()
    migrations.upgrade(database)
    monkeypatch.setattr(known, "_ASK_SECONDS", 0.0)
    devices = KnownDevices(database)
    first = devices.registry()
    assert (first.devices, bool(first.version)) == ([], True)
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE devices RENAME TO gone")
    assert devices.registry() == first, "while the database does not answer, what is known holds"
