"""The whole stack from the compose file, on local programs: from a message to panel, ticket and notice."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import paho.mqtt.client as mqtt
import psycopg
import pytest

from gateway.mqtt import MqttUnavailable
from gateway.mqtt_client import MqttListener, MqttPublisher
from services.stack.reader import READABLE
from tests.needs import missing
from tests.stack.running import ROOT, RunningStack, born, panel_query

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.mosquitto,
    pytest.mark.postgresql,
    pytest.mark.influxdb,
]
_START_SECONDS = 300
_SHOWN_SECONDS = 120
TELEMETRY = "courtyard/osmanthus/gates/gate-9/telemetry"


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    for program, package in (("mosquitto", "mosquitto"), ("influxd", "influxdb"), ("psql", "postgresql")):
        if shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin") is None:
            missing(f"{package} is not installed; on Debian: apt-get install {package}")
    # Not in pytest's folder, which is closed to others: as root, PostgreSQL runs as another user.
    folder = Path(tempfile.mkdtemp(prefix="cy-stack-"))
    folder.chmod(0o755)
    running = RunningStack(folder)
    try:
        running.start(_START_SECONDS)
        yield running
        born_at = {pid: born(pid) for pid in running.state["pids"].values()}
        assert running.interrupt() == 0, running.said[-2000:]
        assert not [pid for pid, at in born_at.items() if at and born(pid) == at], "everything ended with it"
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def test_every_service_of_the_file_was_started_by_its_own_line(stack: RunningStack) -> None:
    running = {"mosquitto", "postgres", "influxdb", "services", "gateway", "demo", "mailbox"}
    stack.until(lambda: running <= set(stack.state["pids"]), _SHOWN_SECONDS)
    for once in ("influx-setup", "migrate", "enrol", "demo-site"):
        assert f"up  {once}" in stack.said
    assert "gateway-1: " in (stack.data / "logs" / "enrol.log").read_text()


def test_every_health_check_of_the_file_passes(stack: RunningStack) -> None:
    program = [sys.executable, "-c", "from services.cli.main import app; app()"]
    found: dict[str, str] = {}

    def all_are_well() -> bool:
        done = subprocess.run(
            [*program, "stack", "status", "--json", "--data", stack.data], cwd=ROOT, check=False, capture_output=True
        )
        found.clear()
        found.update({one["service"]: one["state"] for one in json.loads(done.stdout)})
        assert (done.returncode == 0) == (set(found.values()) == {"well"}), found
        return done.returncode == 0

    stack.until(all_are_well, _SHOWN_SECONDS)  # the stack is up before the gateway's check has passed once
    assert set(found) >= {"mosquitto", "postgres", "influxdb", "services", "gateway", "demo", "mailbox"}


def test_commands_run_with_the_settings_and_secrets_of_a_service(stack: RunningStack, tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", "from services.cli.main import app; app()", "stack", "exec"]
        where = ["--data", str(stack.data), "--file", str(ROOT / "docker-compose.yml")]
        # From a folder of one's own: files that are named, such as a site's, are sought there.
        return subprocess.run([*program, *where, *words], cwd=tmp_path, check=False, capture_output=True, text=True)

    found = {one["what"] for one in json.loads(run("services", "doctor", "--json").stdout)}
    assert {"PostgreSQL", "InfluxDB"} <= found, "the services' own databases"
    exported = run("services", "site", "export", "osmanthus")
    (tmp_path / "yard.yaml").write_text(exported.stdout)
    assert exported.returncode == 0 and run("services", "site", "import", "yard.yaml").returncode == 0
    other = run("nobody", "doctor")
    assert other.returncode == 1 and "expected one of" in other.stderr and "services" in other.stderr


def test_a_fault_goes_from_the_broker_to_the_panel_the_ticket_and_the_notice(stack: RunningStack) -> None:
    """The demo's equipment forces the west gate three seconds after its start."""
    board = ROOT / "dashboards/generated/en/access_gate_json.json"
    query = panel_query(board, "Door", site="osmanthus", device="gate-west", resolution="autogen")
    shown = stack.until(
        lambda: [row[1] for series in stack.influxql(query) for row in series["values"] if row[1] == "forced"],
        _SHOWN_SECONDS,
    )
    assert shown, "the panel shows the state in words"
    ticket = "SELECT id, site, priority, state FROM tickets WHERE device = 'gate-west'"
    ((number, site, priority, _),) = stack.until(lambda: stack.rows(ticket), _SHOWN_SECONDS)
    assert (site, priority) == ("osmanthus", "P1")
    told = "SELECT count(*) FROM notices WHERE subject_id = %s AND state = 'delivered'"
    stack.until(lambda: stack.rows(told, number)[0][0], _SHOWN_SECONDS)
    # It arrived, and is not only said to have.
    stack.until(lambda: [one for one in stack.notices if number in json.dumps(one)], _SHOWN_SECONDS)


