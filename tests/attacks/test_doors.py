"""Doors that must stay shut, and refusals that must say why."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from gateway.reading import Reading
from gateway.telemetry.sqlite import SqliteTelemetry
from services import bootstrap, folder
from services.cli.up import _greet
from services.clock import SystemClock
from services.database import Database, metadata
from services.doctor import findings, probes
from services.notices.channels import Message, Rejected
from services.notices.channels.webhook import Webhook
from services.settings import Settings
from services.web.app import create_app
from tests.services.web import world as worlds
from tests.services.web.conftest import Prepared, prepared, world
from tests.services.web.world import PASSWORD, World

__all__ = ["prepared", "world"]


# --- passwords -------------------------------------------------------------------------------------------------------


def test_a_stolen_session_cannot_guess_the_password(world: World) -> None:
    thief = world.browser("crew.east")
    codes = [
        thief.post("/api/v1/me/password", json={"current": f"guess {n}", "password": "four quiet herons"}).status_code
        for n in range(12)
    ]
    assert codes[:5] == [403] * 5
    assert codes[-1] == 429
    right = {"current": PASSWORD, "password": "four quiet herons"}
    held = thief.post("/api/v1/me/password", json=right)
    assert held.status_code == 429
    assert int(held.headers["Retry-After"]) >= 1
    # The page is the same door.
    form = {"current": PASSWORD, "new": "four quiet herons", "again": "four quiet herons"}
    assert thief.post("/account/password", data=form).status_code == 422
    world.clock.go(minutes=2)
    assert thief.post("/account/password", data=form).status_code == 303


# --- values that a database cannot hold ------------------------------------------------------------------------------


@pytest.fixture
def on_postgresql(prepared: Prepared, world: World, postgresql_url: str) -> Iterator[World]:
    database = Database(postgresql_url)
    database.start()
    metadata.create_all(database.engine)
    with database.write() as connection:
        for site in worlds.SITES:
            worlds._fill(connection, site)
        tokens = worlds._people(connection)
    context = replace(world.context, database=database)
    yield World(context, world.clock, create_app(context), tokens)
    database.close()


@pytest.mark.postgresql
def test_nul_is_a_mistake_of_the_request_and_not_of_the_server(on_postgresql: World) -> None:
    client = on_postgresql.client("admin@*")
    for path in ("devices/%00", "tickets/%00", "alarms?site=%00", "people?cursor=%00", "readings?device=%00"):
        assert client.get(f"/api/v1/{path}").status_code in (200, 404, 422), path
    assert client.post("/api/v1/tickets/east-ticket/notes", json={"text": "a\0b"}).status_code == 422
    new = {"name": "a\0b", "role": "crew"}
    assert client.post("/api/v1/tokens", json=new).status_code == 422
    nobody = TestClient(on_postgresql.app, follow_redirects=False)
    assert nobody.post("/login", data={"login": "a\0b", "password": "x"}).status_code < 500
    assert client.get("/api/v1/tickets").status_code == 200


# --- webhooks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["http://[", "http://[::1", "http://[::1]/", "http://[fec0::1]/", "http://127.1/", "http://0x7f000001/"]
)
def test_a_webhook_that_goes_nowhere_good_is_rejected_at_once(url: str) -> None:
    channel = Webhook(allow_private=False)
    outcome = channel.send(Message(key="k", target=url, title="t", body="b"))
    channel.close()
    assert isinstance(outcome, Rejected), "another attempt would end the same"


# --- the data folder -------------------------------------------------------------------------------------------------


def test_nobody_else_on_the_machine_looks_into_the_data_folder(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"
    with ExitStack() as stack:
        folder.claim(stack, data)
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert stat.S_IMODE((data / "running.json").stat().st_mode) == 0o600
    other = tmp_path / "imported-first"
    with ExitStack() as stack:
        bootstrap.open_database(stack, Settings(data_dir=other))
    assert stat.S_IMODE(other.stat().st_mode) == 0o700


def test_the_brokers_password_is_not_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _greet(Settings(data_dir=tmp_path), "mqtt://gateway:hunter2hunter2@127.0.0.1:1884", None, demo=False)
    said = capsys.readouterr().out
    assert "mqtt://127.0.0.1:1884" in said
    assert "hunter2" not in said


def open_telemetry(stack: ExitStack, settings: Settings) -> SqliteTelemetry:
    database = bootstrap.open_database(stack, settings)
    telemetry = bootstrap.open_telemetry(stack, settings, SystemClock(), {}, database)
    assert isinstance(telemetry, SqliteTelemetry)
    return telemetry


def damaged(file: Path, damage: str) -> bytes:
    sound = file.read_bytes()
    content = b"no database at all" * 1000 if damage == "other bytes" else sound[:100] + bytes(len(sound) - 100)
    file.write_bytes(content)
    return content


@pytest.mark.parametrize("damage", ["other bytes", "pages gone"])
def test_a_damaged_history_is_set_aside_and_keeps_no_alarm_from_being_raised(damage: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with ExitStack() as stack:
        open_telemetry(stack, settings)
    content = damaged(tmp_path / "telemetry.db", damage)
    with ExitStack() as stack:
        telemetry = open_telemetry(stack, settings)
        telemetry.write([Reading("pump", "", 1, 1, "b", {"pressure": 0.4})])
        assert telemetry.count() == 1
    assert (tmp_path / "telemetry.damaged-1.db").read_bytes() == content
    found = findings.folder(probes.folder(tmp_path))
    assert found.level is findings.Level.WARN
    assert "telemetry.damaged-1.db" in found.found


@pytest.mark.parametrize("damage", ["other bytes", "pages gone"])
def test_a_damaged_database_is_said_in_words(damage: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with ExitStack() as stack:
        open_telemetry(stack, settings)
    file = tmp_path / "courtyard.db"
    damaged(file, damage)
    command = "from services.cli.main import app; app()"
    run = subprocess.run(
        [sys.executable, "-c", command, "up", "--data", str(tmp_path), "--http", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    said = " ".join(run.stderr.split())
    assert str(file) in said
    assert "put a backup in its place" in said
