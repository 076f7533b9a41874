"""The committed files of Mosquitto, on a real one: who gets in, who may say and hear what."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest

import gateway.ports
from device_profiles import library
from gateway.mqtt import BrokerAddress
from services.broker_acl import FILE, acl, spoken_topics
from services.stack import compose
from services.stack.keys import Keys
from services.stack.place import Place
from services.stack.programs import Mosquitto
from tests.needs import missing

ROOT = Path(__file__).parents[2]


class Broker:
    """Mosquitto as `courtyard stack` starts it from docker-compose.yml: only paths and port are this machine's."""

    def __init__(self, folder: Path) -> None:
        self.keys = Keys(folder / "secrets")
        for _ in self.keys.make():
            pass
        self.passwords = {
            name: BrokerAddress.parse(self.keys.read(file)).password or ""
            for name, file in (("gateway", "courtyard_mqtt"), ("devices", "equipment_mqtt"))
        }
        self._file = compose.read((ROOT / "docker-compose.yml").read_text(), {})
        self._service = self._file.services["mosquitto"]
        self.place = Place(self._file, ROOT, folder, folder / "secrets")
        self.place.ports["mosquitto:1883"] = self.port = gateway.ports.free_port()
        self.place.prepare(self._service, change={})
        (self._program,) = Mosquitto().programs(self.place, self._service)

    def __enter__(self) -> Broker:
        with self._program.log.open("wb") as log:
            self._process = subprocess.Popen(self._program.argv, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while not Mosquitto().is_well(self.place, self._service):
            assert self._process.poll() is None, self._program.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        assert self._process.wait(60) == 0, self._program.log.read_text()

    def read_passwords_again(self) -> None:
        """What `docker compose kill -s HUP mosquitto` does, and the mount of the secret."""
        shown = self.place.run_folder("mosquitto") / "secrets" / "mqtt_passwords"
        shown.write_text((self.keys.folder / "mqtt_passwords").read_text())
        self._process.send_signal(signal.SIGHUP)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin") is None:
        missing("mosquitto is not installed; on Debian: apt-get install mosquitto")
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


class Client:
    """One MQTT connection that remembers how it was received and what it heard."""

    @classmethod
    def of_another_moment(cls, port: int, user: str, password: str, *, wanted: str) -> bool:
        """Whether the broker gives that answer within seconds: it reads its files again when it comes to it."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            client = cls(port, user, password)
            client.close()
            if client.answer == wanted:
                return True
            time.sleep(0.05)
        return False

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
        deadline = time.monotonic() + 60
        while not true():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def listen(self, topic: str) -> None:
        self._client.subscribe(topic, qos=1)
        self._until(lambda: self.subscribed)

    def say(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(60)

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
def test_the_broker_lets_in_who_knows_the_password_and_nobody_else(broker: Broker) -> None:
    port, accounts = broker.port, broker.passwords
    for user, password in ((None, None), ("gateway", "wrong"), ("stranger", "x")):
        refused = Client(port, user, password)
        assert refused.answer == "Not authorized"
        refused.close()
    for user, password in accounts.items():
        welcome = Client(port, user, password)
        assert welcome.answer == "Success"
        welcome.close()


@pytest.mark.mosquitto
def test_devices_speak_on_the_topics_of_every_shipped_profile_and_the_gateway_hears_them(broker: Broker) -> None:
    port, accounts = broker.port, broker.passwords
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
def test_the_gateway_says_commands_and_equipment_does_not(broker: Broker) -> None:
    port, accounts = broker.port, broker.passwords
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
def test_the_gateway_may_not_speak(broker: Broker) -> None:
    port, accounts = broker.port, broker.passwords
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


@pytest.mark.mosquitto
def test_a_device_with_an_account_of_its_own_speaks_and_hears_for_itself_alone(broker: Broker) -> None:
    password = broker.keys.add_device("charger-7")
    broker.read_passwords_again()
    ears = Client(broker.port, "gateway", broker.passwords["gateway"])
    ears.listen("courtyard/#")
    assert Client.of_another_moment(broker.port, "charger-7", password, wanted="Success")
    device = Client(broker.port, "charger-7", password)
    device.listen("courtyard/yard/chargers/+/command")
    device.say("courtyard/yard/chargers/charger-7/telemetry", b"mine")
    ears.say("courtyard/yard/chargers/charger-8/command", b"for another")
    ears.say("courtyard/yard/chargers/charger-7/command", b"for me")
    assert device.hears(1) == [("courtyard/yard/chargers/charger-7/command", b"for me")]
    device.try_to_say("courtyard/yard/chargers/charger-8/telemetry", b"not mine")
    assert [payload for topic, payload in ears.hears(1) if topic.endswith("telemetry")] == [b"mine"]
    for client in (device, ears):
        client.close()


@pytest.mark.mosquitto
def test_a_device_whose_account_is_taken_away_is_out(broker: Broker) -> None:
    password = broker.keys.add_device("gate-1")
    broker.read_passwords_again()
    assert Client.of_another_moment(broker.port, "gate-1", password, wanted="Success")
    broker.keys.remove_device("gate-1")
    broker.read_passwords_again()
    assert Client.of_another_moment(broker.port, "gate-1", password, wanted="Not authorized")


@pytest.mark.mosquitto
def test_shared_equipment_hears_its_commands_and_no_telemetry(broker: Broker) -> None:
    equipment = Client(broker.port, "devices", broker.passwords["devices"])
    equipment.listen("courtyard/#")
    gateway = Client(broker.port, "gateway", broker.passwords["gateway"])
    gateway.say("courtyard/yard/gates/g-2/command", b"open")
    equipment.say("courtyard/yard/gates/g-2/telemetry", b"opened")
    gateway.say("courtyard/yard/gates/g-3/command", b"open")
    assert {topic for topic, _ in equipment.hears(2)} == {f"courtyard/yard/gates/g-{n}/command" for n in (2, 3)}
    for client in (equipment, gateway):
        client.close()
