"""Which topic filters the broker holds for the gateway's session.

A broker keeps them over restarts of the gateway: what is not wanted any more must be taken back, even where the gateway
that asked for it has ended since. Hence the file.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec


class Change(NamedTuple):
    """What to tell the broker."""

    new: tuple[str, ...]
    gone: tuple[str, ...]


def change(held: Collection[str], wanted: Sequence[str]) -> Change:
    """From the filters held to those wanted."""
    kept, asked = frozenset(held), frozenset(wanted)
    new = tuple(one for one in wanted if one not in kept)
    return Change(new, tuple(sorted(one for one in kept if one not in asked)))


class Subscriptions:
    """The filters last asked for, kept in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.held: tuple[str, ...] = self._read()

    def keep(self, filters: Sequence[str]) -> None:
        """Remember; a disk that refuses costs no more than a filter that is held too long."""
        if tuple(filters) == self.held:
            return
        self.held = tuple(filters)
        temporary = self._file.with_suffix(".tmp")
        try:
            temporary.write_bytes(msgspec.json.encode(self.held))
            temporary.replace(self._file)
        except OSError:
            pass

    def _read(self) -> tuple[str, ...]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=tuple[str, ...])
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return ()