def test_grafana_reads_the_work_and_nothing_about_people(stack: RunningStack) -> None:
    for table in READABLE:
        stack.rows(f"SELECT count(*) FROM {table}", role="grafana")
    for table in (
        "people",
        "sessions",
        "tokens",
        "audit",
        "recipients",
        "notices",
        "events",
        "ticket_events",
        "alembic_version",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            stack.rows(f"SELECT count(*) FROM {table}", role="grafana")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        stack.rows("DELETE FROM tickets RETURNING 1", role="grafana")
    with pytest.raises(httpx.HTTPStatusError, match="403"):
        stack.influxql("DROP DATABASE telemetry")


def test_a_wrong_password_is_refused(stack: RunningStack) -> None:
    own = stack.broker("gate-8", stack.new_device("gate-8"))
    nameless = re.sub("//.*@", "//", own)
    for wrong in (stack.broker("gate-8", "wrong"), stack.broker("stranger", "x"), nameless):
        with pytest.raises(MqttUnavailable, match="Not authorized"):
            MqttListener(wrong, "intruder", ["courtyard/#"], seconds=60).connect()


def test_devices_and_people_come_in_by_tls(stack: RunningStack) -> None:
    if "proxy" not in stack.state["pids"]:
        missing("nginx is not installed; on Debian: apt-get install nginx-light libnginx-mod-stream")
    trusted = ssl.create_default_context(cafile=str(stack.keys.folder / "tls_ca.crt"))
    pages = f"https://localhost:{stack.port('proxy:8443')}/api/v1/health"
    assert httpx.get(pages, verify=trusted, trust_env=False, timeout=60).json()["status"] == "ok"
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(pages, trust_env=False, timeout=60)
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "over-tls")
    client.username_pw_set("devices", stack.password("equipment_mqtt"))
    client.tls_set_context(trusted)
    client.connect("localhost", stack.port("proxy:8883"))
    client.loop_start()
    client.publish(TELEMETRY, _reading(int(time.time() * 1000), 12.77), qos=1).wait_for_publish(60)
    client.disconnect()
    client.loop_stop()
    query = "SELECT supply_voltage FROM access_gate WHERE device = 'gate-9' AND supply_voltage = 12.77"
    stack.until(lambda: stack.influxql(query), _SHOWN_SECONDS)


def test_who_speaks_for_another_is_not_heard(stack: RunningStack) -> None:
    def stored(device: str) -> set[float]:
        query = f"SELECT supply_voltage FROM access_gate WHERE device = '{device}'"
        return {row[1] for series in stack.influxql(query) for row in series["values"]}

    with MqttPublisher(stack.broker("gate-7", stack.new_device("gate-7")), "gate-7") as device:
        assert device.wait_connected(60)
        for name, volts in (("gate-7", 12.51), ("gate-6", 12.52), ("gate-7", 12.53)):
            device.publish(TELEMETRY.replace("gate-9", name), _reading(int(time.time() * 1000), volts))
            time.sleep(0.01)  # so that the times differ
        stack.until(lambda: {12.51, 12.53} <= stored("gate-7"), _SHOWN_SECONDS)
    assert 12.52 not in stored("gate-6")


def test_who_is_killed_comes_back_and_nothing_is_lost(stack: RunningStack) -> None:
    """A gate speaks on while services, InfluxDB, PostgreSQL and the gateway are killed, one after the other."""
    begin = int(time.time() * 1000)
    said: list[int] = []
    with ExitStack() as ends:
        gate = ends.enter_context(MqttPublisher(stack.broker("gate-9", stack.new_device("gate-9")), "gate-9"))
        assert gate.wait_connected(60)
        for victim in ("services", "influxdb", "postgres", "gateway"):
            before = stack.state["pids"][victim]
            stack.kill(victim)
            for _ in range(15):
                said.append(int(time.time() * 1000))
                gate.publish(TELEMETRY, _reading(said[-1], 12.0, door="forced"))
                time.sleep(0.06)  # so that the times differ, and some fall into the gap
            stack.until(
                lambda victim=victim, before=before: stack.state["pids"].get(victim, before) != before, _SHOWN_SECONDS
            )
        assert gate.flush(60)

    def stored() -> set[int]:
        query = f"SELECT supply_voltage FROM access_gate WHERE device = 'gate-9' AND time >= {begin}ms"
        try:
            return {row[0] for series in stack.influxql(query) for row in series["values"]}
        except httpx.HTTPError:
            return set()

    stack.until(lambda: set(said) <= stored(), _SHOWN_SECONDS)
    # In one statement: between two there might come another episode.
    both = """SELECT (SELECT count(*) FROM tickets WHERE device = 'gate-9' AND alarm IS NOT NULL),
        (SELECT count(*) FROM alarms WHERE device = 'gate-9' AND state IN ('active', 'cleared'))"""
    stack.until(lambda: stack.rows_when_it_is_back(both) not in ([], [(0, 0)]), _SHOWN_SECONDS)
    ((tickets, episodes),) = stack.rows(both)
    assert tickets == episodes > 0, "one ticket for each episode"


def _reading(at: int, volts: float, *, door: str = "closed") -> bytes:
    return json.dumps({"ts": at, "door": door, "lock": "locked", "supply_v": volts}).encode()
