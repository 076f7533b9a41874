"""A small publishing MQTT client for what plays devices: the simulator, the benches, tests.

The gateway's own session is `gateway.mqtt`. This one runs a thread of its own, comes back by itself after a broker
restart, and says what was acknowledged.
"""

from __future__ import annotations

import random
import ssl
import threading
from typing import NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from gateway.mqtt import BrokerAddress

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 15.0
_MOST_QUEUED = 50_000
_IN_FLIGHT = 100


class Will(NamedTuple):
    """What the broker says when this client is gone without a goodbye."""

    topic: str
    payload: bytes
    retain: bool = True
    qos: int = 1


class MqttPublisher:
    """Publishes at QoS 1 over MQTT 3.1.1; what is published while offline goes out after the reconnect.

    `dropped` counts messages refused because the bounded queue was full. Use it as a context manager, or start and
    close it.
    """

    def __init__(self, url: str, client_id: str, will: Will | None = None, *, keepalive_seconds: int = 30) -> None:
        self.address = BrokerAddress.parse(url)
        self.dropped = 0
        self.last_error = ""
        self._keepalive = keepalive_seconds
        self._settled = threading.Condition()
        self._published = 0
        self._acknowledged = 0
        self._connected = threading.Event()
        self._stopping = threading.Event()
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name=f"publisher {client_id}", daemon=True)
        self._client = self._new_client(client_id, will)

    def _new_client(self, client_id: str, will: Will | None) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv311)
        if self.address.user is not None:
            client.username_pw_set(self.address.user, self.address.password)
        if self.address.tls:
            client.tls_set_context(ssl.create_default_context())
        if will is not None:
            client.will_set(will.topic, will.payload, qos=will.qos, retain=will.retain)
        client.max_queued_messages_set(_MOST_QUEUED)
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.connect_timeout = 5.0
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        return client

    def __enter__(self) -> MqttPublisher:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def wait_connected(self, timeout_seconds: float) -> bool:
        """Whether the broker took the session within the timeout; `last_error` says why not."""
        return self._connected.wait(timeout_seconds)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
        """Queue a message; at QoS 1 it is sent again until the broker acknowledged it."""
        with self._settled:
            self._published += 1
        sent = self._client.publish(topic, payload, qos=qos, retain=retain)
        lost = sent.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE or (
            qos == 0 and sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS
        )  # offline, paho keeps QoS 1 and forgets QoS 0
        if lost:
            with self._settled:
                self._published -= 1
                self.dropped += 1

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until the broker has acknowledged everything; False when it did not in time."""
        with self._settled:
            return self._settled.wait_for(lambda: self._acknowledged >= self._published, timeout_seconds)

    def close(self, timeout_seconds: float = 2.0) -> bool:
        """Send what is queued, say goodbye and stop; False when something was left unacknowledged."""
        clean = not self._thread.is_alive() or self.flush(timeout_seconds if self._connected.is_set() else 0)
        self._stopping.set()
        self._client.disconnect()
        if self._thread.is_alive():
            self._thread.join(5)
        return clean

    # --- the publisher's own thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._client.connect(self.address.host, self.address.port, keepalive=self._keepalive)
                self._pump()
            except OSError as error:
                self.last_error = str(error)
            self._connected.clear()
            self._failures += 1
            self._stopping.wait(self._pause())

    def _pump(self) -> None:
        while self._client.loop(timeout=0.5) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            if self._stopping.is_set():
                break

    def _pause(self) -> float:
        """Backoff with jitter: after a broker restart a thousand devices must not come back in one second."""
        longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2 ** min(self._failures, 10))
        return random.uniform(_FIRST_WAIT_SECONDS / 2, longest)

    def _on_connect(self, _client: object, _data: object, _flags: object, reason: ReasonCode, _p: object) -> None:
        if reason.is_failure:
            self.last_error = str(reason)
            return
        self._failures = 0
        self.last_error = ""
        self._connected.set()

    def _on_publish(self, _client: object, _data: object, _mid: int, _reason: object, _p: object) -> None:
        with self._settled:
            self._acknowledged += 1
            self._settled.notify_all()
