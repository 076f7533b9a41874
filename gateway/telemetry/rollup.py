"""Keeps the summed-up levels: what was measured in five minutes, and in an hour, as one line per series.

Where it stands is in the database, in each level: `cy_summed` says up to when readings are summed up, and is written
after them. A stretch that is done twice gives the same points, so this may be killed anywhere. Readings that come after
their stretch is done are announced by their writer (`cy_late`); their stretches are done again, from what was measured.

Sums are made here, from rows that the database gives series by series: InfluxDB opens a cursor for each series and each
function, and takes six times as long over 18,000 devices. What is left is nearly all the database's: a cursor for each
series and field, however few points they have, and taking the sums in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from itertools import groupby, islice
from typing import NamedTuple, cast

from device_profiles.schema import DeviceProfile
from device_profiles.telemetry import (
    FIVE_MINUTES,
    HOURLY,
    LATE,
    RAW,
    REDONE,
    SUMMED,
    TAGS,
    Level,
    counters,
)
from gateway.reading import Millis
from gateway.telemetry.influx_fields import read_fields
from gateway.telemetry.influx_range import width
from gateway.telemetry.influxql import InfluxQl, Series, between, name, source
from gateway.telemetry.lines import field_text, head_text
from gateway.telemetry.summing import Row, sums
from gateway.telemetry.verdict import Kind, Verdict

GRACE = timedelta(minutes=2)
"""A stretch is summed up so long after its end. Writers announce what they write more than half of it after the end, so
clocks may differ by the other half."""
STRETCHES_PER_RUN = 12
_LINES_PER_REQUEST = 5000
_FIVE_MINUTES: Millis = width(FIVE_MINUTES)
_LOOK_BACK = timedelta(hours=1)
"""Beyond its last complete run a level looks back so far for announcements: the clocks of writers may differ."""
_LOOK_AT_ALL_EVERY = timedelta(hours=1)
_AT_ONCE = {FIVE_MINUTES: 12 * width(FIVE_MINUTES), HOURLY: width(HOURLY)}
"""Time in one query: opening the series costs the database more than reading an hour of them."""

Post = Callable[[bytes, str], Verdict | None]
"""(lines, bucket); what the database says of lines it does not take. Raises TelemetryUnavailable."""
Late = dict[tuple[str, Millis], float]
"""When readings of a measurement and five minutes were last written too late."""


class Stretch(NamedTuple):
    """start <= time < end, whole points of its level; of all measurements or of one."""

    start: Millis
    end: Millis
    measurement: str = ""


class Done(NamedTuple):
    """What a run has done on one level."""

    level: Level
    stretches: int
    points: int
    """Written."""
    until: Millis | None
    """Summed up until here; None where there is nothing to sum up yet."""
    behind: bool
    """There is more to do at once."""


class Rollup:
    """Not for several threads at once; two processes at a time do the same work twice, and no harm."""

    def __init__(self, ql: InfluxQl, post: Post, library: Mapping[str, DeviceProfile]) -> None:
        self._ql = ql
        self._post = post
        self._counters = counters(library)
        self._complete: dict[Level, datetime] = {}
        """Since when nothing that was announced is left to do."""
        self._looked_at_all: dict[Level, datetime] = {}
        self.refused = 0
        """Lines that the database did not take (a metric has changed its type)."""

    def run(self, now: datetime) -> list[Done]:
        """What is due on both levels, a bounded part of it. Raises TelemetryUnavailable; the next run goes on."""
        return [self.run_level(level, now) for level in (FIVE_MINUTES, HOURLY)]

    def again(self, level: Level, start: Millis, end: Millis) -> Iterator[int]:
        """Sum up [start, end), widened to whole points, whatever was done before; yields the points of each query."""
        whole = width(level)
        for _, points in self._walked(level, Stretch(start // whole * whole, -(-end // whole) * whole)):
            yield points

    # --- one level ----------------------------------------

    def run_level(self, level: Level, now: datetime) -> Done:
        """See `run`."""
        whole = width(level)
        closed = int((now - GRACE).timestamp() * 1000) // whole * whole
        begin = summed_until(self._ql, level)
        if begin is not None and begin > closed + whole:
            begin = self._gone_back(level, closed)
        if begin is None:
            begin = self._first(closed, whole)
        if begin is None:
            return Done(level, 0, 0, None, behind=False)
        late = self._late(level, now)  # before anything is read: what is written from now on is announced anew
        points, until, new = 0, begin, 0
        for stretch, some in islice(self._walked(level, Stretch(begin, closed)), STRETCHES_PER_RUN):
            self._note_done(level, stretch, late)
            points, until, new = points + some, stretch.end, new + 1
        again = self._missed(level, late, until)
        points += sum(self._redo(level, stretch, late) for stretch in again[:STRETCHES_PER_RUN])
        behind = until < closed or len(again) > STRETCHES_PER_RUN
        if not behind:
            self._complete[level] = now
        return Done(level, new + len(again[:STRETCHES_PER_RUN]), points, until, behind)

    def _gone_back(self, level: Level, closed: Millis) -> Millis | None:
        """The clock was ahead: stretches that were not over were taken for summed up, and are so no more."""
        ahead = f"WHERE {name('until')} > {float(closed)!r}"
        found = self._ql.ask(f"SELECT {name('until')} FROM {source(SUMMED, level)} {ahead}")  # noqa: S608 - quoted
        self._write(level, [f"{SUMMED} until=0.0 {int(row[0] or 0)}" for series in found for row in series.values])
        return summed_until(self._ql, level)

    def _first(self, closed: Millis, whole: Millis, condition: str = "") -> Millis | None:
        """The point in which something was measured first, before `closed`."""
        first = f"WHERE {condition}time < {closed:d}ms ORDER BY time ASC LIMIT 1"
        found = [_first_row(self._ql, f"SELECT * FROM {source(one)} {first}") for one in read_fields(self._ql, RAW)]  # noqa: S608 - quoted
        times = [int(row[0]) for row in found if row is not None]
        return min(times) // whole * whole if times else None

    def _walked(self, level: Level, whole: Stretch) -> Iterator[tuple[Stretch, int]]:
        """Sums up from one end to the other: what was done, and its points. Where nothing was measured it goes on to
        where something was: months may be empty, and a question costs seconds."""
        at = whole.start
        while at < whole.end:
            at_once = _AT_ONCE[level]
            stretch = Stretch(at, min((at // at_once + 1) * at_once, whole.end))
            points = self._sum_up(level, stretch)
            if not points and stretch.end < whole.end:
                after = self._first(whole.end, width(level), f"time >= {stretch.end:d}ms AND ")
                stretch = stretch._replace(end=whole.end if after is None else after)
            at = stretch.end
            yield stretch, points

    def _note_done(self, level: Level, stretch: Stretch, late: Late) -> None:
        self._note_redone(level, {key: at for key, at in late.items() if stretch.start <= key[1] < stretch.end})
        self._write(level, [f"{SUMMED} until={float(stretch.end)!r} {stretch.end - width(level)}"])

    def _redo(self, level: Level, stretch: Stretch, late: Late) -> int:
        points = self._sum_up(level, stretch)
        taken_in = {
            (of, at): written
            for (of, at), written in late.items()
            if of == stretch.measurement and stretch.start <= at < stretch.end
        }
        self._note_redone(level, taken_in)
        return points

    def _missed(self, level: Level, late: Late, until: Millis) -> list[Stretch]:
        """Stretches with readings that have come since they were summed up."""
        over = {key: written for key, written in late.items() if key[1] < until}
        if not over:
            return []
        first = min(at for _, at in over)
        seen = self._announced(REDONE, "seen", level, f"WHERE time >= {first:d}ms")
        keys = [key for key, written in over.items() if seen.get(key) != written]
        return stretches_of(keys, width(level), _AT_ONCE[level])

    def _late(self, level: Level, now: datetime) -> Late:
        """What was announced since the level's last complete run; at the first one and once an hour, all there is.
        Devices that always report late announce every five minutes of as long as readings are kept."""
        complete = self._complete.pop(level, None)  # a run that fails leaves the level incomplete
        looked = self._looked_at_all.get(level)
        if complete is None or looked is None or not looked <= now < looked + _LOOK_AT_ALL_EVERY:
            self._looked_at_all[level] = now
            return self._announced(LATE, "written", RAW)
        since = (complete - _LOOK_BACK).timestamp() * 1000
        return self._announced(LATE, "written", RAW, f"WHERE {name('written')} >= {since!r}")

    def _announced(self, measurement: str, field: str, level: Level, which: str = "") -> Late:
        found: Late = {}
        statement = f"SELECT {name(field)} FROM {source(measurement, level)} {which} GROUP BY {name('of')}"  # noqa: S608 - quoted
        for series in self._ql.stream(statement):
            found |= {(series.tags["of"], int(row[0] or 0)): cast(float, row[1]) for row in series.values}
        return found

    def _note_redone(self, level: Level, taken_in: Late) -> None:
        lines = [f"{head_text(REDONE, {'of': of})}seen={written!r} {at}" for (of, at), written in taken_in.items()]
        self._write(level, lines)

    # --- one stretch ----------------------------------------

    def _sum_up(self, level: Level, stretch: Stretch) -> int:
        measurements = [stretch.measurement] if stretch.measurement else sorted(read_fields(self._ql, RAW))
        return sum(self._write(level, self._lines(level, stretch, one)) for one in measurements)

    def _lines(self, level: Level, stretch: Stretch, measurement: str) -> Iterator[str]:
        which = f"WHERE {between(stretch.start, stretch.end)} GROUP BY {', '.join(map(name, TAGS))}"
        statement = f"SELECT * FROM {source(measurement)} {which}"  # noqa: S608 - quoted
        with closing(self._ql.stream(statement)) as answer:
            for _, parts in groupby(answer, key=lambda series: series.tags):
                yield from self._of_series(level, measurement, parts)

    def _of_series(self, level: Level, measurement: str, parts: Iterable[Series]) -> Iterator[str]:
        """The rows of one series come in several parts where there are many."""
        some = list(parts)
        head = head_text(measurement, some[0].tags)
        rows: list[Row] = [row for part in some for row in part.values]
        for at, fields in sums(some[0].columns[1:], rows, width(level), self._counters.get(measurement, frozenset())):
            yield f"{head}{_fields(fields)} {at}"

    def _write(self, level: Level, lines: Iterable[str]) -> int:
        waiting, written = iter(lines), 0
        while some := list(islice(waiting, _LINES_PER_REQUEST)):
            written += len(some)
            self._post_some(level, some)
        return written

    def _post_some(self, level: Level, lines: Sequence[str]) -> None:
        """What is not taken for its age the level has forgotten already."""
        said = self._post("\n".join(lines).encode(), level.bucket)
        if said is None or said.kind is Kind.TOO_OLD:
            return
        if len(lines) == 1:
            self.refused += 1
            return
        self._post_some(level, lines[: len(lines) // 2])
        self._post_some(level, lines[len(lines) // 2 :])


def summed_until(ql: InfluxQl, level: Level) -> Millis | None:
    """Up to when the level is summed up; None where it is not yet. Raises TelemetryUnavailable, NotSetUp."""
    until = name("until")
    found = _first_row(ql, f"SELECT last({until}) FROM {source(SUMMED, level)} WHERE {until} > 0")  # noqa: S608 - quoted
    return None if found is None else int(found[1])


def _first_row(ql: InfluxQl, statement: str) -> list[float] | None:
    for series in ql.ask(statement):
        for row in series.values:
            return cast(list[float], row)
    return None


def stretches_of(keys: Iterable[tuple[str, Millis]], whole: Millis, at_most: Millis) -> list[Stretch]:
    """(measurement, five minutes) as stretches of a level, neighbours together; the oldest first."""
    found: list[Stretch] = []
    for of, at in sorted({(of, at // whole * whole) for of, at in keys}):
        last = found[-1] if found else None
        if last is not None and last.measurement == of and last.end == at and at + whole - last.start <= at_most:
            found[-1] = last._replace(end=at + whole)
        else:
            found.append(Stretch(at, at + whole, of))
    return sorted(found)


def late_lines(written: Iterable[tuple[str, Millis]], now: Millis) -> list[str]:
    """What the writer of readings, each of a (measurement, measured_at), has to write once they are stored: one line
    for each five minutes that were long over. Nearly always none."""
    before = (now - int(GRACE.total_seconds() * 500)) // _FIVE_MINUTES * _FIVE_MINUTES
    over = {(of, at // _FIVE_MINUTES * _FIVE_MINUTES) for of, at in written if at < before}
    return [f"{head_text(LATE, {'of': of})}written={float(now)!r} {at}" for of, at in sorted(over)]


def _fields(fields: Mapping[str, object]) -> str:
    texts = ((field, field_text(value)) for field, value in fields.items())  # type: ignore[arg-type]
    return ",".join(f"{field}={text}" for field, text in texts if text is not None)
