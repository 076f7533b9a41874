"""How simulated devices hear: a listener on a thread of its own, which comes back by itself."""

from __future__ import annotations

from collections.abc import Sequence
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import NamedTuple

from gateway.mqtt import MqttUnavailable
from gateway.mqtt_client import MqttListener

_AGAIN_SECONDS = 1.0
_MOST_FILTERS = 5_000


class Incoming(NamedTuple):
    topic: str
    payload: bytes


class Ears:
    """Use as a context manager; `take` gives what was heard since."""

    def __init__(self, url: str, client_id: str, filters: Sequence[str]) -> None:
        self._listener = MqttListener(url, client_id, sorted(set(filters))[:_MOST_FILTERS])
        self._heard: SimpleQueue[Incoming] = SimpleQueue()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name=client_id, daemon=True)

    def __enter__(self) -> Ears:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(2)

    def take(self) -> list[Incoming]:
        """Oldest first. Retained messages are of the past, and no command is ever retained."""
        found = []
        while True:
            try:
                found.append(self._heard.get_nowait())
            except Empty:
                return found

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listener.connect()
                while not self._stopping.is_set():
                    for message in self._listener.read(0.2):
                        if not message.retained:
                            self._heard.put(Incoming(message.topic, message.payload))
            except MqttUnavailable:
                self._stopping.wait(_AGAIN_SECONDS)
        self._listener.close()
