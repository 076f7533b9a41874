"""Five minutes and hours: what they say, and that nothing is missing however readings come and whatever is killed."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from device_profiles.telemetry import FIVE_MINUTES, HOURLY, LATE, REDONE
from gateway.reading import Reading, Registry, Value
from gateway.telemetry import TelemetryStore, TelemetryUnavailable, retention
from gateway.telemetry.influx import InfluxAddress, InfluxTelemetry
from gateway.telemetry.influxql import InfluxQl, Series
from gateway.telemetry.refused import RefusedPoints
from gateway.telemetry.rollup import Rollup, Stretch, late_lines, stretches_of
from gateway.telemetry.summing import Sum, sums
from gateway.telemetry.verdict import Verdict
from tests.fixtures_influxdb import Influx
from tests.gateway.telemetry.influx_kit import server
from tests.gateway.telemetry.test_contract import PROFILE, entry

HOUR = timedelta(hours=1)
BEGIN = datetime(2027, 1, 15, 8, tzinfo=UTC)
AT = int(BEGIN.timestamp() * 1000)
MINUTE = 60_000


def reading(minutes: float, values: dict[str, Value], child: str = "", device: str = "pump-1") -> Reading:
    at = AT + round(minutes * MINUTE)
    return Reading(device, child, at, at, "t", values, profile="pump")


class Night:
    """A database, its writer and its roll-up; time goes as it is told."""

    def __init__(self, server: Influx, folder: Path) -> None:
        self.server = server
        self.now = BEGIN
        self.ql = InfluxQl(server.url, "", timeout_seconds=20)
        self.store = InfluxTelemetry(
            InfluxAddress(url=server.url),
            library={"pump": PROFILE},
            registry=lambda: Registry(version="1", devices=[entry("pump-1")]),
            set_aside=RefusedPoints(folder / "refused.db"),
            now_millis=lambda: int(self.now.timestamp() * 1000),
        )
        self.rollup = Rollup(self.ql, self.store.post, {"pump": PROFILE})

    def until(self, minutes: float) -> None:
        self.now = BEGIN + timedelta(minutes=minutes)

    def roll(self, rollup: Rollup | None = None) -> None:
        while any(done.behind for done in (rollup or self.rollup).run(self.now)):
            pass

    def level(self, name: str, field: str = "*") -> list[dict[str, object]]:
        found = self.server.query(f'SELECT {field} FROM "telemetry"."{name}"."water_pump"')
        rows = [dict(zip(one["columns"], row, strict=True)) for one in found for row in one["values"]]  # type: ignore[call-overload]
        for row in rows:
            row["time"] = (row["time"] - AT) / MINUTE
        return sorted(rows, key=lambda row: (row["time"], str(row.get("child"))))


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    with server(tmp_path_factory.mktemp("influx")) as running:
        yield running


@pytest.fixture
def night(influx: Influx, tmp_path: Path) -> Iterator[Night]:
    influx.query("DROP DATABASE telemetry")
    made = Night(influx, tmp_path)
    levels = retention.wanted(raw_days=10_000, five_minutes_days=10_000, hourly_days=10_000)
    for change in retention.look(made.ql, url=influx.url, token="", org="", levels=levels).changes:
        change.carry_out()
    made.store.start()
    yield made
    made.store.close()
    made.ql.close()


def test_a_stretch_says_mean_extremes_and_last_words() -> None:
    columns = ("cy_quality", "flooded", "hours", "level", "pressure", "run")
    rows = [
        (AT, None, False, 100, 5, 0.25, "on"),
        (AT + 1, "late", None, 101, None, 0.75, "off"),
        (AT + 300_000, None, True, None, None, None, None),
    ]
    assert list(sums(columns, rows, 300_000, {"hours"})) == [
        Sum(
            AT,
            {
                "flooded": False,
                "hours": 101,
                "level": 5.0,
                "level_min": 5,
                "level_max": 5,
                "pressure": 0.5,
                "pressure_min": 0.25,
                "pressure_max": 0.75,
                "run": "off",
                "cy_count": 2.0,
            },
        ),
        Sum(AT + 300_000, {"flooded": True, "cy_count": 1.0}),
    ]


def test_only_what_is_long_over_is_announced() -> None:
    now = AT + 6 * MINUTE
    assert late_lines([("water_pump", AT + 5 * MINUTE), ("water_pump", now)], now) == []
    assert late_lines([("water_pump", AT), ("water_pump", AT + 1), ("camera", AT - 1)], now) == [
        f"cy_late,of=camera written={float(now)} {AT - 5 * MINUTE}",
        f"cy_late,of=water_pump written={float(now)} {AT}",
    ]


def test_neighbours_are_done_together() -> None:
    keys = [("a", AT), ("a", AT + 5 * MINUTE), ("b", AT), ("a", AT + 20 * MINUTE)]
    assert stretches_of(keys, 5 * MINUTE, 60 * MINUTE) == [
        Stretch(AT, AT + 5 * MINUTE, "b"),
        Stretch(AT, AT + 10 * MINUTE, "a"),
        Stretch(AT + 20 * MINUTE, AT + 25 * MINUTE, "a"),
    ]


@pytest.mark.influxdb
def test_every_stretch_is_summed_up_once_it_is_over(night: Night) -> None:
    night.store.write([reading(n / 2, {"pressure": float(n), "run": "on"}) for n in range(240)])
    night.store.write([reading(1, {"hours": 7.0}, child="motor:1")])
    night.until(62)
    night.roll()
    five = night.level("5m")
    assert [row["time"] for row in five if not row["child"]] == [5.0 * n for n in range(12)]
    assert five[0] | {"hours": None} == {
        "time": 0.0, "building": "3", "child": None, "device": "pump-1", "site": "osmanthus", "cy_count": 10,
        "pressure": 4.5, "pressure_min": 0, "pressure_max": 9, "run": "on", "hours": None,
    }  # fmt: skip
    assert five[1]["hours"] == 7
    (hour, motor) = night.level("1h")
    assert (hour["pressure"], hour["pressure_min"], hour["pressure_max"], hour["cy_count"]) == (59.5, 0, 119, 120)
    assert (motor["child"], motor["hours"]) == ("motor:1", 7)


@pytest.mark.influxdb
def test_late_readings_are_taken_in(night: Night) -> None:
    night.store.write([reading(n, {"pressure": 1.0}) for n in range(60)])
    night.until(90)
    night.roll()
    night.store.write([reading(7.5, {"pressure": 9.0})])
    night.roll()
    assert [row["pressure_max"] for row in night.level("5m")][:3] == [1, 9, 1]
    assert night.level("1h")[0]["pressure_max"] == 9
    assert [done.stretches for done in night.rollup.run(night.now)] == [0, 0], "what was taken in is not done again"


class Counting(InfluxQl):
    """How many announcements were read, and how many questions asked."""

    announcements = 0
    questions = 0

    def stream(self, statement: str, *, rows_per_chunk: int = 5000) -> Generator[Series, None, None]:
        self.questions += 1
        for series in super().stream(statement, rows_per_chunk=rows_per_chunk):
            if series.name in (LATE, REDONE):
                self.announcements += len(series.values)
            yield series


@pytest.mark.influxdb
def test_what_was_announced_long_ago_is_not_read_at_every_run(night: Night) -> None:
    """Meters that send their log once a day announce every five minutes, as long as readings are kept."""
    for n in range(0, 600, 5):
        night.until(n + 30)
        night.store.write([reading(n, {"pressure": 1.0})])
    ql = Counting(night.server.url, "")
    with ql:
        rollup = Rollup(ql, night.store.post, {"pump": PROFILE})
        night.until(700)
        night.roll(rollup)
        ql.announcements = 0
        night.until(701)
        assert not any(done.behind for done in rollup.run(night.now))
        assert ql.announcements < 20, "of 120"
        night.store.write([reading(7.5, {"pressure": 9.0})])
        night.until(702)
        night.roll(rollup)
        assert night.level("5m")[1]["pressure_max"] == 9
        assert night.level("1h")[0]["pressure_max"] == 9
        ql.announcements = 0
        night.until(761)
        night.roll(rollup)
        assert ql.announcements >= 240, "once an hour it looks at all, for writers whose clocks are far off"


@pytest.mark.influxdb
def test_months_in_which_nothing_was_measured_are_passed_over(night: Night) -> None:
    months = 90 * 24 * 60
    night.store.write([reading(n, {"pressure": 1.0}) for n in (0, 7, months + 65)])
    night.until(2 * months)
    with Counting(night.server.url, "") as ql:
        night.roll(Rollup(ql, night.store.post, {"pump": PROFILE}))
        assert [row["time"] for row in night.level("5m")] == [0, 5, months + 65]
        assert [row["time"] for row in night.level("1h")] == [0, months + 60]
        assert ql.questions < 100, "of 4,320 hours"
        found = [sum(night.rollup.again(level, AT, AT + 2 * months * MINUTE)) for level in (FIVE_MINUTES, HOURLY)]
    assert found == [3, 2]
    night.store.write([reading(months, {"pressure": 9.0})])  # and what comes late into the middle is taken in
    night.until(2 * months + 60)
    night.roll()
    assert [row["time"] for row in night.level("1h")] == [0, months, months + 60]


@pytest.mark.influxdb
def test_a_run_that_fails_forgets_no_announcement(night: Night) -> None:
    night.store.write([reading(n, {"pressure": 1.0}) for n in range(60)])
    night.until(90)
    night.roll()
    night.until(100)
    night.store.write([reading(7.5, {"pressure": 9.0})])
    down = True

    def post(body: bytes, bucket: str) -> Verdict | None:
        if down:
            raise TelemetryUnavailable("away")
        return night.store.post(body, bucket)

    rollup = Rollup(night.ql, post, {"pump": PROFILE})
    for minutes in (100, 130, 240):
        night.until(minutes)
        with pytest.raises(TelemetryUnavailable):
            night.roll(rollup)
    down = False
    night.roll(rollup)
    assert (night.level("5m")[1]["pressure_max"], night.level("1h")[0]["pressure_max"]) == (9, 9)


@pytest.mark.influxdb
def test_a_clock_that_was_a_day_ahead_leaves_no_hole(night: Night) -> None:
    """It says that tomorrow is summed up; nothing of today would be, until it is tomorrow."""
    night.store.write([reading(n, {"pressure": 1.0}) for n in range(-60, 0)])
    night.until(30)
    night.roll()
    night.until(24 * 60 + 30)
    night.roll()
    night.until(31)
    night.roll()
    night.store.write([reading(n, {"pressure": 2.0}) for n in range(33, 180)])
    night.until(190)
    night.roll()
    assert [row["time"] for row in night.level("5m", "pressure")] == [*range(-60, 0, 5), *range(30, 180, 5)]
    assert [row["time"] for row in night.level("1h", "pressure")] == [-60, 0, 60, 120]
    night.until(24 * 60 + 30)
    night.roll()
    night.store.write([reading(24 * 60 + 31, {"pressure": 2.0})])
    night.until(24 * 60 + 60)
    night.roll()
    assert night.level("5m", "pressure")[-1]["time"] == 24 * 60 + 30


def test_a_backlog_that_drains_hours_later_is_not_missing(night: Night) -> None:
    night.store.write([reading(0, {"level": 1.0}), reading(300, {"level": 1.0})])
    night.until(310)
    night.roll()
    night.store.write([reading(n, {"pressure": float(n)}, device="pump-2") for n in range(180)])
    night.roll()
    assert sum(row["cy_count"] for row in night.level("5m") if row["device"] == "pump-2") == 180  # type: ignore[misc]
    assert [row["cy_count"] for row in night.level("1h") if row["device"] == "pump-2"] == [60, 60, 60]


@pytest.mark.influxdb
@pytest.mark.parametrize("posts", [0, 1, 2, 3, 4, 5, 7])
def test_killed_anywhere_the_next_run_gives_the_same(night: Night, posts: int) -> None:
    night.store.write([reading(n / 2, {"pressure": float(n)}) for n in range(240)])
    night.until(30)
    night.roll()
    night.store.write([reading(3.25, {"pressure": 500.0})])
    night.until(125)
    left = posts

    def dying(body: bytes, bucket: str) -> Verdict | None:
        nonlocal left
        if not left:
            raise TelemetryUnavailable("killed")
        left -= 1
        return night.store.post(body, bucket)

    with pytest.raises(TelemetryUnavailable):
        night.roll(Rollup(night.ql, dying, {"pump": PROFILE}))
    night.roll(Rollup(night.ql, night.store.post, {"pump": PROFILE}))
    assert [row["cy_count"] for row in night.level("5m")] == [11] + [10] * 23
    assert [row["cy_count"] for row in night.level("1h")] == [121, 120]
    assert night.level("1h")[0]["pressure_max"] == 500


@pytest.mark.influxdb
def test_a_stretch_can_be_done_again_by_hand(night: Night) -> None:
    night.store.write([reading(n, {"pressure": 1.0}) for n in range(60)])
    night.until(90)
    night.roll()
    # By a writer that announces nothing.
    night.server.client.post(
        "/write",
        params={"db": "telemetry", "precision": "ms"},
        content=f"water_pump,building=3,device=pump-1,site=osmanthus pressure=8 {AT + 90_500}",
    ).raise_for_status()
    night.roll()
    assert night.level("5m")[0]["pressure_max"] == 1
    assert sum(night.rollup.again(FIVE_MINUTES, AT + 1, AT + 2)) == 1
    assert sum(night.rollup.again(HOURLY, AT, AT + 60 * MINUTE)) == 1
    assert (night.level("5m")[0]["pressure_max"], night.level("1h")[0]["pressure_max"]) == (8, 8)


@pytest.mark.influxdb
def test_a_long_chart_is_drawn_from_sums_and_ends_with_what_was_just_measured(night: Night) -> None:
    days = 10
    values = [10.0] * (days * 288)
    values[1000], values[2000] = -5.0, 50.0
    night.store.write([reading(5 * n, {"pressure": value, "run": "on"}) for n, value in enumerate(values)])
    last = 5 * (len(values) - 1)
    night.until(last - 60)
    night.roll()
    store: TelemetryStore = night.store
    found = store.range(
        device="pump-1", child="", metrics=["pressure", "run"], start=0, end=AT + days * 1440 * MINUTE, limit=200
    )
    pressures = [point.value for point in found["pressure"]]
    assert (min(pressures), max(pressures)) == (-5.0, 50.0)  # type: ignore[type-var]
    assert 30 <= len(pressures) <= 200
    assert found["pressure"][0].at <= AT + 60 * MINUTE
    assert found["pressure"][-1].at >= AT + (last - 120) * MINUTE
    assert found["run"][0].value == "on"


@pytest.mark.influxdb
def test_what_was_measured_and_is_forgotten_is_drawn_from_sums(night: Night) -> None:
    night.store.write([reading(n, {"pressure": float(n)}) for n in range(120)])
    night.until(125)
    night.roll()
    night.server.query(f"DELETE FROM water_pump WHERE time < {AT + 60 * MINUTE}ms")
    for at, values in ((0, {"pressure": 29.5, "pressure_min": 0.0, "pressure_max": 59.0}),):
        # DELETE takes the points of every level: those of the hour are written again, as if only the raw one forgot.
        fields = ",".join(f"{name}={value}" for name, value in values.items())
        line = f"water_pump,building=3,device=pump-1,site=osmanthus {fields},cy_count=60 {AT + at}"
        assert night.store.post(line.encode(), HOURLY.bucket) is None
    found = night.store.range(device="pump-1", child="", metrics=["pressure"], start=AT, end=AT + 120 * MINUTE)
    assert [point.value for point in found["pressure"]][:3] == [0.0, 59.0, 60.0]
    assert len(found["pressure"]) == 62
