"""The embedded time series: what is written comes back, once, thinned without hiding its extremes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reading import Quality, Reading, Value
from gateway.telemetry import Point
from gateway.telemetry.sqlite import SqliteTelemetry
from gateway.telemetry.thinning import thin

START = 1_700_000_000_000


def reading(
    at: int, values: dict[str, Value], *, device: str = "pump-set-1", child: str = "", binding: str = "t"
) -> Reading:
    return Reading(device=device, child=child, measured_at=at, received_at=at, binding=binding, values=values)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteTelemetry]:
    made = SqliteTelemetry(tmp_path / "telemetry.db")
    made.start()
    yield made
    made.close()


def test_a_range_holds_its_start_and_not_its_end(store: SqliteTelemetry) -> None:
    store.write([reading(START + n, {"outlet_pressure": n / 10}) for n in range(5)])
    found = store.range(device="pump-set-1", child="", metrics=["outlet_pressure"], start=START + 1, end=START + 4)
    assert found == {"outlet_pressure": [Point(START + n, n / 10) for n in (1, 2, 3)]}


def test_writing_the_same_reading_again_changes_nothing(store: SqliteTelemetry) -> None:
    batch = [reading(START + n, {"outlet_pressure": 0.3, "run": "running"}) for n in range(10)]
    store.write(batch)
    store.write(batch)
    assert store.count() == 10


def test_two_bindings_at_the_same_time_are_two_readings(store: SqliteTelemetry) -> None:
    store.write([reading(START, {"a": 1.0}), reading(START, {"b": 2.0}, binding="other")])
    found = store.range(device="pump-set-1", child="", metrics=["a", "b"], start=START, end=START + 1)
    assert found == {"a": [Point(START, 1.0)], "b": [Point(START, 2.0)]}


def test_children_and_devices_are_kept_apart(store: SqliteTelemetry) -> None:
    store.write(
        [
            reading(START, {"current": 5.0}, child="pump:1"),
            reading(START, {"current": 6.0}, child="pump:2"),
            reading(START, {"current": 7.0}, device="pump-set-2", child="pump:1"),
        ]
    )
    found = store.range(device="pump-set-1", child="pump:2", metrics=["current"], start=0, end=START + 1)
    assert found == {"current": [Point(START, 6.0)]}


def test_missing_is_not_zero_and_erased_is_said(store: SqliteTelemetry) -> None:
    store.write([reading(START, {"a": 1.0}), reading(START + 1, {"b": 0.0}), reading(START + 2, {"a": None})])
    found = store.range(device="pump-set-1", child="", metrics=["a"], start=START, end=START + 10)
    assert found == {"a": [Point(START, 1.0), Point(START + 2, None)]}


def test_readings_survive_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        store = SqliteTelemetry(tmp_path / "t.db")
        store.start()
        store.write([reading(START, {"a": 1.0}), reading(START, {"a": 2.0}, child="pump:1")])
        store.close()
    store = SqliteTelemetry(tmp_path / "t.db")
    store.start()
    assert store.count() == 2
    store.close()


def test_old_readings_go_and_newer_stay(store: SqliteTelemetry) -> None:
    store.write([reading(START + n, {"a": 1.0}) for n in range(100)])
    assert store.expire(START + 40) == 40
    assert store.count() == 60


def test_quality_and_events_without_values_leave_no_row(store: SqliteTelemetry) -> None:
    store.write([Reading("d", "", START, START, "t", {}, quality=Quality.GOOD)])
    assert store.count() == 0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=3000), st.integers(4, 200))
def test_thinning_keeps_the_extremes_in_order_and_the_limit(values: list[float], limit: int) -> None:
    points = [Point(START + n, value) for n, value in enumerate(values)]
    kept = thin(points, limit)
    assert len(kept) <= max(limit, 4)
    assert {min(values), max(values)} <= {p.value for p in kept}
    assert [p.at for p in kept] == sorted({p.at for p in kept})
    assert set(kept) <= set(points)


def test_a_long_range_is_thinned_while_reading_and_keeps_its_spikes(store: SqliteTelemetry) -> None:
    spikes = {1234: 9.9, 4321: -9.9}
    store.write(
        [
            reading(START + n * 1000, {"a": spikes.get(n, n % 10 / 10), "run": "on" if n < 3000 else "off"})
            for n in range(6000)
        ]
    )
    found = store.range(device="pump-set-1", child="", metrics=["a", "run"], start=0, end=START * 2, limit=200)
    assert 150 <= len(found["a"]) <= 200
    assert {9.9, -9.9} <= {p.value for p in found["a"]}
    assert found["run"] == [Point(START, "on"), Point(START + 3_000_000, "off")]


def test_a_flutter_is_drawn_within_the_limit(store: SqliteTelemetry) -> None:
    store.write([reading(START + n, {"run": "on" if n % 2 else "off"}) for n in range(5000)])
    found = store.range(device="pump-set-1", child="", metrics=["run"], start=0, end=START * 2, limit=100)["run"]
    assert 20 <= len(found) <= 100
    assert [p.at for p in found] == sorted(p.at for p in found)


def test_thinning_words_keeps_the_changes() -> None:
    points = [Point(START + n, "running" if n < 500 else "fault") for n in range(1000)]
    assert thin(points, 100) == [points[0], points[500]]


# --- a device gets its name ------------------------------------------------------------------------------------------


def test_history_goes_with_the_device_and_comes_back_with_it(tmp_path: Path) -> None:
    store = SqliteTelemetry(tmp_path / "t.db")
    store.start()

    def points(device: str) -> list[tuple[int, Value]]:
        found = store.range(device=device, child="", metrics=["m"], start=0, end=100)["m"]
        return [(point.at, point.value) for point in found]

    def write(device: str, at: int, value: float, binding: str = "b") -> None:
        store.write([Reading(device, "", at, at, binding, {"m": value})])

    write("kind:A", 1, 1.0)
    write("real", 2, 2.0)
    write("kind:A", 2, 9.0)
    write("kind:A", 3, 3.0, "other")
    for _ in range(2):
        store.rename("kind:A", "real")
        assert points("real") == [(1, 1.0), (2, 2.0), (3, 3.0)], "where both have a reading, the device's own stays"
        assert points("kind:A") == []
    write("kind:A", 4, 4.0)  # a gateway that does not know yet
    assert points("kind:A") == [(4, 4.0)]
    store.rename("kind:A", "real")
    assert points("real")[-1] == (4, 4.0)
    store.close()
    store.start()
    store.rename("real", "kind:A")
    assert points("kind:A") == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]
    write("real", 5, 5.0)
    assert points("real") == [(5, 5.0)]
    store.close()


def test_a_cap_in_bytes_takes_the_oldest_first(tmp_path: Path) -> None:
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    store.start()
    word = "x" * 200
    for hour in range(40):
        store.write([Reading(f"d{n}", "", hour * 3_600_000 + n, 1, "b", {"word": word}) for n in range(100)])
    cap = store.used_bytes() // 2
    gone = store.shrink(cap)
    assert cap * 0.8 < store.used_bytes() <= cap
    assert 1800 < gone < 3200  # half of them, and what it takes until whole pages are free
    assert store.given_up == gone
    left = store.range(device="d1", child="", metrics=["word"], start=0, end=2**53)["word"]
    assert left[-1].at == 39 * 3_600_000 + 1, "the newest stays"
    assert left[0].at > 15 * 3_600_000, "the oldest went"
    assert store.shrink(cap) == 0, "what fits is left alone"
    store.close()


def test_a_cap_below_a_single_reading_ends(tmp_path: Path) -> None:
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    store.start()
    store.write([Reading("d", "", 1, 1, "b", {"x": 1.0})])
    assert store.shrink(1) <= 1
    store.close()
