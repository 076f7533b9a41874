"""The disk of services is lost under load: restored from a backup, nothing is missing and nothing is there twice."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.bench.mosquitto import Mosquitto
from services.cli.main import app
from tests.faults import kit
from tests.faults.kit import DEVICES, Load, Yard
from tests.gateway.kit import now_millis, until

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow, pytest.mark.timeout(900)]

PER_SECOND = 150
MISSED = 1500
"""At most so many between backup and restore, however long that takes here: the gateway keeps its newest 2,000
messages, delivered or not."""
EPISODE = 8


def courtyard(*arguments: str) -> None:
    done = CliRunner().invoke(app, list(arguments), prog_name="courtyard")
    assert done.exit_code == 0, done.output


def test_services_go_on_from_a_backup(mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alarms are open and tickets are opened while the backup is taken. Between it and the loss services took more; the
    gateway still has that, and delivers it again to the services that stand in the same place."""
    monkeypatch.setattr(kit, "EPISODE", EPISODE)
    yard = Yard(tmp_path, mosquitto)
    data, file = str(tmp_path / "services"), str(tmp_path / "backup.zip")
    start_ms = now_millis() - 360_000
    with ExitStack() as stack:
        yard.start(stack)
        load = Load(yard.broker, start_ms, PER_SECOND)
        load.start()
        until(lambda: yard.episodes() > DEVICES, 240, "some episodes are over, some are open")
        load.at_most = load.acknowledged + MISSED
        before = yard.taken()
        courtyard("backup", file, "--data", data, "--telemetry")
        until(lambda: yard.taken() > before, 240, "services take more after the backup")
        yard.services.kill()
        shutil.rmtree(data)
        courtyard("restore", file, "--data", data)
        yard.services.start()
        yard.services.wait_until_ready()
        going_on = load.at_most + DEVICES * EPISODE
        load.at_most = None
        until(lambda: load.acknowledged >= going_on, 240, "the load goes on after the restore")
        acknowledged = load.end()
        figures = yard.check_against(acknowledged, start_ms)
    assert figures["episodes"] >= 80
