"""When maintenance windows are open: on the clock of the site, over midnight, on the two odd days of the year."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.clock import to_millis
from services.maintenance.windows import WEEKDAYS, Occurrence, Repeats, Scope, Window, Windows, from_wall

SHANGHAI, BERLIN, LORD_HOWE = (ZoneInfo(name) for name in ("Asia/Shanghai", "Europe/Berlin", "Australia/Lord_Howe"))


def wall(text: str, zone: ZoneInfo = SHANGHAI) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def a_window(start: str, end: str, zone: ZoneInfo = SHANGHAI, **changes: object) -> Window:
    window = Window(
        id="w1",
        site="osm",
        title="Tank cleaning",
        scope=Scope(),
        starts_at=wall(start, zone),
        ends_at=wall(end, zone),
        created_at=wall("2026-01-01T00:00"),
        created_by="chen",
    )
    return replace(window, **changes)  # type: ignore[arg-type]


def on(*days: str, until: str) -> Repeats:
    return Repeats(days=frozenset(days), until=date.fromisoformat(until))


def walls(found: list[Occurrence], zone: ZoneInfo) -> list[tuple[str, str]]:
    return [tuple(f"{at.astimezone(zone):%m-%d %H:%M}" for at in (one.start, one.end)) for one in found]  # type: ignore[misc]


def of(window: Window, zone: str = "Asia/Shanghai") -> Windows:
    return Windows([window], {window.site: zone})


def covered(windows: Windows, at: datetime, *, building: str | None = "2", family: str = "pump", device: str = "p1"):  # type: ignore[no-untyped-def]
    return windows.covering("osm", building, family, device, to_millis(at))


def test_once_from_its_begin_until_before_its_end() -> None:
    windows = of(a_window("2026-03-02T09:00", "2026-03-02T11:00"))
    assert covered(windows, wall("2026-03-02T08:59:59.999")) is None
    assert covered(windows, wall("2026-03-02T09:00")) == "w1"
    assert covered(windows, wall("2026-03-02T10:59:59.999")) == "w1"
    assert covered(windows, wall("2026-03-02T11:00")) is None
    assert windows.covering("other", "2", "pump", "p1", to_millis(wall("2026-03-02T10:00"))) is None


@pytest.mark.parametrize(
    ("scope", "building", "family", "device", "is_covered"),
    [
        (Scope(), None, "", "gateway:g1", True),
        (Scope(buildings=frozenset({"2"})), "2", "pump", "p1", True),
        (Scope(buildings=frozenset({"2"})), "3", "pump", "p1", False),
        (Scope(buildings=frozenset({"2"})), None, "pump", "p1", False),
        (Scope(families=frozenset({"pump"})), "3", "pump", "p1", True),
        (Scope(buildings=frozenset({"2"}), families=frozenset({"pump"})), "2", "gate", "g1", False),
        (Scope(buildings=frozenset({"2"}), families=frozenset({"pump"})), "3", "pump", "p1", False),
        (Scope(devices=frozenset({"p1"})), "2", "pump", "p1", True),
        (Scope(devices=frozenset({"p1"})), "2", "pump", "p2", False),
        (Scope(buildings=frozenset({"2"}), devices=frozenset({"p9"})), "7", "pump", "p9", True),
    ],
)
def test_buildings_and_families_narrow_each_other_and_devices_come_on_top(
    scope: Scope, building: str | None, family: str, device: str, is_covered: bool
) -> None:
    assert scope.covers(building, family, device) is is_covered


def test_a_recurring_one_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    """Friday nights until the 13th: the night of Friday the 13th is whole, Saturday's morning included."""
    window = a_window("2026-03-06T22:00", "2026-03-07T04:00", repeats=on("fri", until="2026-03-13"))
    windows = of(window)
    assert covered(windows, wall("2026-03-07T03:59")) == "w1"
    assert covered(windows, wall("2026-03-07T22:30")) is None, "Saturday's night is nobody's"
    assert covered(windows, wall("2026-03-14T03:59")) == "w1"
    assert covered(windows, wall("2026-03-20T23:00")) is None, "it has ended for good"
    assert walls(window.preview(5, SHANGHAI, wall("2026-03-01T00:00")), SHANGHAI) == [
        ("03-06 22:00", "03-07 04:00"),
        ("03-13 22:00", "03-14 04:00"),
    ]


def test_the_first_day_of_a_recurring_one_is_a_day_it_names() -> None:
    """From Wednesday on, on Mondays: Wednesday itself is not one."""
    window = a_window("2026-03-04T09:00", "2026-03-04T10:00", repeats=on("mon", until="2026-03-20"))
    assert [one.day.day for one in window.preview(9, SHANGHAI, window.starts_at)] == [9, 16]


def test_the_night_when_clocks_go_forward() -> None:
    """In Berlin 02:00 is 03:00 on 29 March 2026: a begin that the clock skips is that moment, an end as well."""
    every = on(*WEEKDAYS, until="2026-03-31")
    begins = a_window("2026-03-28T02:30", "2026-03-28T04:00", BERLIN, repeats=every)
    assert [one.start.isoformat() for one in begins.preview(3, BERLIN, begins.starts_at)] == [
        "2026-03-28T01:30:00+00:00",
        "2026-03-29T01:00:00+00:00",
        "2026-03-30T00:30:00+00:00",
    ]
    ends = a_window("2026-03-28T01:00", "2026-03-28T02:30", BERLIN, repeats=every)
    assert [one.end.isoformat() for one in ends.preview(3, BERLIN, ends.starts_at)] == [
        "2026-03-28T01:30:00+00:00",
        "2026-03-29T01:00:00+00:00",
        "2026-03-30T00:30:00+00:00",
    ]


