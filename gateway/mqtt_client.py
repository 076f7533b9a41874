"""Small MQTT clients beside the gateway's own session (`gateway.mqtt`).

`MqttPublisher` is for what plays devices: the simulator, the benches, tests. It runs a thread of its own, comes back by
itself after a broker restart, and says what was acknowledged. `MqttListener` is for who looks on: captures, and
profiles that are tried on live messages.
"""

from __future__ import annotations

import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from gateway.mqtt import BrokerAddress, MqttUnavailable

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 15.0
_MOST_QUEUED = 50_000
_IN_FLIGHT = 100
_MOST_HEARD = 500


class Will(NamedTuple):
    """What the broker says when this client is gone without a goodbye."""

    topic: str
    payload: bytes
    retain: bool = True
    qos: int = 1


class _Said(NamedTuple):
    topic: str
    payload: bytes
    retain: bool
    qos: int


class MqttPublisher:
    """Publishes at QoS 1 over MQTT 3.1.1; what is published while offline goes out after the reconnect.

    `dropped` counts messages refused because the bounded queue was full. Use it as a context manager, or start and
    close it.
    """

    _protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311

    def __init__(self, url: str, client_id: str, will: Will | None = None, *, keepalive_seconds: int = 30) -> None:
        self.address = BrokerAddress.parse(url)
        self.dropped = 0
        self.last_error = ""
        self._keepalive = keepalive_seconds
        self._settled = threading.Condition()
        self._order = threading.Lock()
        self._flowing = False
        self._waiting: deque[_Said] = deque()
        self._published = 0
        self._acknowledged = 0
        self._connected = threading.Event()
        self._stopping = threading.Event()
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name=f"publisher {client_id}", daemon=True)
        self._client = self._new_client(client_id, will)

    def _new_client(self, client_id: str, will: Will | None) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=self._protocol)
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

    def __enter__(self) -> Self:
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
        with self._order:
            kept = self._send_or_keep(_Said(topic, payload, retain, qos))
        if not kept:
            with self._settled:
                self._published -= 1
                self.dropped += 1

    def _send_or_keep(self, said: _Said) -> bool:
        """Whether it goes out, now or after the connect. Until then it waits here: paho would send what is published
        between its connect and the broker's answer before what it holds from earlier."""
        if self._flowing:
            return self._send(said)
        if said.qos == 0 or len(self._waiting) >= _MOST_QUEUED:
            return False
        self._waiting.append(said)
        return True

    def _send(self, said: _Said) -> bool:
        sent = self._client.publish(said.topic, said.payload, qos=said.qos, retain=said.retain)
        return not (
            sent.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE
            or (said.qos == 0 and sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS)
        )  # offline, paho keeps QoS 1 and forgets QoS 0

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
            with self._order:
                self._flowing = False
            self._failures += 1
            self._stopping.wait(self._pause())

    def _pump(self) -> None:
        while self._client.loop(timeout=0.5) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            if self._connected.is_set() and not self._flowing:
                self._flow()
            if self._stopping.is_set():
                break

    def _flow(self) -> None:
        """What waited goes first, behind what paho itself has just sent again."""
        with self._order:
            while self._waiting and self._send(self._waiting[0]):
                self._waiting.popleft()
            self._flowing = not self._waiting

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


class Heard(NamedTuple):
    """A message that a listener heard. A topic that is not UTF-8 stands as its escaped bytes behind U+FFFD."""

    topic: str
    payload: bytes
    qos: int
    retained: bool


