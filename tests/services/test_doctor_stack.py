"""The doctor on the rest of the stack: real servers with what really goes wrong with them, and what is said to it."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Literal

import pytest
from sqlalchemy import insert

from dashboards.build import GENERATED
from device_profiles.library import SHIPPED, load
from gateway.journal import Journal, NewEntry
from gateway.ports import free_port
from gateway.reading import Reading
from gateway.telemetry.influxql import InfluxQl
from gateway.telemetry.lines import Refused
from gateway.telemetry.refused import FILE, RefusedPoints
from gateway.telemetry.retention import look, wanted
from services import migrations
from services.bench.mosquitto import DEFAULT_CONFIG, Mosquitto
from services.clock import to_millis
from services.database import Database
from services.doctor import probes as machine_probes
from services.doctor import stack_findings as findings
from services.doctor import stack_probes as probes
from services.doctor.findings import Finding, Level, Running
from services.doctor.stack_facts import (
    BrokerDoorFacts,
    GrafanaFacts,
    InfluxFacts,
    MetricsFacts,
    PostgresFacts,
    SpaceFacts,
)
from services.metrics import Metrics
from services.metrics.listener import Listener
from services.settings import Settings
from services.stack.passwords import hashed, written
from services.tables import sites
from tests.dashboards.grafana_server import EDITOR, running
from tests.fixtures_influxdb import Influx, installed
from tests.needs import missing

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
GB = 1000**3


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"COURTYARD_{name.upper()}", raising=False)


def by_name(found: list[Finding]) -> dict[str, Finding]:
    return {finding.what: finding for finding in found}


# --- InfluxDB -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    if not installed():
        missing("InfluxDB 1 is not installed (apt-get install influxdb)")
    with Influx(tmp_path_factory.mktemp("influx")) as server:
        yield server


def set_up(influx: Influx, token: str = "") -> None:
    levels = wanted(raw_days=30, five_minutes_days=400, hourly_days=1830)
    with InfluxQl(influx.url, token) as ql:
        for change in look(ql, url=influx.url, token=token, org="", levels=levels).changes:
            change.carry_out()


def seen(influx: Influx, **more: object) -> dict[str, Finding]:
    facts = probes.influx(Settings(influx_url=influx.url, **more))  # type: ignore[arg-type]
    assert facts is not None
    assert "s3cret" not in str(facts)
    return by_name(findings.influx(facts))


@pytest.mark.influxdb
def test_influxdb_from_nothing_to_sound(influx: Influx) -> None:
    influx.query("DROP DATABASE telemetry")
    empty = seen(influx)["InfluxDB"]
    assert empty.level is Level.FAIL
    assert "courtyard telemetry setup" in empty.next_step
    influx.query("CREATE DATABASE telemetry")
    half = seen(influx)
    assert half["InfluxDB"].level is Level.OK
    assert half["Retention"].level is Level.WARN
    set_up(influx)
    sound = seen(influx)
    assert sound["InfluxDB"].found.endswith("may be read and written")
    assert sound["Retention"] == Finding(Level.OK, "Retention", "autogen 30 days, 5m 400 days, 1h 1830 days")
    changed = seen(influx, influx_raw_days=7)["Retention"]
    assert "keep 7 d" in changed.found


@pytest.mark.influxdb
def test_the_doctor_writes_nothing(influx: Influx) -> None:
    set_up(influx)
    before = influx.query("SHOW SERIES")
    seen(influx)
    assert influx.query("SHOW SERIES") == before


@pytest.mark.influxdb
def test_an_account_that_may_only_read(tmp_path: Path) -> None:
    if not installed():
        missing("InfluxDB 1 is not installed (apt-get install influxdb)")
    with Influx(tmp_path) as server:
        set_up(server)
        server.query("CREATE USER root WITH PASSWORD 's3cret-root' WITH ALL PRIVILEGES")
        server.query("CREATE USER reader WITH PASSWORD 's3cret-reader'")
        server.query("GRANT READ ON telemetry TO reader")
        server.kill()
        server._settings = {"INFLUXDB_HTTP_AUTH_ENABLED": "true"}
        server.start()
        assert seen(server, influx_token="root:s3cret-root")["InfluxDB"].level is Level.OK
        wrong = seen(server, influx_token="root:s3cret-wrong")["InfluxDB"]
        assert wrong.level is Level.FAIL
        assert "COURTYARD_INFLUX_TOKEN" in wrong.next_step
        reader = seen(server, influx_token="reader:s3cret-reader")["InfluxDB"]
        assert reader.level is Level.FAIL


def test_an_influxdb_that_is_not_there() -> None:
    facts = probes.influx(Settings(influx_url=f"http://a:s3cret@127.0.0.1:{free_port()}"))
    assert facts is not None
    assert "s3cret" not in str(facts)
    assert findings.influx(facts)[0].level is Level.FAIL
    assert findings.influx(facts, unanswered=Level.WARN)[0].level is Level.WARN
    assert probes.influx(Settings()) is None


def test_what_waits_and_what_was_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db", consumers=("telemetry", "services"))
    journal.start()
    at = to_millis(NOW - timedelta(hours=2))
    journal.append([NewEntry(at, 1, [Reading("pump-1", "", at, at, "b", {"x": 1.0})])])
    journal.advance("services", 1)
    journal.maintain()
    journal.close()
    points = RefusedPoints(tmp_path / FILE)
    points.start()
    points.add([Refused("pump-1", "", at, "water_pump", "mode", "'auto'", "is a string, expected a float")], at)
    found = by_name(findings.forward(probes.forward(tmp_path), NOW))
    assert "oldest for 2 hours" in found["Time series behind"].found
    assert "pump-1 mode" in found["Points refused"].found
    assert findings.forward(probes.forward(tmp_path / "none"), NOW) == []


# --- Grafana --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["zh", "en"])
def test_grafana_without_and_with_what_it_should_hold(tmp_path: Path, language: Literal["zh", "en"]) -> None:
    from dashboards.grafana import Grafana
    from dashboards.sync import apply

    library = load(SHIPPED)
    database = Database.sqlite(tmp_path / "courtyard.db")
    database.start()
    migrations.upgrade(database)
    row = {"id": "lotus", "name_zh": "莲", "name_en": "Lotus", "timezone": "Asia/Shanghai", "updated_at": NOW}
    with database.write() as connection:
        connection.execute(insert(sites).values(**row))
    boards = tmp_path / "boards"
    (boards / language).mkdir(parents=True)
    for file in sorted((GENERATED / language).rglob("*.json"))[:3]:
        shutil.copy(file, boards / language)
    with running() as server, database.read() as connection:
        settings = Settings(grafana_url=server.url, grafana_token=EDITOR, grafana_language=language)
        facts = probes.grafana(settings, library, connection, boards)
        assert facts is not None
        empty = by_name(findings.grafana(facts))
        assert empty["Grafana"].level is Level.OK
        assert "courtyard grafana sync" in empty["Dashboards"].next_step
        with Grafana(server.url, EDITOR) as client:
            assert apply(client, probes.differing(client, settings, library, connection, boards)) == []
        facts = probes.grafana(settings, library, connection, boards)
        assert facts is not None
        assert by_name(findings.grafana(facts))["Dashboards"].level is Level.OK
        assert facts.as_built > 0
        refused = probes.grafana(Settings(grafana_url=server.url, grafana_token="glsa_gone"), library, connection)
        assert refused is not None
        assert findings.grafana(refused)[0].level is Level.FAIL
    database.close()


def test_a_grafana_that_is_not_there_and_a_datasource_that_does_not_answer() -> None:
    facts = probes.grafana(Settings(grafana_url=f"http://127.0.0.1:{free_port()}", grafana_token="x"), {}, None)
    assert facts is not None
    assert findings.grafana(facts)[0].level is Level.FAIL
    assert probes.grafana(Settings(), {}, None) is None
    ill = GrafanaFacts("g:3000", version="Grafana 13.2.3", datasources=1, unsound={"Readings": "ERROR: refused"})
    assert by_name(findings.grafana(ill))["Datasource Readings"].level is Level.FAIL


@contextmanager
def dripping(*, asks_first: bool) -> Iterator[int]:
    """The port of a server that answers everybody, a byte now and then, and never comes to an end. Of mail it is the
    server that speaks first."""
    ending = Event()

    def drip(talker: socket.socket) -> None:
        with talker, suppress(OSError):
            if asks_first:
                talker.recv(65536)
                talker.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
            while not ending.wait(0.05):
                talker.sendall(b"2")

    def serve() -> None:
        with suppress(OSError):
            while True:
                Thread(target=drip, args=[listener.accept()[0]], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        ending.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(60)


def test_an_answer_that_drips_in_is_given_up() -> None:
    with dripping(asks_first=True) as port, dripping(asks_first=False) as mail_port:
        url = f"http://127.0.0.1:{port}"
        found = [
            machine_probes.services(url, whole_seconds=0.3),
            machine_probes.mail(f"smtp://127.0.0.1:{mail_port}", whole_seconds=0.3),
            probes.influx(Settings(influx_url=url), whole_seconds=0.3),
            probes.grafana(Settings(grafana_url=url, grafana_token="x"), {}, None, whole_seconds=0.3),
            probes.metrics(f"127.0.0.1:{port}", whole_seconds=0.3),
        ]
    for one in found:
        assert one is not None and "did not end within" in one.mistake, one


# --- PostgreSQL -----------------------------------------------------------------------------------------------------


@pytest.mark.postgresql
def test_a_real_postgresql(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    database.start()
    migrations.upgrade(database)
    with database.read() as connection:
        facts = probes.postgres(connection)
    database.close()
    assert facts.bytes > 1_000_000
    assert facts.local
    assert facts.most_connections == 40
    assert [finding.level for finding in findings.postgres(facts)] == [Level.OK]


def test_an_old_full_and_open_postgresql() -> None:
    facts = PostgresFacts("12.4", 120004, 10**9, (("events", 10**8),), 95, 100, encrypted=False, local=False)
    assert [finding.what for finding in findings.postgres(facts)] == ["PostgreSQL", "Connections", "Database line"]
    assert {finding.level for finding in findings.postgres(facts)} == {Level.WARN}


# --- the broker's door ----------------------------------------------------------------------------------------------


@pytest.mark.mosquitto
def test_a_broker_that_lets_everybody_in(mosquitto: Mosquitto, tmp_path: Path) -> None:
    facts = probes.broker_door(mosquitto.url, tmp_path)
    assert facts is not None
    assert findings.broker_door(facts)[0].level is Level.WARN


@pytest.mark.mosquitto
def test_a_broker_with_a_lock(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """`mosquitto` itself is only asked for because it is missing on some machines."""
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "passwords").write_text(written({"gateway": hashed("s3cret-word", b"0123456789ab")}))
    (folder / "passwords").chmod(0o644)
    config = DEFAULT_CONFIG.replace("allow_anonymous true", f"allow_anonymous false\npassword_file {folder}/passwords")
    assert config != DEFAULT_CONFIG
    (tmp_path / "filters.json").write_text(json.dumps(["courtyard/#", "shellies/+/status"]))
    with Mosquitto(folder, config=config) as locked:
        url = f"mqtt://gateway:s3cret-word@127.0.0.1:{locked.port}"
        facts = probes.broker_door(url, tmp_path)
        assert facts is not None
        (found,) = findings.broker_door(facts)
        assert found.level is Level.OK
        assert "2 subscriptions" in found.found
        assert probes.broker_door(locked.url, tmp_path) is None


def test_refused_subscriptions_are_named() -> None:
    (found,) = findings.broker_door(BrokerDoorFacts("b:1883", refused_filters=("a/#",), asked=9))
    assert found.level is Level.FAIL
    assert "1 of 9 subscriptions are refused: a/#" in found.found


# --- secrets --------------------------------------------------------------------------------------------------------


def test_secret_files_that_others_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o755)
    token = folder / "token"
    token.write_text("x" * 40)
    token.chmod(0o644)
    settings = Settings(gateway_token_file=token)
    assert findings.secrets(probes.secrets(settings, tmp_path / "none"))[0].level is Level.WARN
    folder.chmod(0o700)  # nobody reaches the file through a folder that is shut
    assert findings.secrets(probes.secrets(settings, tmp_path / "none"))[0].level is Level.OK
    folder.chmod(0o755)
    token.chmod(0o600)
    assert findings.secrets(probes.secrets(settings, tmp_path / "none"))[0].level is Level.OK


def test_the_folder_of_secrets_as_it_comes_with_the_sources_is_no_finding(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*")
    assert findings.secrets(probes.secrets(Settings(), tmp_path)) == []


@pytest.mark.parametrize(
    ("name", "value", "is_weak"),
    [
        ("mqtt", "mqtt://gateway:gateway@broker", True),
        ("mqtt", "mqtt://broker", False),
        ("database_url", "postgresql://courtyard:password@db/courtyard", True),
        ("database_url", "postgresql://courtyard:XcmeU2Vbj8sq@db/courtyard", False),
        ("influx_token", "admin:admin", True),
        ("influx_token", "Qp2mBz8TYwLk3nXrVs6D", False),
    ],
)
def test_well_known_passwords(tmp_path: Path, name: str, value: str, is_weak: bool) -> None:
    facts = probes.secrets(Settings(**{name: value}), tmp_path / "none")  # type: ignore[arg-type]
    found = findings.secrets(facts)
    assert [finding.level for finding in found] == ([Level.FAIL] if is_weak else [])
    assert value not in str(found)


# --- metrics and disks ----------------------------------------------------------------------------------------------


def test_the_metrics_listener() -> None:
    metrics = Metrics()
    metrics.watch("nothing", lambda: ())
    listener = Listener(metrics, "127.0.0.1", 0)
    listener.start()
    try:
        facts = probes.metrics(f"127.0.0.1:{listener.port}")
        assert facts is not None
        assert findings.metrics(facts, Running.YES).level is Level.OK
    finally:
        listener.stop()
    gone = probes.metrics(f"127.0.0.1:{listener.port}")
    assert gone is not None
    assert findings.metrics(gone, Running.YES).level is Level.FAIL
    assert findings.metrics(gone, Running.NO).level is Level.OK
    assert findings.metrics(MetricsFacts("0.0.0.0:9", samples=5, open_to_all=True), Running.YES).level is Level.WARN
    assert probes.metrics("") is None


def space(**changes: object) -> Finding:
    facts = {"free_bytes": 10 * GB, "journal_max_bytes": 2 * GB, "telemetry_kept_days": 90}
    return findings.space(SpaceFacts(**{**facts, **changes}))  # type: ignore[arg-type]


def test_a_disk_that_will_not_do() -> None:
    assert space().level is Level.OK
    soon = space(telemetry_bytes=2 * GB, telemetry_days=10)  # 18 GB in the end, 16 more than now
    assert soon.level is Level.WARN
    assert "enough for 50 days" in soon.found
    assert space(telemetry_bytes=GB, telemetry_days=10).level is Level.OK
    assert space(telemetry_bytes=2 * GB, telemetry_days=10, telemetry_max_bytes=4 * GB).level is Level.OK
    assert space(telemetry_bytes=2 * GB, telemetry_days=0.1).level is Level.OK, "too early to tell"
    assert space(free_bytes=GB).level is Level.WARN, "the journal alone may fill it"


def test_influxdb_that_keeps_for_ever_is_shown_so() -> None:
    facts = InfluxFacts("i:8086", version="1.8.10", kept={"autogen": timedelta(0)})
    assert by_name(findings.influx(facts))["Retention"].found == "autogen for ever"
