"""The publishing client on a real broker: everything is acknowledged, restarts included."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway.mqtt_client import MqttPublisher, Will
from gateway.ports import free_port
from services.bench.mosquitto import Mosquitto

pytestmark = pytest.mark.mosquitto


def _until(done: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)


class _Listener:
    """A persistent subscriber that remembers what came."""

    def __init__(self, broker: Mosquitto, filter_: str) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "listener", clean_session=False)
        self._client.reconnect_delay_set(0.1, 0.2)
        self._client.on_connect = lambda client, *_: client.subscribe(filter_, 1)
        self._client.on_message = lambda _c, _d, m: self.heard.append((m.topic, m.payload, m.retain))
        self.subscribed = False
        self._client.on_subscribe = lambda *_: setattr(self, "subscribed", True)
        host, _, port = broker.url.removeprefix("mqtt://").partition(":")
        self._client.connect(host, int(port))

    def __enter__(self) -> _Listener:
        self._client.loop_start()
        _until(lambda: self.subscribed)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_everything_published_is_acknowledged_and_arrives_in_order(mosquitto: Mosquitto) -> None:
    with _Listener(mosquitto, "t/#") as listener, MqttPublisher(mosquitto.url, "p1") as publisher:
        for i in range(500):
            publisher.publish(f"t/{i % 7}", json.dumps(i).encode())
        assert publisher.flush(60)
        _until(lambda: len(listener.heard) >= 500)
    assert [json.loads(payload) for _, payload, _ in listener.heard] == list(range(500))
    assert publisher.dropped == 0


def test_what_is_published_during_a_broker_restart_goes_out_after_it(mosquitto: Mosquitto) -> None:
    with MqttPublisher(mosquitto.url, "p1") as publisher:
        assert publisher.wait_connected(60)
        mosquitto.kill()
        _until(lambda: not publisher.wait_connected(0))
        for i in range(50):
            publisher.publish("t/x", str(i).encode(), retain=True)
        assert not publisher.flush(0.05)
        mosquitto.start()
        assert publisher.flush(60), publisher.last_error
    with _Listener(mosquitto, "t/#") as listener:
        _until(lambda: bool(listener.heard))
    assert listener.heard[0] == ("t/x", b"49", True)


def test_the_will_speaks_when_the_client_is_gone_and_not_after_a_goodbye(mosquitto: Mosquitto) -> None:
    will = Will("t/status", b"offline")
    with _Listener(mosquitto, "t/#") as listener:
        with MqttPublisher(mosquitto.url, "polite", will) as publisher:
            assert publisher.wait_connected(60)
            publisher.publish("t/status", b"online")
        with MqttPublisher(mosquitto.url, "rude", will) as publisher:
            assert publisher.wait_connected(60)
            # Not closed: its number would be given to another socket while the client still waits on it.
            publisher._client.socket().shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
            _until(lambda: len(listener.heard) >= 2)
    assert [payload for _, payload, _ in listener.heard[:2]] == [b"online", b"offline"]


def test_where_no_broker_is_the_reason_is_told_and_closing_does_not_hang(tmp_path: Path) -> None:
    publisher = MqttPublisher(f"mqtt://127.0.0.1:{free_port()}", "p1")
    publisher.start()
    publisher.publish("t", b"1")
    assert not publisher.wait_connected(0.3)
    _until(lambda: bool(publisher.last_error))
    began = time.monotonic()
    assert not publisher.close()
    assert time.monotonic() - began < 50


def test_what_is_published_before_the_broker_has_answered_goes_out_behind_what_waited(mosquitto: Mosquitto) -> None:
    with _SlowAnswer(mosquitto.url) as slow, _Listener(mosquitto, "t/#") as listener:
        publisher = MqttPublisher(slow.url, "p1")
        for i in range(5):
            publisher.publish("t/x", str(i).encode())
        with publisher:
            assert slow.asked.wait(60)
            for i in range(5, 10):
                publisher.publish("t/x", str(i).encode())
            slow.answer.set()
            for i in range(10, 15):
                publisher.publish("t/x", str(i).encode())
            assert publisher.flush(60)
            _until(lambda: len(listener.heard) >= 15)
    assert [int(payload) for _, payload, _ in listener.heard] == list(range(15))


class _SlowAnswer:
    """Stands before a broker and keeps its answers back until `answer` is set; `asked` once a client has spoken."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("mqtt://").partition(":")
        self._broker = (host, int(port))
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._door.getsockname()[1]}"
        self.asked, self.answer = threading.Event(), threading.Event()
        self._ends: list[socket.socket] = [self._door]
        self._threads = [threading.Thread(target=self._serve, daemon=True)]

    def __enter__(self) -> _SlowAnswer:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.answer.set()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join(60)

    def _serve(self) -> None:
        with suppress(OSError):
            client, _ = self._door.accept()
            broker = socket.create_connection(self._broker)
            self._ends += [client, broker]
            back = threading.Thread(target=self._carry, args=(broker, client, self.answer), daemon=True)
            self._threads.append(back)
            back.start()
            self._carry(client, broker, None)

    def _carry(self, source: socket.socket, target: socket.socket, wait_for: threading.Event | None) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if wait_for is None:
                    self.asked.set()
                else:
                    wait_for.wait(100)
                target.sendall(data)
