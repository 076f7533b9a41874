"""docker-compose.yml without an engine: valid, every name resolves, hardened, and its Mosquitto files really work."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from ruamel.yaml import YAML

import gateway.ports
from device_profiles import library
from services.broker_acl import FILE, acl, spoken_topics
from services.settings import Settings
from tests.needs import missing

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "enrol", "services", "gateway")
each_service = pytest.mark.parametrize("name", SERVICES)


def names(section: object) -> list[str]:
    return list(section or [])  # type: ignore[call-overload]


def test_it_follows_the_compose_specification() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, str(ROOT / "docker-compose.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "version" not in COMPOSE
    assert COMPOSE["name"] == "courtyard"


@each_service
def test_every_name_a_service_uses_is_declared(name: str) -> None:
    service = SERVICES[name]
    for kind in ("secrets", "networks"):
        assert set(names(service.get(kind))) <= set(COMPOSE[kind]), kind
    assert set(names(service.get("depends_on"))) <= set(SERVICES)
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (ROOT / source).exists(), source
        else:
            assert source in COMPOSE["volumes"], source


def test_everything_declared_is_used() -> None:
    for kind in ("secrets", "networks"):
        assert set(COMPOSE[kind]) == {used for service in SERVICES.values() for used in names(service.get(kind))}
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert set(COMPOSE["volumes"]) <= mounted


@each_service
def test_every_image_is_pinned(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9/_-]+:\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?", SERVICES[name]["image"])


def test_our_image_has_the_version_of_the_package_and_is_built_from_a_pinned_python() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert version
    assert {SERVICES[name]["image"] for name in OURS} == {f"courtyard:{version[1]}"}
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^ARG PYTHON=\d+\.\d+\.\d+-slim-bookworm$", dockerfile, re.M)
    assert re.findall(r"^FROM (\S+)", dockerfile, re.M) == ["python:${PYTHON}"] * 2


@each_service
def test_conditions_can_be_met(name: str) -> None:
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        if wanted["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other], other
        if wanted["condition"] == "service_completed_successfully":
            assert SERVICES[other]["restart"] == "no", other


@each_service
def test_every_service_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in service["tmpfs"]
    assert not {"privileged", "network_mode", "pid", "cap_add", "env_file"} & set(service)
    assert name in OURS or service["user"]


@each_service
def test_ports_stay_on_this_machine_unless_asked(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert re.match(r"\$\{COURTYARD_(HTTP|MQTT)_BIND:-127\.0\.0\.1\}:", port), port


def test_the_database_cannot_be_reached_from_outside() -> None:
    assert COMPOSE["networks"]["state"]["internal"] is True
    assert SERVICES["postgres"]["networks"] == ["state"]
    assert "ports" not in SERVICES["postgres"]


@each_service
def test_no_secret_stands_in_the_environment(name: str) -> None:
    for key, value in SERVICES[name].get("environment", {}).items():
        assert not re.search("password|token|secret", key, re.I) or str(value).startswith("/run/secrets/"), key


@pytest.mark.parametrize("name", OURS)
def test_every_setting_given_is_one_of_the_product(name: str) -> None:
    given = [key for key in SERVICES[name].get("environment", {}) if key.startswith("COURTYARD_")]
    given += [secret for secret in names(SERVICES[name].get("secrets")) if secret.startswith("courtyard_")]
    assert {key.lower().removeprefix("courtyard_") for key in given} <= set(Settings.model_fields)


@pytest.mark.parametrize("name", OURS)
def test_every_start_line_is_a_command_of_the_product(name: str) -> None:
    lines = [SERVICES[name]["command"]]
    check = SERVICES[name].get("healthcheck", {}).get("test", [])
    lines += [check[2:]] if "courtyard" in check else []
    for line in lines:
        program = [sys.executable, "-c", "from services.cli.main import app; app()"]
        done = subprocess.run([*program, *line, "--help"], capture_output=True)
        assert done.returncode == 0, done.stderr.decode()


# --- secrets ------------------------------------------------------------------------------------------------------


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    subprocess.run(["sh", str(ROOT / "deploy/make-secrets.sh"), str(folder)], check=True, capture_output=True)
    return folder


def test_the_script_makes_every_secret_and_keeps_what_is_there(secrets: Path) -> None:
    wanted = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    made = {file.name: file.read_text() for file in secrets.iterdir()}
    assert set(made) == wanted
    assert secrets.stat().st_mode & 0o077 == 0
    subprocess.run(["sh", str(ROOT / "deploy/make-secrets.sh"), str(secrets)], check=True, capture_output=True)
    assert {file.name: file.read_text() for file in secrets.iterdir()} == made


def test_half_a_pair_is_refused(secrets: Path) -> None:
    (secrets / "mqtt_users").unlink()
    again = subprocess.run(["sh", str(ROOT / "deploy/make-secrets.sh"), str(secrets)], capture_output=True, text=True)
    assert again.returncode == 1
    assert "mqtt_users" in again.stderr
    assert not (secrets / "mqtt_users").exists()


def test_the_settings_find_their_secrets(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COURTYARD_DATABASE_URL", raising=False)
    monkeypatch.delenv("COURTYARD_MQTT", raising=False)
    settings = Settings(_secrets_dir=secrets)  # type: ignore[call-arg]
    password = (secrets / "postgres_password").read_text().strip()
    assert settings.database_url == f"postgresql://courtyard:{password}@postgres:5432/courtyard"
    assert re.fullmatch(r"mqtt://gateway:\w{40}@mosquitto:1883", settings.mqtt)


def test_no_secret_can_be_committed() -> None:
    assert (ROOT / "deploy/secrets/.gitignore").read_text().split() == ["*", "!.gitignore"]


# --- the broker ---------------------------------------------------------------------------------------------------


@pytest.fixture
def mosquitto(secrets: Path, tmp_path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The real program with the committed files; only paths and port are this machine's."""
    if shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin") is None:
        missing("mosquitto is not installed; on Debian: apt-get install mosquitto")
    port = gateway.ports.free_port()
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    places = {
        "/run/secrets/": f"{secrets}/",
        "/mosquitto/config/": f"{folder}/",
        "/mosquitto/data/": f"{folder}/",
        "/tmp/mqtt_passwords": f"{folder}/passwords",
        "listener 1883": f"listener {port} 127.0.0.1\nuser root",
        "exec mosquitto": "exec /usr/sbin/mosquitto",
    }
    for name in ("mosquitto.conf", "acl", "start.sh"):
        text = (ROOT / "deploy/mosquitto" / name).read_text()
        for there, here in places.items():
            text = text.replace(there, here)
        (folder / name).write_text(text)
    running = subprocess.Popen(["sh", str(folder / "start.sh")], stderr=subprocess.PIPE)
    _wait_for(port, running)
    accounts = dict(line.split(":", 1) for line in (secrets / "mqtt_users").read_text().split())
    yield port, accounts
    running.terminate()
    assert running.wait(5) == 0
    assert running.stderr is not None
    running.stderr.close()


