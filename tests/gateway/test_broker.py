"""The embedded broker: real process, real client, real deaths."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from gateway import ports
from gateway.broker import BrokerNotStarted, EmbeddedBroker


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(port=0) as running:
        yield running


def connect(broker: EmbeddedBroker, client_id: str) -> mqtt.Client:
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id)
    client.connect(broker.host, broker.port)
    client.loop_start()
    return client


def close(client: mqtt.Client) -> None:
    client.disconnect()
    client.loop_stop()


def eventually(seconds: float, true: object, why: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, why
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_message_goes_through_at_qos_1(broker: EmbeddedBroker) -> None:
    heard: queue.Queue[tuple[str, bytes, int]] = queue.Queue()
    subscribed: queue.Queue[int] = queue.Queue()
    listener = connect(broker, "listener")
    listener.on_message = lambda _c, _u, m: heard.put((m.topic, m.payload, m.qos))
    listener.on_subscribe = lambda _c, _u, _mid, codes, _p: subscribed.put(codes[0].value)
    listener.subscribe("yard/+/telemetry", qos=1)
    assert subscribed.get(timeout=60) == 1
    speaker = connect(broker, "speaker")
    speaker.publish("yard/p1/telemetry", b'{"power": 12.5}', qos=1).wait_for_publish(60)
    assert heard.get(timeout=60) == ("yard/p1/telemetry", b'{"power": 12.5}', 1)
    close(speaker)
    close(listener)


def test_a_retained_message_and_a_last_will_reach_a_late_listener(broker: EmbeddedBroker) -> None:
    heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
    camera = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="camera")
    camera.will_set("cameras/c1/available", b"offline", qos=1, retain=True)
    camera.connect(broker.host, broker.port)
    camera.loop_start()
    camera.publish("cameras/c1/available", b"online", qos=1, retain=True).wait_for_publish(60)
    listener = connect(broker, "listener")
    listener.on_message = lambda _c, _u, m: heard.put((m.topic, m.payload))
    listener.subscribe("cameras/#", qos=1)
    assert heard.get(timeout=60) == ("cameras/c1/available", b"online")
    camera.socket().shutdown(socket.SHUT_RDWR)  # the cable is pulled
    assert heard.get(timeout=60) == ("cameras/c1/available", b"offline")
    camera.loop_stop()
    close(listener)


def test_it_stops_within_two_seconds_with_clients_connected() -> None:
    broker = EmbeddedBroker(port=0)
    broker.start()
    client = connect(broker, "hanging-on")
    pid = broker.pid
    assert pid is not None
    started = time.monotonic()
    broker.stop()
    assert time.monotonic() - started < 30, "two seconds, and what a busy machine adds"
    assert not alive(pid)
    assert ports.is_free(broker.host, broker.port)
    client.loop_stop()


def test_stopping_twice_is_fine() -> None:
    broker = EmbeddedBroker(port=0)
    broker.start()
    broker.stop()
    broker.stop()
    assert not broker.running


def test_the_same_port_can_be_used_again_at_once(broker: EmbeddedBroker) -> None:
    close(connect(broker, "first"))
    broker.stop()
    broker.start()
    close(connect(broker, "second"))


def test_a_taken_port_is_explained() -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        with pytest.raises(BrokerNotStarted) as refused:
            EmbeddedBroker(port=port).start()
    assert f"port {port} is taken by " in str(refused.value)
    assert f"pid {os.getpid()}" in str(refused.value)
    assert f"--mqtt mqtt://127.0.0.1:{port}" in str(refused.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "yard.example"])
def test_it_never_listens_beyond_this_machine(host: str) -> None:
    with pytest.raises(BrokerNotStarted, match="loopback only"):
        EmbeddedBroker(host, 0).start()


def test_it_dies_with_its_parent_however_sudden() -> None:
    port = ports.free_port()
    program = (
        "import sys, time\nfrom gateway.broker import EmbeddedBroker\n"
        f"broker = EmbeddedBroker(port={port})\nbroker.start()\nprint(broker.pid, flush=True)\ntime.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait(60)
    parent.stdout.close()
    eventually(60, lambda: not alive(child), "the broker outlived its parent")


def test_ctrl_c_of_the_group_leaves_the_stop_to_the_parent(broker: EmbeddedBroker) -> None:
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGINT)
    close(connect(broker, "after-ctrl-c"))
    assert broker.running


def test_run_alone_it_ends_on_sigterm() -> None:
    port = ports.free_port()
    alone = subprocess.Popen(
        [sys.executable, "-m", "gateway.broker", "--listen", f"127.0.0.1:{port}"], stdout=subprocess.PIPE, text=True
    )
    assert alone.stdout is not None
    assert alone.stdout.readline() == f"listening 127.0.0.1:{port}\n"
    alone.terminate()
    assert alone.wait(60) == 0
    alone.stdout.close()
