"""The doctor on real installations: real files, real ports, real servers, and real damage."""

from __future__ import annotations

import json
import os
import socket
import socketserver
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from sqlalchemy import insert
from typer.testing import CliRunner

from device_profiles.library import SHIPPED, load
from gateway import ports
from gateway.broker import EmbeddedBroker
from gateway.journal import Journal, NewEntry, NewQuarantine
from gateway.reading import Reading
from services import folder, migrations
from services.accounts.desk import first_start
from services.cli.main import app
from services.clock import SystemClock
from services.database import Database
from services.demo import SITE
from services.doctor import probes
from services.doctor.examine import Loaded, examine, load_profiles
from services.doctor.findings import Finding, Level
from services.settings import Settings
from services.sites.importer import import_site
from services.tables import gateways, notices

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
LIBRARY = load(SHIPPED)


class FixedClock:
    def now(self) -> datetime:
        return NOW


def settings(folder: Path, **changes: object) -> Settings:
    given = {"data_dir": folder, "http": f"127.0.0.1:{ports.free_port()}", "mqtt": "embedded", **changes}
    return Settings(**given)  # type: ignore[arg-type]


def by_name(found: list[Finding]) -> dict[str, Finding]:
    return {finding.what: finding for finding in found}


def look(folder: Path, **changes: object) -> dict[str, Finding]:
    return by_name(examine(settings(folder, **changes), FixedClock(), load=load_once))


def load_once(given: Settings) -> Loaded:
    """What really loads, but once for all tests: the samples of all profiles take a second."""
    return _load(given.profiles_dir)


@cache
def _load(own: Path | None) -> Loaded:
    return load_profiles(Settings(profiles_dir=own))


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"COURTYARD_{name.upper()}", raising=False)


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """A data folder as it is after the demo's first start."""
    database = Database.sqlite(tmp_path / "courtyard.db")
    database.start()
    migrations.upgrade(database)
    first_start(database, NOW)
    import_site(database, SITE, LIBRARY, NOW)
    database.close()
    journal = Journal(tmp_path / "journal.db", consumers=("telemetry", "services"))
    journal.start()
    journal.close()
    return tmp_path


def open_database(folder: Path) -> Database:
    database = Database.sqlite(folder / "courtyard.db")
    database.start()
    return database


@pytest.fixture
def silent_server() -> Iterator[int]:
    """Something that accepts connections and closes them without a word."""

    class Close(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Close) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join()


def test_before_the_first_start_nothing_is_wrong_and_nothing_is_made(tmp_path: Path) -> None:
    found = look(tmp_path / "new")
    assert [finding for finding in found.values() if finding.level is Level.FAIL] == []
    assert not (tmp_path / "new").exists()


def test_a_sound_installation(installation: Path) -> None:
    found = look(installation)
    assert [finding for finding in found.values() if finding.level is Level.FAIL] == []
    assert found["Sites"].found == "1 with 25 devices"
    assert found["Administrator"].level is Level.OK
    assert found["Device profiles"].found == f"{len(LIBRARY)} load"
    assert found["Quarantine"].found == "empty"


def test_it_changes_nothing(installation: Path) -> None:
    before = {file.name: file.read_bytes() for file in installation.iterdir() if file.suffix == ".db"}
    look(installation)
    assert {file.name: file.read_bytes() for file in installation.iterdir() if file.suffix == ".db"} == before


@pytest.mark.parametrize("name", ["courtyard.db", "journal.db"])
def test_a_damaged_file_is_found(installation: Path, name: str) -> None:
    file = installation / name
    with file.open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(b"\xff" * 4096)
    what = "Journal" if name == "journal.db" else "Database"
    assert look(installation)[what].level is Level.FAIL


def test_a_file_that_is_no_database_is_found(installation: Path) -> None:
    (installation / "courtyard.db").write_text("not a database at all, though quite long enough to be read as one" * 90)
    assert look(installation)["Database"].level is Level.FAIL


