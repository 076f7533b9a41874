"""The commands that are under way, as intake holds them in memory: a copy of what is committed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from gateway.reading import Value
from services.commands.evidence import Evidence, Watched
from services.commands.lifecycle import Life, Terms


@dataclass
class Live:
    """One command under way."""

    id: str
    site: str
    device: str
    child: str
    profile: str
    command: str
    params: dict[str, Value]
    gateway: str | None
    nonce: int
    asked_at: datetime
    terms: Terms
    life: Life
    watched: Watched | None
    by: str | None = None
    """Who asked for it; None: a rule."""
    evidence: Evidence = field(default_factory=Evidence)


@dataclass
class Outstanding:
    by_id: dict[str, Live] = field(default_factory=dict)
    """In the order in which they were asked for."""
    by_device: dict[str, dict[str, Live]] = field(default_factory=dict)
    last_nonce: dict[str, int] = field(default_factory=dict)
    unmatched: int = 0
    """Answers that belong to no command of ours, since the state was read."""

    def add(self, live: Live) -> None:
        self.by_id[live.id] = live
        self.by_device.setdefault(live.device, {})[live.id] = live
        self.last_nonce[live.device] = live.nonce

    def remove(self, live: Live) -> None:
        self.by_id.pop(live.id, None)
        mine = self.by_device.get(live.device, {})
        mine.pop(live.id, None)
        if not mine:
            self.by_device.pop(live.device, None)

    def of(self, device: str) -> list[Live]:
        """Oldest first."""
        return list(self.by_device.get(device, {}).values())

    def same(self, device: str, child: str, command: str) -> Live | None:
        """One of the same kind for the same part."""
        return next((one for one in self.of(device) if (one.child, one.command) == (child, command)), None)

    def in_the_way(self, device: str, child: str, command: str) -> Live | None:
        """What a critical alarm has ordered for this part, or for all of the device, if it is something else."""
        ordered = (one for one in self.of(device) if one.terms.last_word and one.command != command)
        return next((one for one in ordered if meet(one.child, child)), None)

    def next_nonce(self, device: str) -> int:
        """From 1 to 65535, round and round, so that a late answer meets no newer command."""
        taken = {live.nonce for live in self.of(device)}
        nonce = self.last_nonce.get(device, 0) % 65535 + 1
        while nonce in taken:
            nonce = nonce % 65535 + 1
        return nonce

    def __iter__(self) -> Iterator[Live]:
        return iter(list(self.by_id.values()))


def meet(child: str, other: str) -> bool:
    """Whether two commands are about one part: the whole device has every part."""
    return child == other or not child or not other