def test_the_night_when_clocks_go_back() -> None:
    """02:00 to 03:00 comes twice on 25 October 2026: from the first of two equal times to the second."""
    window = a_window("2026-10-24T02:15", "2026-10-24T02:45", BERLIN, repeats=on(*WEEKDAYS, until="2026-10-26"))
    lengths = [one.end - one.start for one in window.preview(3, BERLIN, window.starts_at)]
    assert lengths == [timedelta(minutes=30), timedelta(minutes=90), timedelta(minutes=30)]
    windows = of(window, "Europe/Berlin")
    assert covered(windows, datetime(2026, 10, 25, 0, 20, tzinfo=UTC)) == "w1"
    assert covered(windows, datetime(2026, 10, 25, 1, 40, tzinfo=UTC)) == "w1"
    assert covered(windows, datetime(2026, 10, 25, 1, 45, tzinfo=UTC)) is None


def test_half_an_hour_of_a_clock_may_be_skipped_too() -> None:
    skipped = from_wall(datetime.fromisoformat("2026-10-04T02:10"), LORD_HOWE)
    assert skipped == datetime(2026, 10, 3, 15, 30, tzinfo=UTC)
    assert skipped.astimezone(LORD_HOWE).strftime("%H:%M") == "02:30"


def test_what_was_cancelled_is_open_until_then_and_never_again() -> None:
    window = a_window("2026-03-02T09:00", "2026-03-02T11:00", repeats=on(*WEEKDAYS, until="2026-03-06"))
    windows = of(replace(window, cancelled_at=wall("2026-03-03T09:30")))
    assert covered(windows, wall("2026-03-02T10:59")) == "w1", "history stays what it was"
    assert covered(windows, wall("2026-03-03T09:29")) == "w1"
    assert covered(windows, wall("2026-03-03T09:30")) is None
    assert covered(windows, wall("2026-03-04T10:00")) is None


def test_one_day_of_a_recurring_one_may_end_early() -> None:
    repeats = replace(on(*WEEKDAYS, until="2026-03-06"), cut={date(2026, 3, 3): wall("2026-03-03T09:30")})
    windows = of(a_window("2026-03-02T09:00", "2026-03-02T11:00", repeats=repeats))
    assert covered(windows, wall("2026-03-03T09:29")) == "w1"
    assert covered(windows, wall("2026-03-03T09:30")) is None
    assert covered(windows, wall("2026-03-04T10:59")) == "w1"


def test_the_edges_are_every_begin_and_every_end() -> None:
    windows = of(a_window("2026-03-06T22:00", "2026-03-07T04:00", repeats=on("fri", "sat", until="2026-03-07")))
    at, seen = to_millis(wall("2026-03-01T00:00")), []
    while edge := windows.next_edges(at).get("osm"):
        seen.append(edge)
        at = edge
    expected = ["2026-03-06T22:00", "2026-03-07T04:00", "2026-03-07T22:00", "2026-03-08T04:00"]
    assert seen == [to_millis(wall(text)) for text in expected]


@given(
    minutes=st.integers(0, 14 * 24 * 60),
    start=st.integers(0, 23 * 60),
    length=st.integers(1, 24 * 60),
    days=st.frozensets(st.sampled_from(WEEKDAYS), min_size=1),
    zone=st.sampled_from([SHANGHAI, BERLIN, LORD_HOWE]),
)
def test_memory_and_calendar_agree(minutes: int, start: int, length: int, days: frozenset[str], zone: ZoneInfo) -> None:
    """What is looked up once a day is what the list for people says, at any minute of two weeks over a clock change."""
    first = datetime.fromisoformat("2026-10-19T00:00") + timedelta(minutes=start)
    window = a_window(
        first.isoformat(),
        (first + timedelta(minutes=length)).isoformat(),
        zone,
        repeats=Repeats(days=days, until=date(2026, 10, 30)),
    )
    at = datetime(2026, 10, 18, tzinfo=UTC) + timedelta(minutes=minutes)
    listed = any(one.start <= at < one.end for one in window.preview(20, zone, datetime(2026, 10, 1, tzinfo=UTC)))
    assert (covered(of(window, zone.key), at) is not None) is listed
    assert (window.open_at(at, zone) is not None) is listed


def test_a_row_and_back() -> None:
    repeats = replace(on("mon", "fri", until="2026-03-20"), cut={date(2026, 3, 9): wall("2026-03-09T09:30")})
    window = a_window("2026-03-02T09:00", "2026-03-02T11:00", repeats=repeats, scope=Scope(buildings=frozenset({"2"})))
    names = ("id", "site", "title", "starts_at", "ends_at", "created_at", "created_by", "cancelled_at", "cancelled_by")
    row = {name: getattr(window, name) for name in names}
    assert Window.of_row({**row, "scope": window.scope.as_json(), "repeats": repeats.as_json()}) == window
