"""When maintenance windows are open, and what they cover. Pure; times inside are UTC, recurring ones follow the clock
of the site.

A recurring window belongs to the day on which it begins, also where it runs over midnight. On the two days of the year
when clocks change it is never shorter than what a clock on the wall shows: it begins at the first of two equal times
and ends at the second, and a time that the clock skips is the moment at which it skips.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from gateway.reading import Millis
from services.clock import from_millis, to_millis

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Millis = 24 * 3600 * 1000
_MOST_CACHED = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What a window covers. Buildings and families narrow each other (the pumps of building 2); devices are covered
    beside these. All empty: the whole site."""

    buildings: frozenset[str] = frozenset()
    families: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()

    def covers(self, building: str | None, family: str, device: str) -> bool:
        if device in self.devices:
            return True
        if not self.buildings and not self.families:
            return not self.devices
        in_building = not self.buildings or building in self.buildings
        return in_building and (not self.families or family in self.families)

    def names(self, building: str | None, family: str, device: str) -> bool:
        """The device or its kind are named, and not only where it stands."""
        return device in self.devices or (family in self.families and self.covers(building, family, device))

    def as_json(self) -> dict[str, list[str]]:
        named = {"buildings": self.buildings, "families": self.families, "devices": self.devices}
        return {name: sorted(ids) for name, ids in named.items() if ids}


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeats:
    """Again on these weekdays; `until` is the last day on which it begins."""

    days: frozenset[str]
    until: date
    cut: Mapping[date, datetime] = field(default_factory=dict)
    """Day -> when people ended that day's one early."""

    def as_json(self) -> dict[str, Any]:
        cut = {day.isoformat(): at.isoformat() for day, at in sorted(self.cut.items())}
        days = [day for day in WEEKDAYS if day in self.days]
        return {"days": days, "until": self.until.isoformat()} | ({"cut": cut} if cut else {})


class Occurrence(NamedTuple):
    """One time that a window is open: from `start` until before `end`."""

    start: datetime
    end: datetime
    day: date
    """On the clock of the site, the one on which it begins."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A row of maintenance_windows. Of a recurring one, `starts_at` and `ends_at` are those of its first day."""

    id: str
    site: str
    title: str
    scope: Scope
    starts_at: datetime
    ends_at: datetime
    repeats: Repeats | None = None
    created_at: datetime
    created_by: str
    cancelled_at: datetime | None = None
    cancelled_by: str | None = None

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Window:
        scope, repeats = row["scope"] or {}, row["repeats"]
        named = {name: frozenset(scope.get(name) or ()) for name in ("buildings", "families", "devices")}
        same = ("id", "site", "title", "starts_at", "ends_at", "created_at", "created_by")
        return cls(
            **{name: row[name] for name in (*same, "cancelled_at", "cancelled_by")},
            scope=Scope(**named),
            repeats=None if not repeats else _repeats(repeats),
        )

    def occurrences(self, zone: ZoneInfo, after: datetime) -> Iterator[Occurrence]:
        """Those that are not over at `after`, in order. What was cancelled is open until then, and never again."""
        found = self._once(zone) if self.repeats is None else self._again(self.repeats, zone, after)
        for one in found:
            end = one.end if self.cancelled_at is None else min(one.end, self.cancelled_at)
            if end > max(one.start, after):
                yield one._replace(end=end)

    def preview(self, n: int, zone: ZoneInfo, after: datetime) -> list[Occurrence]:
        """The next ones for people, the one that is open now included."""
        return list(islice(self.occurrences(zone, after), n))

    def open_at(self, at: datetime, zone: ZoneInfo) -> Occurrence | None:
        found = next(self.occurrences(zone, at), None)
        return found if found is not None and found.start <= at else None

    def _once(self, zone: ZoneInfo) -> Iterator[Occurrence]:
        yield Occurrence(self.starts_at, self.ends_at, self.starts_at.astimezone(zone).date())

    def _again(self, repeats: Repeats, zone: ZoneInfo, after: datetime) -> Iterator[Occurrence]:
        first, last = (at.astimezone(zone).replace(tzinfo=None) for at in (self.starts_at, self.ends_at))
        lasts_days = last.date() - first.date()
        day = max(first.date(), after.astimezone(zone).date() - lasts_days - timedelta(days=1))
        while day <= repeats.until:
            if WEEKDAYS[day.weekday()] in repeats.days:
                start = from_wall(datetime.combine(day, first.time()), zone)
                end = from_wall(datetime.combine(day + lasts_days, last.time()), zone, second=True)
                yield Occurrence(start, min(end, repeats.cut.get(day, end)), day)
            day += timedelta(days=1)


def _repeats(row: Mapping[str, Any]) -> Repeats:
    cut = {date.fromisoformat(day): datetime.fromisoformat(at) for day, at in (row.get("cut") or {}).items()}
    return Repeats(days=frozenset(row["days"]), until=date.fromisoformat(row["until"]), cut=cut)


