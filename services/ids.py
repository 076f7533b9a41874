"""Ids that sort by time, so that a list can be paged by id, and what one transaction writes keeps its order."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from threading import Lock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no letter looks like a digit
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_RANDOM_BITS = 80
_TIME_SIGNS = 10
_MOMENTS_KEPT = 100
_IDS = re.compile(rf"[{_ALPHABET}]{{26}}")
_TO_PYTHON = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
"""The digits that `int` knows."""


class IdSource:
    """26 characters each: 48 bits of milliseconds, then 80 bits that begin at random and count on within one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: dict[int, int] = {}
        """Millisecond -> its newest number: transactions of several threads take turns, each with its own time."""

    def next(self, now: datetime) -> str:
        at = int(now.timestamp() * 1000)
        with self._lock:
            last = self._last.pop(at, None)
            if last is None:
                number = (at << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS - 1)
            else:
                number = last + 1 + secrets.randbits(32)  # later in the same millisecond, still not guessable
            self._last[at] = number
            if len(self._last) > _MOMENTS_KEPT:
                del self._last[next(iter(self._last))]  # what was not asked for the longest
        return _text(number)


def lowest_id(at: datetime) -> str:
    """No id made at that time or later is below it."""
    return _text(int(at.timestamp() * 1000) << _RANDOM_BITS)


def _text(number: int) -> str:
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])


_ids = IdSource()


def new_id(now: datetime) -> str:
    """The next id of this process."""
    return _ids.next(now)


def time_of(id: str) -> datetime | None:
    """When an id was made, to the millisecond; None for one that was not made here."""
    if not _IDS.fullmatch(id):
        return None
    return datetime.fromtimestamp(int(id[:_TIME_SIGNS].translate(_TO_PYTHON), 32) / 1000, UTC)
