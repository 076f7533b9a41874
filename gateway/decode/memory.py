"""What decoding must remember from message to message: counters, Sparkplug aliases, lasting events, Modbus polls.

Explicit, so that decoding stays pure otherwise, and so that it survives a restart: the journal stores what a batch
changed in the same commit as the batch. A batch that is not committed is rolled back here too, because the broker will
deliver it again; a message that cannot be decoded leaves nothing of what it changed (`mark` and `undo`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

Key = tuple[str, ...]
"""Kind first, then what it is about: ("counter", device, child, metric), ("alias", node)."""

MOST_ENTRIES = 200_000
OF_THE_WIRE = frozenset({"modbus", "sparkplug", "sparkplug_seq"})
"""Kinds that are about a line or a node; all others name the device behind their kind."""
_ABSENT: Any = object()


class Memory:
    """Small values by key: what msgpack holds, with lists rather than tuples (a tuple comes back as a list after a
    restart). One decoder's thread owns it.

    A value that was handed in must not be changed afterwards: put a new one. None means that there is nothing.
    Entries beyond `MOST_ENTRIES` push out the ones that were changed longest ago.
    """

    def __init__(self, entries: Iterable[tuple[Key, Any]] = ()) -> None:
        self._entries: OrderedDict[Key, Any] = OrderedDict(entries)
        self._kinds: dict[str, dict[Key, None]] = {}
        for key in self._entries:
            self._kinds.setdefault(key[0], {})[key] = None
        self._log: list[tuple[Key, Any]] = []
        """What stood there before each change since the last commit."""
        self._kept = 0
        """How many of these changes no rollback takes back."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key, default: Any = None) -> Any:
        return self._entries.get(key, default)

    def put(self, key: Key, value: Any) -> None:
        entries = self._entries
        before = entries.get(key, _ABSENT)
        self._log.append((key, before))
        if before is _ABSENT:
            if len(entries) >= MOST_ENTRIES:
                self.drop(next(iter(entries)))
            self._set(key, value)
        else:
            entries[key] = value
            entries.move_to_end(key)  # changed last stands last

    def drop(self, key: Key) -> None:
        if key in self._entries:
            self._log.append((key, self._entries[key]))
            self._remove(key)

    def count_of(self, kind: str) -> int:
        """How many entries of one kind there are."""
        return len(self._kinds.get(kind, ()))

    def of_kind(self, kind: str) -> list[tuple[Key, Any]]:
        """All entries of one kind; for the start and for ticks, not for every message."""
        return [(key, self._entries[key]) for key in self._kinds.get(kind, ())]

    def rename(self, names: Mapping[str, str]) -> None:
        """What is remembered of a device goes on under its new id; where that has been learnt anew already, the new
        stays. `names`: old id -> new id."""
        names = {old: new for old, new in names.items() if old != new}
        for key in [one for one in self._entries if len(one) > 1 and one[1] in names and one[0] not in OF_THE_WIRE]:
            renamed = (key[0], names[key[1]], *key[2:])
            value = self._entries[key]
            self.drop(key)
            if renamed not in self._entries:
                self.put(renamed, value)

    # --- one message ---------------------------------------------------------------------------------------------

    def mark(self) -> int:
        """Where the changes of a message begin."""
        return len(self._log)

    def undo(self, mark: int) -> None:
        """Take back what was changed since the mark."""
        log = self._log
        while len(log) > mark:
            key, before = log.pop()
            if before is _ABSENT:
                self._remove(key)
            else:
                self._set(key, before)

    # --- one batch -----------------------------------------------------------------------------------------------

    def changes(self) -> dict[Key, Any]:
        """What has changed since the last commit, the last change last; None for what is gone. To be stored with the
        batch."""
        keys = dict.fromkeys(key for key, _ in reversed(self._log))
        return {key: self._entries.get(key) for key in reversed(keys)}

    def commit(self) -> None:
        self._log.clear()
        self._kept = 0

    def keep(self) -> None:
        """What was changed until now belongs to no batch: it stays if one cannot be stored, and is stored with the next
        one that can."""
        self._kept = len(self._log)

    def rollback(self) -> None:
        """As it was at the last commit, or when it was kept."""
        self.undo(self._kept)

    def _set(self, key: Key, value: Any) -> None:
        if key not in self._entries:
            self._kinds.setdefault(key[0], {})[key] = None
        self._entries[key] = value

    def _remove(self, key: Key) -> None:
        if self._entries.pop(key, _ABSENT) is not _ABSENT:
            self._kinds[key[0]].pop(key, None)


class PastMemory(Memory):
    """What messages of the past may look at and change: they see what is remembered, and change only what nobody has
    learnt since. An old birth must not rename the metrics of today."""

    def __init__(self, present: Memory) -> None:
        super().__init__()
        self._present = present
        self._handed_on: dict[Key, Any] = {}

    def get(self, key: Key, default: Any = None) -> Any:
        if key in self._entries:
            found = self._entries[key]
            return default if found is None else found
        return self._present.get(key, default)

    def drop(self, key: Key) -> None:
        if self.get(key) is not None:
            self.put(key, None)

    def hand_on(self) -> None:
        """Put into the present what it does not know, or has from here."""
        present, handed_on = self._present, self._handed_on
        for key, value in self.changes().items():
            if present.get(key) is not handed_on.get(key):
                continue
            handed_on[key] = value
            if value is None:
                present.drop(key)
            else:
                present.put(key, value)
        self.commit()
