"""The gateway's MQTT session: the only place where the ingest side speaks paho.

One thread drives paho itself (`loop_read`, `ack`, `loop_write`, `loop_misc`): a network thread that hands over to a
writer costs five times the CPU. MQTT 3.1.1, a persistent session, QoS 1, manual acknowledgement. Acknowledgements go
out in receipt order and only on the connection that delivered: a packet id of an old connection could acknowledge a
different message.
"""

from __future__ import annotations

import select
import ssl
import time
from collections.abc import Sequence
from socket import SHUT_WR
from socket import socket as Socket
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

BATCH = 500
_DISCONNECT = b"\xe0\x00"
_GOODBYE_SECONDS = 1.0


class MqttUnavailable(Exception):
    """The broker cannot be reached, or refused the session; the text says which."""


class Message(NamedTuple):
    """A PUBLISH as it came. A topic that is not UTF-8 stands as its escaped bytes behind U+FFFD."""

    topic: str
    payload: bytes
    mid: int
    qos: int
    dup: bool
    retained: bool


class BrokerAddress(NamedTuple):
    host: str
    port: int
    tls: bool
    user: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> BrokerAddress:
        """`mqtt://[user:password@]host[:port]` or `mqtts://…`; raises ValueError that says what is wrong."""
        parts = urlsplit(url)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise ValueError(f"expected mqtt://[user:password@]host[:port] or mqtts://…, found {url!r}")
        tls = parts.scheme == "mqtts"
        return cls(
            host=parts.hostname,
            port=parts.port or (8883 if tls else 1883),
            tls=tls,
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
        )

    def __str__(self) -> str:
        """Without the password: this goes to logs and pages."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


class MqttSession:
    """One connection of the subscribing session: `connect`, then `read` and `acknowledge` in turn, from one thread.

    Made anew for every connection, so that nothing queued for an old one can ever be sent on the next.
    """

    def __init__(self, address: BrokerAddress, *, client_id: str, filters: Sequence[str], keepalive_seconds: int = 30):
        self.address = address
        self._filters = tuple(filters)
        self._keepalive = keepalive_seconds
        self._incoming: list[Message] = []
        self._connack: ReasonCode | None = None
        self._refused = ""
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, clean_session=False, protocol=paho.MQTTv311, manual_ack=True
        )
        if address.user is not None:
            client.username_pw_set(address.user, address.password)
        if address.tls:
            client.tls_set_context(ssl.create_default_context())
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        # With a write hook set, paho queues acknowledgements; we flush a batch of them at once.
        client.on_socket_register_write = lambda *_: None
        client.connect_timeout = 5.0
        self._client = client

    # --- paho's callbacks: nothing here may raise, an exception would leave a packet half handled ---------------

    def _on_connect(self, _client: object, _data: object, _flags: object, reason: ReasonCode, _p: object) -> None:
        self._connack = reason

    def _on_subscribe(self, _c: object, _d: object, _mid: int, reasons: list[ReasonCode], _p: object) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refused = "the broker refused a subscription; does its access list let the gateway read?"

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "\ufffd" + repr(message._topic)[2:-1]  # no filter matches it: it goes to the quarantine
        self._incoming.append(
            Message(topic, bytes(message.payload), message.mid, message.qos, message.dup, message.retain)
        )

    # --- the session ----------------------------------------

    def connect(self) -> None:
        """Connect and subscribe; raises MqttUnavailable."""
        try:
            self._client.connect(self.address.host, self.address.port, keepalive=self._keepalive)
        except (OSError, ValueError) as error:
            raise MqttUnavailable(f"{self.address}: {error}") from error
        for _ in range(20):
            if self._connack is not None or self._pump(0.25) is None:
                break
        if self._connack is None:
            self.abandon()
            raise MqttUnavailable(f"{self.address}: the broker does not answer a CONNECT")
        if self._connack.is_failure:
            self.abandon()
            raise MqttUnavailable(f"{self.address}: the broker refuses the gateway: {self._connack}")
        self.subscribe(self._filters)

    def subscribe(self, filters: Sequence[str]) -> None:
        """Subscribe at QoS 1; again on every connect, since a broker may have lost the session."""
        self._filters = tuple(filters)
        for start in range(0, len(self._filters), 50):
            self._client.subscribe([(one, 1) for one in self._filters[start : start + 50]])
        self._client.loop_write()

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Hear these no more; a broker remembers the subscriptions of a session until it is told."""
        for start in range(0, len(filters), 50):
            self._client.unsubscribe(list(filters[start : start + 50]))
        self._client.loop_write()

    def read(self, timeout_seconds: float) -> list[Message]:
        """Messages that have come: waits up to the timeout for the first, then takes what is there, up to BATCH.

        Never waits for more once something came: behind a broker that keeps 20 messages in flight, that would cap
        ingest. Raises MqttUnavailable when the connection is lost; messages it carried will be delivered again.
        """
        if self._pump(timeout_seconds) is None:
            self._incoming.clear()
            raise MqttUnavailable(f"{self.address}: connection lost")
        if self._refused:
            self.abandon()
            raise MqttUnavailable(f"{self.address}: {self._refused}")
        messages, self._incoming = self._incoming, []
        return messages

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledge in receipt order. On a connection that is gone this does nothing, rightly."""
        client = self._client
        for message in messages:
            if message.qos == 1:
                client.ack(message.mid, 1)
        client.loop_write()

    def _pump(self, timeout_seconds: float) -> int | None:
        """Read until the socket is drained or a batch is full; None when the connection is gone."""
        client = self._client
        socket = client.socket()
        if socket is None:
            return None
        writers = [socket] if client.want_write() else []
        pending = isinstance(socket, ssl.SSLSocket) and socket.pending() > 0
        readable, writable, _ = select.select([socket], writers, [], 0 if pending else timeout_seconds)
        if readable or pending:
            self._drain()
        if writable:
            client.loop_write()
        client.loop_misc()
        return None if client.socket() is None else len(self._incoming)

    def _drain(self) -> None:
        incoming = self._incoming
        read = self._client.loop_read
        while len(incoming) < BATCH:
            before = len(incoming)
            if read() != paho.MQTT_ERR_SUCCESS or len(incoming) == before:
                return

    def abandon(self) -> None:
        """Drop the connection without a word; the broker keeps the session and delivers again what was not
        acknowledged."""
        self._incoming.clear()
        socket = self._client.socket()
        if socket is not None:
            socket.close()

    def close(self) -> None:
        """A clean DISCONNECT; the session stays with the broker.

        Said on the socket itself, and then listened to until the broker hangs up: closing a socket that still has
        something to read resets the connection, and the last acknowledgements could go down with it.
        """
        socket = self._client.socket()
        if not isinstance(socket, Socket):
            return
        self._client.loop_write()
        deadline = time.monotonic() + _GOODBYE_SECONDS
        try:
            socket.settimeout(_GOODBYE_SECONDS)
            socket.sendall(_DISCONNECT)
            socket.shutdown(SHUT_WR)
            while time.monotonic() < deadline and socket.recv(65536):
                pass
        except OSError:
            pass  # gone already; what it had not acknowledged comes again and is recognised
        finally:
            socket.close()