def test_an_older_schema_is_found(installation: Path) -> None:
    raw = sqlite3.connect(installation / "courtyard.db")
    raw.execute("UPDATE alembic_version SET version_num = 'older'")
    raw.commit()
    raw.close()
    found = look(installation)["Database"]
    assert found.level is Level.FAIL
    assert "older" in found.found
    assert "courtyard migrate" in found.next_step


def test_quarantine_and_backlog_are_counted(installation: Path) -> None:
    journal = Journal(installation / "journal.db", consumers=("telemetry", "services"))
    journal.start()
    reading = Reading("d", "", 1, 1, "b", {"x": 1.0})
    journal.append(
        [NewEntry(received_at=1, token=1, readings=[reading])],
        [NewQuarantine(1, 2, "t", b"?", False, "bad_value", "why")],
    )
    journal.close()
    found = look(installation)
    assert "1 for services, 1 for telemetry" in found["Journal"].found
    assert found["Quarantine"].level is Level.WARN


def test_a_clock_behind_the_journal_is_found(installation: Path) -> None:
    later = int((NOW + timedelta(days=2)).timestamp() * 1000)
    journal = Journal(installation / "journal.db", consumers=("telemetry", "services"))
    journal.start()
    journal.append([NewEntry(received_at=later, token=1, readings=[])])
    journal.close()
    assert look(installation)["Clock"].level is Level.FAIL


def test_failed_notices_and_an_unknown_profile_are_found(installation: Path) -> None:
    database = open_database(installation)
    row = {
        "id": "n1", "key": "k", "site": "osmanthus", "recipient": "r", "channel": "email", "target": "a@b",
        "title": "t", "subject_kind": "alarm", "subject_id": "a", "event": "raised", "body": "", "data": {},
        "state": "failed",
        "attempts": 3, "created_at": NOW, "last_error": "550 no such user",
    }  # fmt: skip
    with database.write() as connection:
        connection.execute(insert(notices).values(**row))
        connection.exec_driver_sql("UPDATE devices SET profile = 'gone' WHERE id = 'sump-1'")
    database.close()
    found = look(installation)
    assert "550 no such user" in found["Notices"].found
    assert "gone" in found["Devices"].found


def test_a_gateway_that_stands_still_is_no_fault_while_courtyard_is_not_running(installation: Path) -> None:
    database = open_database(installation)
    with database.write() as connection:
        connection.execute(
            insert(gateways).values(id="gateway-1", cursor=1, progress_at=NOW - timedelta(days=1), status={})
        )
    database.close()
    found = look(installation)["Gateway gateway-1"]
    assert found.level is Level.OK
    assert "24 hours" in found.found


def test_a_broken_profile_is_named_with_its_line(installation: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "broken.yaml").write_text("profile: broken\nversion: none\n")
    found = look(installation, profiles_dir=own)["Device profiles"]
    assert found.level is Level.FAIL
    assert "broken.yaml:" in found.found


def test_a_taken_web_port_names_the_program(installation: Path, silent_server: int) -> None:
    found = look(installation, http=f"127.0.0.1:{silent_server}")["Web port"]
    assert found.level is Level.FAIL
    assert "pid" in found.found


def test_a_web_address_that_is_not_of_this_machine(installation: Path) -> None:
    assert look(installation, http="192.0.2.1:8080")["Web port"].level is Level.FAIL


def test_a_broker_that_is_there_not_there_or_none(installation: Path, silent_server: int) -> None:
    with EmbeddedBroker(port=0) as broker:
        assert look(installation, mqtt=broker.url)["MQTT broker"].level is Level.OK
    absent = look(installation, mqtt=broker.url)["MQTT broker"]
    assert absent.level is Level.FAIL
    assert "refused" in absent.found.lower()
    assert look(installation, mqtt=f"mqtt://127.0.0.1:{silent_server}")["MQTT broker"].level is Level.FAIL
    assert look(installation, mqtt="http://x")["MQTT broker"].level is Level.FAIL


