"""Messages that could not be decoded: kept whole, listed with their reason, replayed when the profile is mended.

It comes back as history: stored in its order, and paging nobody. What its device has said since stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection

from gateway.decode import DecodeError, Decoder
from gateway.decode.memory import PastMemory
from gateway.journal import Journal, NewEntry, QuarantineEntry, Refusal
from gateway.reading import Millis, Reading

__all__ = ["QuarantineEntry", "Replay", "replay"]

CHUNK = 500
"""Messages decoded and committed at once: some 20 ms, in which nothing else is taken in."""


class Replay:
    """Decodes set-aside messages again, oldest first. What decodes leaves the quarantine in the commit that journals
    it; what does not stays, with its new reason.

    `step` runs on the thread that writes the journal; between two steps that thread takes in what is live. `ids` None
    means all.
    """

    def __init__(self, journal: Journal, ids: Collection[int] | None) -> None:
        self.taken = 0
        """Messages decoded by now, and on their way as history."""
        self.refused = 0
        """Messages that still cannot be decoded."""
        self._journal = journal
        self._wanted = None if ids is None else frozenset(ids)
        self._reader = journal.reader()
        self._after = 0
        # Stamps go forward; with those of today an old message without a time of its own would count as measured now.
        self._stamps: dict[str, Millis] = {}
        self._past: PastMemory | None = None

    def close(self) -> None:
        self._reader.close()

    def step(self, decoder: Decoder) -> bool:
        """One chunk; False when nothing is left. Raises JournalUnwritable, and then nothing of the chunk is taken."""
        page = self._reader.quarantine_after(self._after, CHUNK)
        if not page:
            return False
        self._after = page[-1].id
        try:
            self._take([entry for entry in page if self._wanted is None or entry.id in self._wanted], decoder)
        finally:
            decoder.memory.rollback()  # what was committed stays
        return True

    def _take(self, page: list[QuarantineEntry], decoder: Decoder) -> None:
        released: list[int] = []
        entries: list[NewEntry] = []
        refused: list[Refusal] = []
        if self._past is None:
            self._past = PastMemory(decoder.memory)
        for entry in page:
            try:
                readings = self._decode(entry, decoder, self._past)
            except DecodeError as error:
                refused.append(Refusal(entry.id, error.code, str(error)))
                continue
            released.append(entry.id)
            if readings:
                entries.append(NewEntry(entry.received_at, 0, readings))
        self._past.hand_on()
        changes = decoder.memory.changes()
        self._journal.release(released, entries, still_refused=refused, memory=changes)
        decoder.memory.commit()
        self.taken += len(released)
        self.refused += len(refused)

    def _decode(self, entry: QuarantineEntry, decoder: Decoder, past: PastMemory) -> list[Reading]:
        today, decoder.stamps = decoder.stamps, self._stamps
        try:
            return decoder.decode_as_history(entry.topic, entry.payload, entry.received_at, entry.retained, past)
        finally:
            decoder.stamps = today


def replay(journal: Journal, decoder: Decoder, ids: Collection[int] | None) -> tuple[int, int]:
    """All of it in one go: (taken in, still refused)."""
    run = Replay(journal, ids)
    try:
        while run.step(decoder):
            pass
    finally:
        run.close()
    return run.taken, run.refused
