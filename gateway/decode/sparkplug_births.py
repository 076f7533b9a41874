"""How much of all births together is remembered: names come off the wire, and nodes may be made up.

A node whose birth was forgotten is asked for another one by whoever looks after it; until then its data is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.decode.memory import Key, Memory

KIND: Final = "sparkplug"
MOST_BYTES: Final = 1 << 26
"""Of all births together, about: a yard of 200 nodes with 500 metrics each takes half of it."""
_LEFT: Final = MOST_BYTES * 3 // 4
_PER_METRIC: Final = 256
_TALLY: Final[Key] = ("sparkplug_size",)
"""[bytes, births]: how much is remembered, as long as the number of births is this one."""


def size_of(born: Mapping[str, Any]) -> int:
    """About how many bytes a birth takes."""
    aliases, types = born["aliases"], born["types"]
    names = sum(len(name) for name, _ in aliases.values()) + sum(len(name) for name in types)
    return names + _PER_METRIC * (1 + len(aliases) + len(types))


def remember(memory: Memory, key: Key, born: dict[str, Any]) -> None:
    """Put a birth into the memory; the births that are longest ago make room for it."""
    before, births = memory.get(key), memory.count_of(KIND)
    tally = memory.get(_TALLY)
    known = tally is not None and tally[1] == births
    total = tally[0] if known else sum(_size(one) for _, one in memory.of_kind(KIND))
    total += size_of(born) - (0 if before is None else _size(before))
    memory.put(key, {**born, "size": size_of(born)})
    if total > MOST_BYTES:
        total = _forget(memory, key, total)
    memory.put(_TALLY, [total, memory.count_of(KIND)])


def _forget(memory: Memory, newest: Key, total: int) -> int:
    """Forget births, the longest ago first, and a good part at once: it takes a look at all of them."""
    for key, born in sorted(memory.of_kind(KIND), key=lambda entry: int(entry[1]["at"])):
        if total <= _LEFT:
            break
        if key != newest:
            memory.drop(key)
            total -= _size(born)
    return total


def _size(born: Mapping[str, Any]) -> int:
    size = born.get("size")
    return size if type(size) is int else size_of(born)
