"""Messages that could not be decoded: kept whole, listed with their reason, replayed when the profile is mended."""

from __future__ import annotations

import msgspec

from gateway.decode import DecodeError, Decoder
from gateway.journal import Journal, NewEntry, QuarantineEntry
from gateway.reading import Quality, Reading

__all__ = ["QuarantineEntry", "replay"]


def replay(journal: Journal, decoder: Decoder, ids: list[int] | None) -> tuple[int, int]:
    """Decode set-aside messages again, oldest first, as history: (taken in, still refused).

    Runs on the thread that writes the journal. What decodes leaves the quarantine in the commit that journals it.
    """
    wanted = None if ids is None else set(ids)
    taken = refused = after = 0
    reader = journal.reader()
    # Stamps go forward; with those of today an old message without a time of its own would count as measured now.
    stamps, decoder.stamps = decoder.stamps, {}
    try:
        while page := reader.quarantine_after(after):
            after = page[-1].id
            released, entries = [], []
            for entry in page:
                if wanted is not None and entry.id not in wanted:
                    continue
                try:
                    readings = decoder.decode(entry.topic, entry.payload, entry.received_at, entry.retained)
                except DecodeError:
                    refused += 1
                    continue
                released.append(entry.id)
                if readings:
                    entries.append(NewEntry(entry.received_at, 0, [_as_history(r) for r in readings]))
            journal.release(released, entries)
            taken += len(released)
    finally:
        decoder.stamps = stamps
        reader.close()
    return taken, refused


def _as_history(reading: Reading) -> Reading:
    return msgspec.structs.replace(reading, quality=Quality.HISTORIC)
