"""Publishing what must be said now or not at all: commands. A publisher that never says anything later.

The ordinary publisher keeps QoS 1 messages and sends them after a reconnect. A command that opens a gate must not do
that: when it is not acknowledged in time, this one drops the connection and whatever its client still held.
"""

from __future__ import annotations

import socket
import time
from enum import Enum

from paho.mqtt.enums import MQTTErrorCode

from gateway.mqtt_client import MqttPublisher

_LOOK_SECONDS = 0.05


class Said(Enum):
    """What became of a message."""

    ACKNOWLEDGED = "acknowledged"  # the broker has it
    NOT_SAID = "not_said"  # there was no connection: nothing has left this machine
    UNSURE = "unsure"  # it was on its way when the connection or the time ended


class OncePublisher(MqttPublisher):
    """QoS 1, never retained, one message at a time per caller; every connection begins with an empty queue."""

    def __init__(self, url: str, client_id: str, *, keepalive_seconds: int = 30) -> None:
        super().__init__(url, client_id, None, keepalive_seconds=keepalive_seconds)
        self._name = client_id

    @property
    def is_connected(self) -> bool:
        return self._connected.is_set()

    def say(self, topic: str, payload: bytes, *, timeout_seconds: float) -> Said:
        """Publish and wait for the broker's acknowledgement."""
        client = self._client
        if not self._connected.is_set():
            return Said.NOT_SAID
        sent = client.publish(topic, payload, qos=1, retain=False)
        if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return Said.NOT_SAID  # the line is down, though nobody has noticed yet; this client never reconnects
        deadline = time.monotonic() + timeout_seconds
        while not sent.is_published():
            if client is not self._client:
                return Said.UNSURE
            if time.monotonic() > deadline:
                self._hang_up()
                return Said.UNSURE
            sent.wait_for_publish(_LOOK_SECONDS)
        return Said.ACKNOWLEDGED

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._client.connect(self.address.host, self.address.port, keepalive=self._keepalive)
                self._pump()
            except OSError as error:
                self.last_error = str(error)
            self._connected.clear()
            self._client = self._new_client(self._name, None)
            self._failures += 1
            self._stopping.wait(self._pause())

    def _hang_up(self) -> None:
        """What was not acknowledged must not go out when the line clears."""
        self._connected.clear()
        line = self._client.socket()
        if isinstance(line, socket.socket):
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # gone already