def from_wall(wall: datetime, zone: ZoneInfo, *, second: bool = False) -> datetime:
    """When a clock of the site shows this (naive) time. Of two such moments the first, or the `second`; of none, the
    one at which the clock skips it."""
    at = wall.replace(tzinfo=zone, fold=int(second)).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == wall:
        return at
    low, high = sorted(wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    return high.replace(microsecond=0)


class _Open(NamedTuple):
    """An occurrence in milliseconds."""

    start: Millis
    end: Millis
    window: Window


class Windows:
    """All windows of all sites. What is open on a day is looked up once: asking costs next to nothing."""

    def __init__(self, windows: Iterable[Window] = (), zones: Mapping[str, str] | None = None) -> None:
        """`zones`: site -> IANA name; windows of other sites are never open."""
        self._zones = {site: ZoneInfo(name) for site, name in (zones or {}).items()}
        self._of_site: dict[str, list[Window]] = defaultdict(list)
        for window in sorted(windows, key=lambda one: one.id):
            if window.site in self._zones:
                self._of_site[window.site].append(window)
        self._days: dict[tuple[str, int], tuple[_Open, ...]] = {}
        self._edges: dict[str, tuple[Millis, Millis | None]] = {}
        """Site -> (asked at, the next edge after that)."""

    def changed(self, change: Callable[[Window], Window]) -> Windows:
        """The same with each window changed."""
        every = [change(one) for some in self._of_site.values() for one in some]
        return Windows(every, {site: zone.key for site, zone in self._zones.items()})

    def covering(self, site: str, building: str | None, family: str, device: str, at: Millis) -> str | None:
        """The id of the window that covers a device at that (event) time; of several the oldest."""
        found = (one for one in self._open_at(site, at) if one.scope.covers(building, family, device))
        return next((one.id for one in found), None)

    def naming(self, site: str, building: str | None, family: str, device: str, at: Millis) -> str | None:
        """The same of a window that names the device or its kind."""
        found = (one for one in self._open_at(site, at) if one.scope.names(building, family, device))
        return next((one.id for one in found), None)

    def free_from(self, site: str, since: Millis, covers: Callable[[Scope], bool]) -> Millis:
        """From when on, at `since` or later, no window is open that covers what is looked at."""
        free = since
        while open_now := [one.end for one in self._on_day_at(site, free) if covers(one.window.scope)]:
            free = max(open_now)
        return free

    def open_at(self, site: str, at: Millis) -> tuple[str, ...]:
        """The ids of the windows that are open at that time, wherever there."""
        return tuple(one.id for one in self._open_at(site, at))

    def _open_at(self, site: str, at: Millis) -> Iterator[Window]:
        return (one.window for one in self._on_day_at(site, at))

    def _on_day_at(self, site: str, at: Millis) -> Iterator[_Open]:
        if site in self._of_site:
            yield from (one for one in self._on_day(site, at // _DAY) if one.start <= at < one.end)

    def open_for(
        self, site: str, building: str | None, family: str, device: str, since: Millis, until: Millis
    ) -> Millis:
        """How much of a stretch of time windows covered a device; where several did it counts once."""
        if site not in self._of_site or since >= until:
            return 0
        total, reached = 0, since
        for one in sorted(self._opened(site, since, until), key=lambda one: one.start):
            begin, end = max(one.start, reached), min(one.end, until)
            if begin < end and one.window.scope.covers(building, family, device):
                total, reached = total + end - begin, end
        return total

    def next_edges(self, after: Millis) -> dict[str, Millis]:
        """Site -> when next a window begins or ends there. Sites where none will are left out."""
        found = {site: self._next_edge(site, after) for site in self._of_site}
        return {site: edge for site, edge in found.items() if edge is not None}

    def preview(self, site: str, n: int, after: datetime) -> list[tuple[Window, Occurrence]]:
        """The next occurrences of all windows of a site, in order; those that are open now come first."""
        zone = self._zones[site]
        found = [(one, at) for one in self._of_site.get(site, ()) for at in one.preview(n, zone, after)]
        return sorted(found, key=lambda pair: (pair[1].start, pair[0].id))[:n]

    def _on_day(self, site: str, day: int) -> tuple[_Open, ...]:
        found = self._days.get((site, day))
        if found is None:
            if len(self._days) >= _MOST_CACHED:
                self._days.clear()
            found = self._days[site, day] = tuple(self._opened(site, day * _DAY, (day + 1) * _DAY))
        return found

    def _opened(self, site: str, begin: Millis, end: Millis) -> Iterator[_Open]:
        for window in self._of_site[site]:
            for one in window.occurrences(self._zones[site], from_millis(begin)):
                if to_millis(one.start) >= end:
                    break
                yield _Open(to_millis(one.start), to_millis(one.end), window)

    def _next_edge(self, site: str, after: Millis) -> Millis | None:
        asked, edge = self._edges.get(site, (after + 1, None))
        if after < asked or (edge is not None and edge <= after):
            edge = min(self._edges_of(site, after), default=None)
            self._edges[site] = (after, edge)
        return edge

    def _edges_of(self, site: str, after: Millis) -> Iterator[Millis]:
        for window in self._of_site[site]:
            for one in window.occurrences(self._zones[site], from_millis(after)):
                start, end = to_millis(one.start), to_millis(one.end)
                if end > after:  # to the millisecond it may be over already
                    yield start if start > after else end
                    break
