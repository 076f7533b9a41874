"""Decode, journal, acknowledge: in that order, batch by batch, on one thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol
from zlib import crc32

from gateway.decode import LARGEST_PAYLOAD, DecodeError, Decoder
from gateway.journal import Journal, NewEntry, NewQuarantine
from gateway.measure import Timing
from gateway.mqtt import Message
from gateway.reading import Break, DeviceEntry, Millis, adopted_names, provisional_id

Place = tuple[str, str]
"""A device's profile and address."""
HEAD_OF_TOO_LARGE = 64 * 1024
"""Kept of a payload refused for its size: a few whole ones would push all else out of the quarantine."""


def changed_names(before: Mapping[Place, str], devices: Sequence[DeviceEntry]) -> dict[str, str]:
    """What devices were called -> what they are called from now on: those that have got their place, those that have
    lost it, and those that stand there under another id. `before`: ids by profile and address.

    An id that is still there keeps what is remembered under it: another module stands in for the one it had.
    """
    now = {(one.profile, one.address): one.id for one in devices}
    names = adopted_names(devices)
    kept = set(now.values())
    names |= {id: now.get(place) or provisional_id(*place) for place, id in before.items() if id not in kept}
    return names


class Acknowledges(Protocol):
    def acknowledge(self, messages: Sequence[Message]) -> None: ...


@dataclass
class IngestCounters:
    received: int = 0
    readings: int = 0
    ignored: int = 0
    quarantined: int = 0
    redelivered: int = 0
    """Messages the broker sent again although they were journaled: acknowledged, not stored twice."""
    by_code: dict[str, int] = field(default_factory=dict)
    """Quarantined messages by the DecodeError's code."""


class Ingest:
    """Takes batches of messages. Nothing is acknowledged before the journal has committed it."""

    def __init__(
        self, *, decoder: Decoder, journal: Journal, now_millis: Callable[[], Millis], on_commit: Callable[[], None]
    ) -> None:
        self.decoder = decoder
        self.counters = IngestCounters()
        self.decode_seconds = Timing()
        self.commit_seconds = Timing()
        """Both per batch of messages."""
        self._journal = journal
        self._now = now_millis
        self._on_commit = on_commit
        self._tail: deque[int] = deque(maxlen=2000)
        self._suspects: set[int] = set()
        self.after: Break | None = None
        """Why nothing was heard before what comes now, should that end a break; None: nobody keeps record of it."""

    def connection_opened(self) -> None:
        """Messages of the connection before may come again: remember which of them are already journaled."""
        # The tail stays: what an earlier connection delivered may come again on a later one, if no acknowledgement of
        # those in between arrived.
        self._suspects = set(self._tail) or set(self._journal.newest_tokens())

    def take(self, messages: Sequence[Message], source: Acknowledges) -> None:
        """Raises JournalFull or JournalUnwritable; then nothing of the batch is stored, remembered or acknowledged."""
        try:
            self._take(messages, source)
        finally:
            self.decoder.memory.rollback()  # what was committed stays

    def tick(self, now: Millis) -> None:
        """Journal what follows from nothing having been said until `now`. Raises like `take`."""
        try:
            readings = self.decoder.tick(now)
            self._store([NewEntry(now, 0, [reading]) for reading in readings], ())
        finally:
            self.decoder.memory.rollback()
        if readings:
            self.counters.readings += len(readings)
            self._on_commit()

    def adopt(self, decoder: Decoder, devices: Iterable[DeviceEntry]) -> None:
        """Decode with another decoder from now on. Raises like `take`, and then nothing has changed.

        Who has got its place (`devices` are those that have one) or lost it was called otherwise until now: its
        counters go on, and what lasts there can end.
        """
        memory, names = decoder.memory, changed_names(self.decoder.registered(), tuple(devices))
        try:
            memory.rename(names)
            self._store((), ())
        finally:
            memory.rollback()
        decoder.hand_on(names)
        self.decoder = decoder

    def _store(
        self, entries: Sequence[NewEntry], poison: Sequence[NewQuarantine], *, after: Break | None = None
    ) -> None:
        """In one commit: the readings, what could not be decoded, and what decoding learnt on the way."""
        memory = self.decoder.memory
        changes = memory.changes()
        if entries or poison or changes:
            self._journal.append(entries, poison, changes, after=after)
            memory.commit()

    def _take(self, messages: Sequence[Message], source: Acknowledges) -> None:
        entries: list[NewEntry] = []
        poison: list[NewQuarantine] = []
        tokens: list[int] = []
        now = self._now()
        decode = self.decoder.decode
        suspects = self._suspects
        again: list[int] = []
        ignored = readings_count = 0
        began = perf_counter()
        for message in messages:
            topic, payload, mid, _, dup, retained = message
            # Packet id and digest: a redelivery carries the same. Spelt out here, because this runs per message.
            token = mid << 32 | crc32(payload, crc32(topic.encode("utf-8", "surrogatepass")))
            if dup and token in suspects:
                again.append(token)
                continue
            try:
                readings = decode(topic, payload, now, retained)
            except DecodeError as error:
                kept = payload if len(payload) <= LARGEST_PAYLOAD else payload[:HEAD_OF_TOO_LARGE]
                poison.append(NewQuarantine(now, token, topic, kept, retained, error.code, str(error)))
                continue
            tokens.append(token)
            if readings:
                entries.append(NewEntry(now, token, readings))
                readings_count += len(readings)
            else:
                ignored += 1
        decoded = perf_counter()
        self._store(entries, poison, after=self.after)
        self.decode_seconds.note(decoded - began)
        self.commit_seconds.note(perf_counter() - decoded)
        source.acknowledge(messages)
        suspects.difference_update(again)
        self._tail.extend(tokens)
        self._tail.extend(item.token for item in poison)
        self._count(len(messages), readings_count, ignored, len(again), poison)
        if entries:
            self._on_commit()

    def _count(
        self, received: int, readings: int, ignored: int, redelivered: int, poison: Sequence[NewQuarantine]
    ) -> None:
        counters = self.counters
        counters.received += received
        counters.readings += readings
        counters.ignored += ignored
        counters.redelivered += redelivered
        counters.quarantined += len(poison)
        for item in poison:
            counters.by_code[item.code] = counters.by_code.get(item.code, 0) + 1
