"""A device that is away with a persistent session: its broker keeps what it is told, but no command beyond its time."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway.broker import EmbeddedBroker
from gateway.mqtt_once import OncePublisher, Said
from services.bench.mosquitto import Mosquitto
from tests.gateway.kit import until


class Module:
    """A 4G module: MQTT 3.1.1, and a session that outlives its connection."""

    def __init__(self, url: str) -> None:
        self.host, _, port = url.removeprefix("mqtt://").rpartition(":")
        self.port = int(port)
        self.heard: list[bytes] = []
        self._subscribed = False

    def is_there_until(self, enough: Callable[[], bool]) -> None:
        self._subscribed = False
        client = paho.Client(CallbackAPIVersion.VERSION2, "module", clean_session=False)
        client.on_message = lambda _client, _data, message: self.heard.append(bytes(message.payload))
        client.on_subscribe = lambda *_: setattr(self, "_subscribed", True)
        client.connect(self.host, self.port)
        client.subscribe("cmd/module", qos=1)
        client.loop_start()
        try:
            until(lambda: self._subscribed and enough(), 60)
        finally:
            client.disconnect()
            client.loop_stop()


@pytest.mark.mosquitto
def test_what_is_too_old_is_not_heard_by_a_device_that_comes_back(mosquitto: Mosquitto) -> None:
    module = Module(mosquitto.url)
    module.is_there_until(lambda: True)
    with OncePublisher(mosquitto.url, "gateway-commands") as publisher:
        assert publisher.wait_connected(60) and publisher.expires
        said = publisher.say("cmd/module", b"open the gate", timeout_seconds=60, expires_seconds=1)
        assert said.said is Said.ACKNOWLEDGED
        time.sleep(2.1)  # the broker counts whole seconds
        later = publisher.say("cmd/module", b"still in time", timeout_seconds=60, expires_seconds=60)
        assert later.said is Said.ACKNOWLEDGED
    module.is_there_until(lambda: b"still in time" in module.heard)
    assert module.heard == [b"still in time"]


def test_a_broker_that_lets_nobody_in_is_not_taken_for_an_old_one() -> None:
    levels: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as broker:
        url = f"mqtt://127.0.0.1:{broker.getsockname()[1]}"
        with OncePublisher(url, "gateway-commands") as publisher:
            for _ in range(2):
                line, _ = broker.accept()
                with line:
                    levels.append(line.recv(100)[8])
                    line.sendall(b"\x20\x03\x00\x87\x00")  # CONNACK of MQTT 5: not authorized
            assert publisher.last_error == "Not authorized"
    assert levels == [5, 5]


def test_a_broker_of_the_older_protocol_gets_them_all_the_same() -> None:
    broker = EmbeddedBroker(port=0)
    broker.start()
    try:
        with OncePublisher(broker.url, "gateway-commands") as publisher:
            assert publisher.wait_connected(60), publisher.last_error
            assert publisher.say("cmd/x", b"1", timeout_seconds=60, expires_seconds=5).said is Said.ACKNOWLEDGED
            assert not publisher.expires
    finally:
        broker.stop()