class MqttListener:
    """Hears topics for somebody who looks on, and leaves nothing behind at the broker: a clean session, nothing owed.

    Driven by `read` from one thread. `connect` and `read` raise MqttUnavailable; `connect` may then be called again.
    """

    def __init__(self, url: str, client_id: str, filters: Sequence[str], *, seconds: float = 5.0) -> None:
        self.address = BrokerAddress.parse(url)
        self._client_id = client_id
        self._filters = tuple(filters)
        self._seconds = seconds
        self._heard: list[Heard] = []
        self._connack: ReasonCode | None = None
        self._refused: list[str] = []
        self._asked: dict[int, tuple[str, ...]] = {}
        self._client: paho.Client | None = None

    def __enter__(self) -> MqttListener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> None:
        """Connect, subscribe, and wait for the broker's word on both. Raises MqttUnavailable that says what to do."""
        self.close()
        self._connack, self._refused, self._asked = None, [], {}
        client = self._new_client()
        try:
            client.connect(self.address.host, self.address.port, keepalive=30)
        except (OSError, ValueError) as error:
            raise MqttUnavailable(f"{self.address}: {error}. Is a broker running there?") from error
        self._client = client
        if not self._pump_until(lambda: self._connack is not None):
            self.close()
            raise MqttUnavailable(f"{self.address}: something listens there but does not answer as an MQTT broker")
        if self._connack is not None and self._connack.is_failure:
            reason = str(self._connack)
            self.close()
            raise MqttUnavailable(f"{self.address}: the broker refuses: {reason}.{self._about_passwords()}")
        self.subscribe(self._filters)

    def subscribe(self, filters: Sequence[str]) -> None:
        """Subscribe and wait for the broker's word; raises MqttUnavailable where it refuses one."""
        assert self._client is not None
        self._filters = tuple(filters)
        for start in range(0, len(self._filters), 50):
            part = self._filters[start : start + 50]
            _, mid = self._client.subscribe([(one, 2) for one in part])
            if mid is not None:
                self._asked[mid] = part
        self._pump_until(lambda: not self._asked)
        if self._refused:
            refused = ", ".join(self._refused[:5])
            self.close()
            raise MqttUnavailable(
                f"{self.address}: the broker does not let this user read {refused}. Ask for topics that its access "
                f"list allows, or sign in as another user (mqtt://user:password@…)."
            )

    def read(self, timeout_seconds: float) -> list[Heard]:
        """What was heard: waits for the first up to the timeout. Raises MqttUnavailable when the connection is lost."""
        if self._client is None:
            raise MqttUnavailable(f"{self.address}: not connected")
        wait = 0.0 if self._heard else timeout_seconds
        while len(self._heard) < _MOST_HEARD:
            before = len(self._heard)
            if self._client.loop(timeout=wait) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self.close()
                raise MqttUnavailable(f"{self.address}: connection lost")
            if len(self._heard) == before:
                break
            wait = 0.0
        heard, self._heard = self._heard, []
        return heard

    def close(self) -> None:
        """A goodbye, if there is anybody to say it to."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop(timeout=0.1)
            if (socket := client.socket()) is not None:
                socket.close()

    def _new_client(self) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, self._client_id, clean_session=True, protocol=paho.MQTTv311)
        if self.address.user is not None:
            client.username_pw_set(self.address.user, self.address.password)
        if self.address.tls:
            client.tls_set_context(ssl.create_default_context())
        client.connect_timeout = self._seconds
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _pump_until(self, done: Callable[[], bool]) -> bool:
        until = time.monotonic() + self._seconds
        while not done():
            client = self._client
            if client is None or time.monotonic() > until or client.loop(timeout=0.1) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return done()
        return True

    def _about_passwords(self) -> str:
        if self.address.user is None:
            return " It wants a user and a password: mqtt://user:password@host"
        return f" Is the password of {self.address.user} right? Special characters are written %40, %3A, …"

    # --- paho's callbacks: nothing here may raise -------------------------------------------------------------------

    def _on_connect(self, _client: object, _data: object, _flags: object, reason: ReasonCode, _p: object) -> None:
        self._connack = reason

    def _on_subscribe(self, _c: object, _d: object, mid: int, reasons: list[ReasonCode], _p: object) -> None:
        asked = self._asked.pop(mid, ())
        self._refused += [one for one, reason in zip(asked, reasons, strict=False) if reason.is_failure]

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "\ufffd" + repr(message._topic)[2:-1]
        self._heard.append(Heard(topic, bytes(message.payload), message.qos, message.retain))
