"""Many bindings on one topic, told apart by one byte: a table says which of them may take a payload at all.

Their conditions are still asked; the table only spares asking those that cannot hold.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from device_profiles.schema import When

_FURTHEST: Final = 64
"""Bytes into a payload that are considered."""
_FEWEST: Final = 2
"""Bindings for which a table is worth its while."""
_ALL: Final = frozenset(range(256))
_HEX: Final = "0123456789abcdef"


class ByteTable(NamedTuple):
    """Positions in a list of bindings, by the value of the byte at `offset`."""

    offset: int
    by_byte: tuple[tuple[int, ...], ...]
    shorter: tuple[int, ...]
    """Those that may take a payload that ends before that byte."""


def byte_table(bindings: Sequence[tuple[When, ...]]) -> ByteTable | None:
    """The byte that tells bindings with these alternatives apart best; None where no byte does, or they are few."""
    if len(bindings) < _FEWEST:
        return None
    best, least = None, (len(bindings), 0)
    for offset in sorted({place for whens in bindings for when in whens for place in _places(when)}):
        table = _table_at(bindings, offset)
        counts = [len(positions) for positions in (*table.by_byte, table.shorter)]
        if (cost := (max(counts), sum(counts))) < least:
            best, least = table, cost
    return best


def _table_at(bindings: Sequence[tuple[When, ...]], offset: int) -> ByteTable:
    values = [
        _ALL if not whens else frozenset().union(*(_values_at(when, offset) for when in whens)) for whens in bindings
    ]
    return ByteTable(
        offset,
        tuple(tuple(i for i, possible in enumerate(values) if byte in possible) for byte in range(256)),
        tuple(i for i, whens in enumerate(bindings) if not whens or any(_may_end_at(when, offset) for when in whens)),
    )


def _places(when: When) -> Iterator[int]:
    """The offsets of which the condition says anything."""
    for part in (when, *when.all_of, *when.any_of):
        if part is not when:
            yield from _places(part)
            continue
        digits = (part.prefix or "").replace(" ", "")[: 2 * _FURTHEST]
        yield from (i // 2 for i, digit in enumerate(digits) if digit != "?")
        yield from range(min(len((part.text or "").encode()), _FURTHEST))
        if part.at is not None and 0 <= part.at < _FURTHEST:
            yield part.at


def _values_at(when: When, offset: int) -> frozenset[int]:
    """What the byte may be where the condition holds and the payload reaches so far."""
    values = _ALL
    for part in (when, *when.all_of):
        if part is not when:
            values &= _values_at(part, offset)
            continue
        if part.prefix is not None:
            values &= _matching(part.prefix.replace(" ", "").lower()[2 * offset : 2 * offset + 2])
        if part.at == offset and part.byte is not None:
            values &= {part.byte}
        if part.text is not None:
            values &= frozenset(part.text.encode()[offset : offset + 1])
        if part.length is not None and part.length <= offset:
            values = frozenset()
    if when.any_of:
        values &= frozenset().union(*(_values_at(part, offset) for part in when.any_of))
    return values


@functools.cache
def _matching(digits: str) -> frozenset[int]:
    high, low = (*digits, "?", "?")[:2]
    return frozenset(byte for byte in range(256) if high in ("?", _HEX[byte >> 4]) and low in ("?", _HEX[byte & 15]))


def _may_end_at(when: When, offset: int) -> bool:
    """Whether the condition may hold for a payload of at most `offset` bytes."""
    least = max(
        len((when.prefix or "").replace(" ", "")) + 1 >> 1,
        len((when.text or "").encode()),
        when.length or 0,
        when.min_length or 0,
        when.at + 1 if when.at is not None and when.at >= 0 else 0,
    )
    if when.any_of and not any(_may_end_at(part, offset) for part in when.any_of):
        return False
    return least <= offset and all(_may_end_at(part, offset) for part in when.all_of)
