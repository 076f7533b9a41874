"""A load generator: QoS 1 over a raw socket, so that it costs the machine little beside what it measures.

It keeps a ledger: a message counts as sent once the broker has acknowledged it.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator

_CONNACK = b"\x20\x02\x00\x00"


def connect(port: int, client_id: str) -> socket.socket:
    """An MQTT 3.1.1 session on loopback."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    name = client_id.encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + struct.pack("!H", len(name)) + name
    sock.sendall(b"\x10" + _length(len(body)) + body)
    answer = sock.recv(4, socket.MSG_WAITALL)
    if answer != _CONNACK:
        raise ConnectionError(f"the broker refused the load generator: {answer.hex()}")
    return sock


def _length(size: int) -> bytes:
    out = bytearray()
    while True:
        size, digit = divmod(size, 128)
        out.append(digit | (128 if size else 0))
        if not size:
            return bytes(out)


def packet(topic: bytes, payload: bytes, mid: int) -> bytes:
    """One QoS 1 PUBLISH."""
    body = struct.pack("!H", len(topic)) + topic + struct.pack("!H", mid) + payload
    return b"\x32" + _length(len(body)) + body


class Publisher:
    """Publishes with a window of unacknowledged messages. `acknowledged` is the ledger: numbers in sending order."""

    def __init__(self, port: int, client_id: str, *, window: int = 500) -> None:
        self._sock = connect(port, client_id)
        self._window = window
        self._waiting = b""
        self.sent = 0
        self.acknowledged = 0

    def publish(self, messages: Iterator[tuple[bytes, bytes]], *, per_second: float = 0) -> None:
        """Send all of them; `per_second` paces the stream (0: as fast as the broker acknowledges)."""
        started, first = time.monotonic(), self.sent
        chunk = bytearray()
        waiting = 0
        for topic, payload in messages:
            self.sent += 1
            chunk += packet(topic, payload, self.sent % 65535 + 1)
            waiting += 1
            if waiting >= (20 if per_second else 100):
                self._flush(chunk)
                waiting = 0
                if per_second:
                    self._pace(started + (self.sent - first) / per_second)
        self._flush(chunk)
        self._until(lambda: self.acknowledged >= self.sent)

    def _flush(self, chunk: bytearray) -> None:
        if chunk:
            self._sock.sendall(chunk)
            chunk.clear()
        self._until(lambda: self.sent - self.acknowledged <= self._window)

    def _pace(self, due: float) -> None:
        while (left := due - time.monotonic()) > 0:
            self._read(left)

    def _until(self, done: Callable[[], bool]) -> None:
        while not done():
            self._read(5.0)

    def _read(self, timeout_seconds: float) -> None:
        if not select.select([self._sock], [], [], timeout_seconds)[0]:
            return
        data = self._sock.recv(65536)
        if not data:
            raise ConnectionError("the broker closed the load generator's session")
        self._waiting += data
        whole = len(self._waiting) // 4  # only PUBACKs come here, four bytes each, in order
        self.acknowledged += whole
        self._waiting = self._waiting[whole * 4 :]

    def close(self) -> None:
        self._sock.sendall(b"\xe0\x00")
        self._sock.close()
