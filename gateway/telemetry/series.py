"""How many series messages may name: each is an entry in the database's index, which keeps it as long as its points.

Who may publish may call itself and its children what it likes. So names are counted as long as the process lives,
whatever the list of devices says meanwhile; what goes beyond is refused, and counted there.
"""

from __future__ import annotations

from collections.abc import Collection

MOST_CHILDREN_PER_DEVICE = 1024
"""Twice what a profile may count, and what services take of one device."""
MOST_UNCLAIMED = 5000
"""Devices that stand in no site."""
MOST_UNCLAIMED_SERIES = 50_000
"""Of these together; else each could name as many children as one that somebody has put in its place."""
_Child = tuple[str, str]
"""Its name and the profile that says it."""


class NamedSeries:
    """Not for several threads at once."""

    def __init__(self) -> None:
        self._of: dict[str, set[_Child]] = {}
        self._unclaimed: set[str] = set()
        self._unclaimed_series = 0

    def claimed(self, devices: Collection[str]) -> None:
        """These stand in a site now; those that no longer do are counted as such when they are heard."""
        placed = [device for device in self._unclaimed if device in devices]
        self._unclaimed_series -= sum(len(self._of[device]) for device in placed)
        self._unclaimed.difference_update(placed)

    def refusal(self, device: str, child: _Child, *, claimed: bool) -> str:
        """Why this one is too many; "" where it is not, and then it counts."""
        known = self._of.get(device, set())
        if claimed:
            if child not in known and len(known) >= MOST_CHILDREN_PER_DEVICE:
                return f"the device has more than {MOST_CHILDREN_PER_DEVICE} children"
        elif device not in self._unclaimed or child not in known:
            return self._stranger(device, child, known)
        self._of.setdefault(device, known).add(child)
        return ""

    def _stranger(self, device: str, child: _Child, known: set[_Child]) -> str:
        if device not in self._unclaimed and len(self._unclaimed) >= MOST_UNCLAIMED:
            return f"more than {MOST_UNCLAIMED} devices stand in no site"
        would_have = len(known) + (child not in known)
        more = would_have - (len(known) if device in self._unclaimed else 0)
        if self._unclaimed_series + more > MOST_UNCLAIMED_SERIES:
            return f"devices that stand in no site have more than {MOST_UNCLAIMED_SERIES} series"
        if would_have > MOST_CHILDREN_PER_DEVICE:
            return f"the device has more than {MOST_CHILDREN_PER_DEVICE} children"
        self._unclaimed.add(device)
        self._unclaimed_series += more
        self._of.setdefault(device, known).add(child)
        return ""
