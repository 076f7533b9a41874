"""What decoding must remember from message to message: counters, Sparkplug aliases, lasting events, Modbus polls.

Explicit, so that decoding stays pure otherwise, and so that it survives a restart: the journal stores what a batch
changed in the same commit as the batch. A batch that is not committed is rolled back here too, because the broker will
deliver it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Key = tuple[str, ...]
"""Kind first, then what it is about: ("counter", device, child, metric), ("alias", node)."""

MOST_ENTRIES = 200_000
_ABSENT: Any = object()


class Memory:
    """Small JSON-like values by key. One decoder's thread owns it.

    A value that was handed in must not be changed afterwards: put a new one. Entries beyond `MOST_ENTRIES` push out
    the ones that were changed longest ago.
    """

    def __init__(self, entries: Iterable[tuple[Key, Any]] = ()) -> None:
        self._entries: dict[Key, Any] = dict(entries)
        self._before: dict[Key, Any] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key, default: Any = None) -> Any:
        return self._entries.get(key, default)

    def put(self, key: Key, value: Any) -> None:
        entries = self._entries
        before = entries.pop(key, _ABSENT)  # changed last stands last
        if key not in self._before:
            self._before[key] = before
        if before is _ABSENT and len(entries) >= MOST_ENTRIES:
            oldest = next(iter(entries))
            self._before.setdefault(oldest, entries[oldest])
            del entries[oldest]
        entries[key] = value

    def drop(self, key: Key) -> None:
        if key in self._entries:
            self._before.setdefault(key, self._entries.pop(key))

    def of_kind(self, kind: str) -> list[tuple[Key, Any]]:
        """All entries of one kind; for the start and for ticks, not for every message."""
        return [(key, value) for key, value in self._entries.items() if key[0] == kind]

    def changes(self) -> dict[Key, Any]:
        """What has changed since the last commit; None for what is gone. To be stored with the batch."""
        return {key: self._entries.get(key) for key in self._before}

    def commit(self) -> None:
        self._before.clear()

    def rollback(self) -> None:
        """As it was at the last commit."""
        for key, before in self._before.items():
            if before is _ABSENT:
                self._entries.pop(key, None)
            else:
                self._entries[key] = before
        self._before.clear()