def test_no_password_is_shown(installation: Path) -> None:
    port = ports.free_port()
    found = look(installation, mqtt=f"mqtt://gw:s3cret@127.0.0.1:{port}", smtp_url=f"smtp://u:s3cret@127.0.0.1:{port}")
    assert "s3cret" not in str(found)
    assert found["Mail server"].level is Level.FAIL


def test_a_mail_server_that_answers(installation: Path) -> None:
    server = Controller(Sink(), hostname="127.0.0.1", port=ports.free_port(), ready_timeout=60)
    server.start()
    try:
        assert look(installation, smtp_url=f"smtp://127.0.0.1:{server.port}")["Mail server"].level is Level.OK
    finally:
        server.stop()


def test_postgresql_that_is_not_there(installation: Path) -> None:
    url = f"postgresql://courtyard:s3cret@127.0.0.1:{ports.free_port()}/courtyard"
    found = look(installation, database_url=url)["Database"]
    assert found.level is Level.FAIL
    assert "s3cret" not in found.found


def test_a_gateway_alone_is_not_asked_for_a_database(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x" * 40)
    found = look(tmp_path, services_url=f"http://127.0.0.1:{ports.free_port()}", gateway_token_file=token)
    assert "Database" not in found
    assert found["Services"].level is Level.WARN
    assert found["Gateway token"].level is Level.OK


def test_zones_that_are_missing() -> None:
    assert probes.missing_zones(["Asia/Shanghai", "Mars/Base", "../etc"]) == ["../etc", "Mars/Base"]


def test_a_port_is_free_again_after_looking(installation: Path) -> None:
    port = ports.free_port()
    look(installation, http=f"127.0.0.1:{port}")
    socket.create_server(("127.0.0.1", port)).close()


# --- the command --------------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["doctor", *arguments], prog_name="courtyard")
    return done.exit_code, done.output


def test_the_command_speaks_in_words_and_in_json(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURTYARD_HTTP", f"127.0.0.1:{ports.free_port()}")
    code, text = run("--data", str(installation))
    assert code == 0, text
    assert "Device profiles" in text
    code, text = run("--data", str(installation), "--json", "--quick")
    findings = json.loads(text)
    assert {"level", "what", "found", "next_step"} == set(findings[0])
    assert "fail" not in {finding["level"] for finding in findings}


def test_the_command_fails_when_something_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURTYARD_HTTP", f"127.0.0.1:{ports.free_port()}")
    file = tmp_path / "file"
    file.write_text("")
    code, text = run("--data", str(file))
    assert code == 1
    assert "1 to mend" in text


def test_a_folder_that_is_shut_to_this_user_is_a_finding(tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o000)
    with as_nobody():
        found = [examine(settings(data), SystemClock(), load=load_once) for data in (shut, shut / "within")]
    shut.chmod(0o700)
    for some in found:
        last = some[-1]
        assert (last.what, last.level) == ("Data folder", Level.FAIL)
        assert "cannot be read by this user" in last.found and "sudo -u" in last.next_step


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may enter every folder, so it is somebody else meanwhile."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)


def test_services_alone_are_found_and_need_no_broker(installation: Path) -> None:
    with ExitStack() as stack:
        folder.claim(stack, installation)
        folder.describe(installation, folder.RunningNote(1, "127.0.0.1:9"))
        found = look(installation)
    assert "MQTT broker" not in found
    assert "127.0.0.1:9" in found["Web port"].found
    assert "MQTT broker" in look(installation)


def test_the_embedded_broker_of_a_running_courtyard_needs_no_lock(installation: Path) -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker(port=0))
        folder.claim(stack, installation)
        folder.describe(installation, folder.RunningNote(1, "127.0.0.1:9", broker.url))
        found = look(installation)
        assert found["MQTT broker"].level is Level.OK
        assert "Broker's door" not in found
        assert look(installation, mqtt=broker.url)["Broker's door"].level is Level.WARN
