"""Tells open pages what has just been committed. Losing a change costs a page its freshness, never data."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Literal, NamedTuple

_MAX_WAITING = 1000
_KEPT = 1000
"""Batches that a subscriber can still be told of: between reading a page and hearing of changes, some pass."""


class Change(NamedTuple):
    kind: Literal["device", "alarm", "ticket", "outage", "notice", "gateway", "site", "command"]
    id: str
    site: str


class Changes:
    """Publish from any thread; subscribe in an event loop. A subscriber that falls far behind is told to reload."""

    def __init__(self) -> None:
        self._subscribers: set[_Subscriber] = set()
        self._lock = threading.Lock()
        self._number = time.time_ns() // 1_000_000  # a number of an earlier run says nothing of this one
        self._kept: deque[tuple[int, list[Change]]] = deque(maxlen=_KEPT)
        self._listeners: list[Callable[[list[Change]], None]] = []

    def publish(self, changes: Iterable[Change]) -> None:
        """Called after the commit that made the changes."""
        batch = list(changes)
        if batch:
            with self._lock:
                self._number += 1
                self._kept.append((self._number, batch))
                for subscriber in tuple(self._subscribers):
                    subscriber.offer(batch)
            for listener in tuple(self._listeners):
                listener(batch)

    def listen(self, listener: Callable[[list[Change]], None]) -> Callable[[], None]:
        """Call `listener` with each batch, on the thread that published it: it must be quick. Returns how to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @property
    def number(self) -> int:
        """Of the newest batch: what is read after asking for it holds at least that much."""
        return self._number

    async def subscribe(self, since: int | None = None) -> AsyncGenerator[list[Change] | None, None]:
        """Batches of changes as they come, from the one after `since`; None means "you missed some, reload"."""
        subscriber = _Subscriber(asyncio.get_running_loop())
        with self._lock:
            for batch in self._missed(since):
                subscriber.queue.put_nowait(batch)
            self._subscribers.add(subscriber)
        try:
            while True:
                yield await subscriber.queue.get()
        finally:
            self._subscribers.discard(subscriber)

    def _missed(self, since: int | None) -> list[list[Change] | None]:
        if since is None or since == self._number:
            return []
        missed = self._number - since
        if not 0 < missed <= len(self._kept):
            return [None]
        return [batch for number, batch in self._kept if number > since]


class _Subscriber:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.queue: asyncio.Queue[list[Change] | None] = asyncio.Queue()

    def offer(self, batch: list[Change]) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._put, batch)

    def _put(self, batch: list[Change]) -> None:
        if self.queue.qsize() >= _MAX_WAITING:
            while not self.queue.empty():
                self.queue.get_nowait()
            self.queue.put_nowait(None)
        self.queue.put_nowait(batch)
