"""What is handed over, cut where the gateway had not listened: a batch tells of one stretch of time only. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

from gateway.journal import Entry, Stretch
from gateway.journal.listening import stretch_at, stretch_behind
from gateway.reading import Listening, Millis, Reading

_seq_of = attrgetter("seq")


class Part(NamedTuple):
    """Entries of one stretch."""

    first_seq: int
    last_seq: int
    entries: Sequence[Entry]
    stretch: Stretch | None
    """None where it is not known."""
    is_over: bool
    """The next one begins right behind."""

    @property
    def readings(self) -> list[Reading]:
        return [reading for entry in self.entries for reading in entry.readings]

    @property
    def listening(self) -> Listening | None:
        return None if self.stretch is None else Listening(self.stretch.begins, self.stretch.after)

    def progress(self, known: Millis | None) -> Millis | None:
        """How far the gateway has seen time pass; None where the part does not say. `known`: how far it had when the
        journal was read, where this part is the last of all that waited; time has been seen no further than what is
        handed over otherwise."""
        times = [self._arrived(), known]
        if self.stretch is not None:
            times += [self.stretch.begins, self.stretch.until if self.is_over else None]
        return max((at for at in times if at is not None), default=None)

    def _arrived(self) -> Millis | None:
        return next((one.readings[-1].received_at for one in reversed(self.entries) if one.readings), None)


def parts_of(entries: Sequence[Entry], stretches: Sequence[Stretch], cursor: int) -> list[Part]:
    """At least one; without entries it says where the gateway is, whose last entry handed over is `cursor`."""
    if not entries:
        return [_part((), cursor, cursor, stretches)]
    first, last = entries[0].seq, entries[-1].seq
    begins = {bisect_left(entries, one.seq, key=_seq_of) for one in stretches if first < one.seq <= last}
    cuts = [entries[start:end] for start, end in pairwise(sorted({0, *begins, len(entries)}))]
    found = [_part(cut, cut[0].seq, cut[-1].seq, stretches) for cut in cuts]
    stretch = found[0].stretch
    if stretch is not None and stretch.seq < first and first > cursor + 1:
        # Some of this stretch were given up: for all that services get, nothing was heard until the first of these.
        found[0] = found[0]._replace(stretch=None)
    return found


def _part(entries: Sequence[Entry], first: int, last: int, stretches: Sequence[Stretch]) -> Part:
    behind = stretch_behind(stretches, last)
    return Part(first, last, entries, stretch_at(stretches, first), behind is not None and behind.seq == last + 1)