def _wait_for(port: int, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while gateway.ports.is_free("127.0.0.1", port):
        assert running.poll() is None, running.stderr.read() if running.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Client:
    """One MQTT connection that remembers how it was received and what it heard."""

    def __init__(self, port: int, user: str | None, password: str | None) -> None:
        self.answer: str | None = None
        self.heard: list[tuple[str, bytes]] = []
        self.subscribed = False
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        if user is not None:
            self._client.username_pw_set(user, password)
        self._client.on_connect = self._on_connect
        self._client.on_message = lambda _c, _u, m: self.heard.append((m.topic, m.payload))
        self._client.on_subscribe = lambda *_: setattr(self, "subscribed", True)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._until(lambda: self.answer is not None)

    def _on_connect(self, _client: object, _data: object, _flags: object, code: object, _properties: object) -> None:
        self.answer = str(code)

    def _until(self, true: Any) -> None:
        deadline = time.monotonic() + 5
        while not true():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def listen(self, topic: str) -> None:
        self._client.subscribe(topic, qos=1)
        self._until(lambda: self.subscribed)

    def say(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(5)

    def try_to_say(self, topic: str, payload: bytes) -> None:
        """Mosquitto 2.0 closes the connection of a client that says what it may not."""
        closed: list[object] = []
        self._client.on_disconnect = lambda *_: closed.append(True)
        self._client.publish(topic, payload, qos=1)
        self._until(lambda: closed)

    def hears(self, count: int) -> list[tuple[str, bytes]]:
        self._until(lambda: len(self.heard) >= count)
        return self.heard

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.mark.mosquitto
def test_the_broker_lets_in_who_knows_the_password_and_nobody_else(mosquitto: tuple[int, dict[str, str]]) -> None:
    port, accounts = mosquitto
    assert set(accounts) == {"gateway", "devices"}
    for user, password in ((None, None), ("gateway", "wrong"), ("stranger", "x")):
        refused = Client(port, user, password)
        assert refused.answer == "Not authorized"
        refused.close()
    for user, password in accounts.items():
        welcome = Client(port, user, password)
        assert welcome.answer == "Success"
        welcome.close()


@pytest.mark.mosquitto
def test_devices_speak_on_the_topics_of_every_shipped_profile_and_the_gateway_hears_them(
    mosquitto: tuple[int, dict[str, str]],
) -> None:
    port, accounts = mosquitto
    topics = {re.sub(r"[+#]", "x", topic) for topic in spoken_topics(library.load(library.SHIPPED).values())}
    assert len(topics) >= 5
    ears = Client(port, "gateway", accounts["gateway"])
    ears.listen("#")
    for platform in sorted({topic.split("/")[0] for topic in topics if topic.startswith("$")}):
        ears.listen(f"{platform}/#")  # MQTT: `#` is not for topics that begin with $
    mouth = Client(port, "devices", accounts["devices"])
    for topic in sorted(topics):
        mouth.say(topic, b"hello")
    assert {topic for topic, _ in ears.hears(len(topics))} == topics
    mouth.close()
    ears.close()


@pytest.mark.mosquitto
def test_the_gateway_says_commands_and_equipment_does_not(mosquitto: tuple[int, dict[str, str]]) -> None:
    port, accounts = mosquitto
    topic = "courtyard/yard/gates/g-1/command"
    ears = Client(port, "gateway", accounts["gateway"])
    ears.listen("courtyard/#")
    pretender = Client(port, "devices", accounts["devices"])
    pretender.try_to_say(topic, b"pretended")
    gateway = Client(port, "gateway", accounts["gateway"])
    gateway.say(topic, b"open")
    assert ears.hears(1) == [(topic, b"open")]
    for client in (pretender, gateway, ears):
        client.close()


def test_the_broker_s_rules_are_those_of_the_shipped_profiles() -> None:
    assert FILE.read_text() == acl(library.load(library.SHIPPED).values())


@pytest.mark.mosquitto
def test_the_gateway_may_not_speak(mosquitto: tuple[int, dict[str, str]]) -> None:
    port, accounts = mosquitto
    topic = "courtyard/yard/gates/g-1/telemetry"
    ears = Client(port, "gateway", accounts["gateway"])
    ears.listen("#")
    pretender = Client(port, "gateway", accounts["gateway"])
    pretender.try_to_say(topic, b"pretended")
    mouth = Client(port, "devices", accounts["devices"])
    mouth.say(topic, b"said")
    assert ears.hears(1) == [(topic, b"said")]
    pretender.close()
    mouth.close()
    ears.close()
