"""Publishing what must be said now or not at all: commands. A publisher that never says anything later.

The ordinary publisher keeps QoS 1 messages and sends them after a reconnect. A command that opens a gate must not do
that: when it is not acknowledged in time, this one drops the connection and whatever its client still held.

Nor may the broker keep it: for a device that is away and has a persistent session it would, and the gate would open
when the device is back. So commands go over MQTT 5 with their expiry; a broker of 3.1.1 alone gets them without it.

MQTT 5 also lets a broker say what it makes of a message: that it does not allow it, or that nobody listens. One of
3.1.1 acknowledges what its access list forbids like anything else.
"""

from __future__ import annotations

import socket
import time
from enum import Enum
from typing import NamedTuple

from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.mqtt_client import MqttPublisher

_LOOK_SECONDS = 0.05
_NO_MATCHING_SUBSCRIBERS = 0x10
_UNKNOWN_PROTOCOL = "Unsupported protocol version"


class Said(Enum):
    """What became of a message."""

    ACKNOWLEDGED = "acknowledged"  # the broker has it
    UNHEARD = "unheard"  # the broker has it, and says that nobody listens on its topic
    REFUSED = "refused"  # the broker does not pass it on
    NOT_SAID = "not_said"  # there was no connection: nothing has left this machine
    UNSURE = "unsure"  # it was on its way when the connection or the time ended


class Word(NamedTuple):
    """What became of a message, and how its broker names that: "Not authorized", "" where there is nothing to say."""

    said: Said
    reason: str = ""


class OncePublisher(MqttPublisher):
    """QoS 1, never retained, one message at a time per caller; every connection begins with an empty queue."""

    def __init__(self, url: str, client_id: str, *, keepalive_seconds: int = 30) -> None:
        self._protocol = MQTTProtocolVersion.MQTTv5
        super().__init__(url, client_id, None, keepalive_seconds=keepalive_seconds)
        self._name = client_id
        self._answers: dict[int, ReasonCode] = {}
        """What the broker said to messages that are being waited for, by packet id; anew for each connection."""
        self._welcome: ReasonCode | None = None
        """Its answer to the connection that there is, or was last; None: it has given none."""

    @property
    def is_connected(self) -> bool:
        return self._connected.is_set()

    @property
    def expires(self) -> bool:
        """Whether the broker forgets what it could not deliver in time."""
        return self._protocol is MQTTProtocolVersion.MQTTv5

    def say(self, topic: str, payload: bytes, *, timeout_seconds: float, expires_seconds: float) -> Word:
        """Publish and wait for the broker's acknowledgement; no device is to hear it after `expires_seconds`."""
        # Of this connection: brokers may hang up on whom they refuse, and the next one begins with none.
        client, answers = self._client, self._answers
        if not self._connected.is_set():
            return Word(Said.NOT_SAID)
        until = _expiry(expires_seconds) if self.expires else None
        sent = client.publish(topic, payload, qos=1, retain=False, properties=until)
        if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return Word(Said.NOT_SAID)  # the line is down, though nobody has noticed yet; this client never reconnects
        deadline = time.monotonic() + timeout_seconds
        while not sent.is_published():
            if client is not self._client and not sent.is_published():
                return Word(Said.UNSURE)
            if time.monotonic() > deadline:
                self._hang_up()
                return Word(Said.UNSURE)
            sent.wait_for_publish(_LOOK_SECONDS)
        return _word(answers.pop(sent.mid, None))

    def _run(self) -> None:
        while not self._stopping.is_set():
            reached, self._welcome = False, None
            try:
                self._client.connect(self.address.host, self.address.port, keepalive=self._keepalive)
                reached = True
                self._pump()
            except OSError as error:
                self.last_error = str(error)
            self._connected.clear()
            self._protocol = self._next_protocol() if reached else MQTTProtocolVersion.MQTTv5
            self._answers = {}
            self._client = self._new_client(self._name, None)
            self._failures += 1
            self._stopping.wait(self._pause())

    def _next_protocol(self) -> MQTTProtocolVersion:
        """MQTT 5 again, unless the broker does not know it: it says so, or closes the line without a word."""
        may_be_old = self._welcome is None or self._welcome == _UNKNOWN_PROTOCOL
        return MQTTProtocolVersion.MQTTv311 if self.expires and may_be_old else MQTTProtocolVersion.MQTTv5

    def _on_connect(self, _client: object, _data: object, _flags: object, reason: ReasonCode, _p: object) -> None:
        self._welcome = reason
        super()._on_connect(_client, _data, _flags, reason, _p)

    def _on_publish(self, _client: object, _data: object, mid: int, reason: object, _p: object) -> None:
        super()._on_publish(_client, _data, mid, reason, _p)
        if isinstance(reason, ReasonCode):
            self._answers[mid] = reason

    def _hang_up(self) -> None:
        """What was not acknowledged must not go out when the line clears."""
        self._connected.clear()
        line = self._client.socket()
        if isinstance(line, socket.socket):
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # gone already


def _word(answer: ReasonCode | None) -> Word:
    if answer is None:
        return Word(Said.ACKNOWLEDGED)
    if answer.is_failure:
        return Word(Said.REFUSED, str(answer))
    if answer.value == _NO_MATCHING_SUBSCRIBERS:
        return Word(Said.UNHEARD, str(answer))
    return Word(Said.ACKNOWLEDGED)


def _expiry(seconds: float) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = max(1, int(seconds))
    return properties
