"""The last step of the tutorial, in a real product: the pressure falls, and its ticket is open."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.mqtt_client import MqttPublisher
from gateway.ports import free_port
from services.bench.mosquitto import Mosquitto
from tests.stories import tutorial

pytestmark = [pytest.mark.slow, pytest.mark.mosquitto, pytest.mark.timeout(1200)]
_COURTYARD = [sys.executable, "-c", "from services.cli.main import app; app()"]


def _until(done: Callable[[], Any], seconds: float, about: Callable[[], str]) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < deadline, about()
        time.sleep(0.2)
    return found


def _ticket(database: Path) -> str:
    if not database.exists():
        return ""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        try:
            row = connection.execute("select title_en from tickets").fetchone()
        except sqlite3.OperationalError:
            return ""  # not migrated yet
    return row[0] if row else ""


def test_from_an_unknown_device_to_its_ticket(mosquitto: Mosquitto, tmp_path: Path) -> None:
    env = {**os.environ, "COURTYARD_PROFILES_DIR": str(tmp_path / "own"), "COURTYARD_DATA_DIR": str(tmp_path / "data")}
    own = tmp_path / "own"
    own.mkdir()
    (tmp_path / "capture.jsonl").write_text(tutorial.blocks("jsonl")[0], encoding="utf-8")
    new = [*tutorial.commands()[0], "--out", str(own / "boxin_pump.yaml")]

    def run(*arguments: str) -> None:
        subprocess.run([*_COURTYARD, *arguments], cwd=tmp_path, env=env, check=True, timeout=200, capture_output=True)

    run(*new)
    rules, site = tutorial.blocks("yaml")
    profile = tutorial.corrected((own / "boxin_pump.yaml").read_text(encoding="utf-8"))
    (own / "boxin_pump.yaml").write_text(f"{profile}\n{rules}", encoding="utf-8")
    (tmp_path / "lotus.yaml").write_text(site, encoding="utf-8")
    run("site", "import", "lotus.yaml")

    (message,) = tutorial.blocks("json")
    log = tmp_path / "up.log"
    with log.open("wb") as out:
        up = subprocess.Popen(
            [*_COURTYARD, "up", "--mqtt", mosquitto.url, "--http", f"127.0.0.1:{free_port()}"],
            cwd=tmp_path, env=env, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        _until(lambda: "Ctrl-C stops" in log.read_text(), 200, log.read_text)
        with MqttPublisher(mosquitto.url, "pump-room") as device:

            def pressure_is_low() -> str:
                now = {**json.loads(message), "time": int(time.time())}
                device.publish("boxin/BX-0417/sensor", json.dumps(now).encode())
                return _ticket(tmp_path / "data" / "courtyard.db")

            assert _until(pressure_is_low, 120, log.read_text) == "Restore water pressure"
    finally:
        up.send_signal(signal.SIGINT)
        try:
            assert up.wait(60) == 0, log.read_text()[-2000:]
        finally:
            up.kill()
