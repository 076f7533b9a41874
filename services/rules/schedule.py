"""When a rule applies, on the clock of a site.

Pure. A stretch begins when the clock first shows its `from` and ends when it last shows its `to`: in the night in which
the clock is put back it is an hour longer, in the night in which it is put forward an hour shorter. A time that the
clock leaps over is the moment of the leap. A stretch that ends before it begins runs over midnight and belongs to the
day on which it begins.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from device_profiles.schema import Schedule
from gateway.reading import Millis
from services.clock import from_millis, to_millis

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = timedelta(days=1)
_AHEAD = 9
"""Days that are looked ahead: in a week and a day every stretch has begun and ended."""
_MOST_KNOWN = 1000


class Stretch(NamedTuple):
    """Within [begins, ends) the answer is the same."""

    begins: Millis
    ends: Millis
    applies: bool


class Hours:
    """A rule's schedule in one zone. The stretches it has found are kept, so that most questions cost a comparison."""

    def __init__(self, schedule: tuple[Schedule, ...], zone: str) -> None:
        self._schedule = schedule
        self._zone = ZoneInfo(zone)
        self._now = Stretch(0, 0, False)
        self._begins: list[Millis] = []
        self._known: list[Stretch] = []

    def applies(self, at: Millis) -> bool:
        now = self._now
        return now[2] if now[0] <= at < now[1] else self.stretch(at).applies

    def edge_after(self, at: Millis) -> Millis:
        """The first moment later than `at` at which it begins or ceases to apply."""
        return self.stretch(at).ends

    def stretch(self, at: Millis) -> Stretch:
        """The stretch with the same answer around a moment; one that goes on for days is cut after a week."""
        place = bisect_right(self._begins, at)
        found = self._known[place - 1] if place else None
        if found is None or at >= found.ends:
            found = self._found(at)
            self._keep(found)
        self._now = found
        return found

    def _keep(self, found: Stretch) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._begins.clear()
            self._known.clear()
        place = bisect_right(self._begins, found.begins)
        self._begins.insert(place, found.begins)
        self._known.insert(place, found)

    def _found(self, at: Millis) -> Stretch:
        local = from_millis(at).astimezone(self._zone).date()
        days = [local + _DAY * n for n in range(-_AHEAD, _AHEAD + 1)]
        begins, ends = to_millis(self._first(days[0], "00:00")), to_millis(self._first(days[-1], "00:00"))
        for one in _joined(self._stretches(days)):
            if one[0] <= at < one[1]:
                return Stretch(max(one[0], begins), min(one[1], ends), True)
            if one[1] <= at:
                begins = max(begins, one[1])
            else:
                ends = min(ends, one[0])
        return Stretch(begins, ends, False)

    def _stretches(self, days: Iterable[date]) -> Iterator[tuple[Millis, Millis]]:
        for day in days:
            for one in self._schedule:
                if _DAYS[day.weekday()] in one.days:
                    over_midnight = one.to != "24:00" and one.to <= one.from_
                    last = day + _DAY if over_midnight else day
                    yield to_millis(self._first(day, one.from_)), to_millis(self._last(last, one.to))

    def _first(self, day: date, clock: str) -> datetime:
        """When the clock first shows this."""
        return self._moment(_wall(day, clock), fold=0)

    def _last(self, day: date, clock: str) -> datetime:
        return self._moment(_wall(day, clock), fold=1)

    def _moment(self, wall: datetime, *, fold: int) -> datetime:
        moment = wall.replace(tzinfo=self._zone, fold=fold).astimezone(UTC)
        if moment.astimezone(self._zone).replace(tzinfo=None, fold=0) == wall:
            return moment
        return self._leap(wall)

    def _leap(self, wall: datetime) -> datetime:
        """The moment at which the clock leaps over this time."""
        after, before = (wall.replace(tzinfo=self._zone, fold=fold) for fold in (1, 0))
        low, high = after.astimezone(UTC), before.astimezone(UTC)
        old = low.astimezone(self._zone).utcoffset()
        while high - low > timedelta(seconds=1):
            middle = low + (high - low) // 2
            low, high = (middle, high) if middle.astimezone(self._zone).utcoffset() == old else (low, middle)
        return high.replace(microsecond=0)


def _wall(day: date, clock: str) -> datetime:
    if clock == "24:00":
        return datetime.combine(day + _DAY, time())
    hour, minute = clock.split(":")
    return datetime.combine(day, time(int(hour), int(minute)))


def _joined(stretches: Iterable[tuple[Millis, Millis]]) -> list[tuple[Millis, Millis]]:
    """In order; what overlaps or touches is one. What a leap of the clock leaves nothing of is left out."""
    found: list[tuple[Millis, Millis]] = []
    for begins, ends in sorted(stretches):
        if begins >= ends:
            continue
        if found and begins <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], ends))
        else:
            found.append((begins, ends))
    return found


class Timetable:
    """A rule's schedule, in whatever zone its device stands."""

    def __init__(self, schedule: tuple[Schedule, ...]) -> None:
        self._schedule = schedule
        self._zones: dict[str, Hours] = {}

    def in_zone(self, zone: str) -> Hours:
        found = self._zones.get(zone)
        if found is None:
            found = self._zones[zone] = Hours(self._schedule, zone)
        return found
