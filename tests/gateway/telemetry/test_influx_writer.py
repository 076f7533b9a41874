"""What is written to a real InfluxDB is what was measured, and what it does not take costs nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.reading import DeviceEntry, Reading, Registry
from gateway.telemetry import TelemetryUnavailable
from gateway.telemetry.refused import listing, total
from gateway.telemetry.verdict import Verdict
from tests.fixtures_influxdb import Influx
from tests.gateway.telemetry.influx_kit import count, database, reading, server, shared, writer
from tests.gateway.telemetry.test_lines import AT

__all__ = ["database", "shared"]

HOUR = 3_600_000
WEEK = 168 * HOUR

names = (
    st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" ,=\"'\\%{}$#泵"), min_size=1, max_size=20)
    .filter(lambda name: name.isprintable() and not name.endswith("\\"))
    .map(lambda name: "pump:" + name)
)
words = st.text(st.characters(exclude_categories=("Cs",), include_characters='\n"\\, ='), max_size=30)
numbers = st.floats(allow_nan=False, allow_infinity=False, max_value=1.7e308, min_value=-1.7e308)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(names, names, words, numbers), min_size=1, max_size=12))
def test_names_and_values_come_back_as_they_were(
    database: Influx, tmp_path: Path, rows: list[tuple[str, str, str, float]]
) -> None:
    database.query("DROP MEASUREMENT water_pump")
    written = {(device, child): (word, number) for device, child, word, number in rows}
    with writer(database.url, tmp_path) as store:
        store.write([reading(0, device, child, running=w, flow=x) for (device, child), (w, x) in written.items()])
        assert store.refused == 0
    (series,) = database.query("SELECT device, child, running, flow FROM water_pump")
    assert series["columns"] == ["time", "device", "child", "running", "flow"]
    back = {(device, child): (word, float(x)) for _, device, child, word, x in series["values"]}  # type: ignore[attr-defined]
    assert back == written


@pytest.mark.parametrize("gzip", [False, True])
def test_written_twice_is_written_once(database: Influx, tmp_path: Path, gzip: bool) -> None:
    with writer(database.url, tmp_path, gzip=gzip) as store:
        for _ in range(2):
            store.write([reading(n) for n in range(12_000)])
    assert count(database, "flow") == 12_000


def test_of_two_values_for_one_time_the_later_one_stays(database: Influx, tmp_path: Path) -> None:
    with writer(database.url, tmp_path) as store:
        store.write([reading(0, flow=1.0), *(reading(n) for n in range(1, 6000)), reading(0, flow=2.0, running="on")])
    (series,) = database.query(f"SELECT flow, running FROM water_pump WHERE time = {AT}ms")
    assert series["values"] == [[AT, 2, "on"]]


def test_one_bad_line_among_five_thousand_is_set_aside_alone(database: Influx, tmp_path: Path) -> None:
    """The week before, somebody else wrote words where we have numbers; one reading comes from that week."""
    database.client.post("/write?db=telemetry&precision=ms", content=f'water_pump flow="x" {AT - 2 * WEEK}')
    late = Reading("pump-1", "", AT - 2 * WEEK + 1, AT, "t", {"flow": 7.0, "pressure": 8.0}, profile="pump")
    with writer(database.url, tmp_path) as store:
        store.write([*(reading(n) for n in range(2500)), late, *(reading(n) for n in range(2500, 4999))])
        assert store.refused == 1
    (entry,) = listing(tmp_path / "refused.db")
    assert (entry.device, entry.measured_at, entry.field, entry.value) == ("pump-1", late.measured_at, "flow", "7.0")
    assert "another type in the database" in entry.reason
    assert "already exists as type string" in entry.reason
    assert count(database, "pressure") == 5000, "its other value is stored"
    (recent,) = database.query(f"SELECT COUNT(flow) FROM water_pump WHERE time >= {AT}ms")
    assert recent["values"] == [[AT, 4999]]


def test_thousands_in_conflict_among_others_are_told_apart_in_few_requests(
    database: Influx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A week has words where we have numbers; what is delivered late comes one by one between what is measured now."""
    database.client.post("/write?db=telemetry&precision=ms", content=f'water_pump flow="x" {AT - 2 * WEEK}')
    of_that_week = (AT - 2 * WEEK + n for n in range(1, 2000))
    late = [Reading("pump-1", "", at, AT, "t", {"flow": 7.0, "pressure": 8.0}, profile="pump") for at in of_that_week]
    requests = 0
    with writer(database.url, tmp_path) as store:
        post = store.post

        def counted(body: bytes) -> Verdict | None:
            nonlocal requests
            requests += 1
            return post(body)

        monkeypatch.setattr(store, "post", counted)
        store.write([one for n, said in enumerate(late) for one in (said, reading(n))])
        assert store.refused == len(late)
    assert requests < 100
    assert count(database, "pressure") == 2 * len(late)


def test_several_fields_in_conflict_cost_themselves_only(database: Influx, tmp_path: Path) -> None:
    database.client.post("/write?db=telemetry&precision=ms", content=f'water_pump flow="x",running=1 {AT}')
    with writer(database.url, tmp_path) as store:
        for _ in range(2):
            store.write([reading(n, flow=1.0, pressure=2.0, running="on") for n in range(300)])
        assert store.refused == 600, "told twice, counted once"
    assert count(database, "pressure") == 300
    assert {entry.field for entry in listing(tmp_path / "refused.db", 1000)} == {"flow", "running"}


def test_what_is_older_than_the_database_keeps_is_set_aside(database: Influx, tmp_path: Path) -> None:
    """History that is brought over, half of it too old: said in two requests, not in one per point."""
    database.query("ALTER RETENTION POLICY autogen ON telemetry DURATION 1000w")
    ages = [0, 10_000 * 86_400_000, 1]
    mixed = [
        Reading("pump-1", "", AT + n - ages[n % 2], AT + n, "t", {"flow": 1.0}, profile="pump") for n in range(5000)
    ]
    with writer(database.url, tmp_path) as store:
        store.write(mixed)
        assert store.refused == 2500
    assert count(database, "flow") == 2500
    assert listing(tmp_path / "refused.db")[0].reason == "older than what the database keeps"


def test_what_we_refuse_ourselves_is_listed_as_well(database: Influx, tmp_path: Path) -> None:
    with writer(database.url, tmp_path) as store:
        store.write([reading(0, flow="fast", pressure=1.0)])
        assert (store.refused, total(tmp_path / "refused.db")) == (1, 1)
    with writer(database.url, tmp_path) as after_a_restart:
        assert after_a_restart.refused == 1
    assert count(database, "pressure") == 1


def test_a_request_that_is_too_large_is_halved(tmp_path: Path) -> None:
    with (
        server(tmp_path, INFLUXDB_HTTP_MAX_BODY_SIZE="30000") as small,
        writer(small.url, tmp_path) as store,
    ):
        store.write([reading(n) for n in range(3000)])
        assert (count(small, "flow"), store.refused) == (3000, 0)


def test_a_wrong_token_is_said_and_costs_nothing(tmp_path: Path) -> None:
    with server(tmp_path) as guarded:
        guarded.query("CREATE USER cy WITH PASSWORD 'se:cret' WITH ALL PRIVILEGES")
        guarded.kill()
        guarded.set("INFLUXDB_HTTP_AUTH_ENABLED", "true")
        guarded.start()
        for token in ("", "cy:wrong"):
            with (
                writer(guarded.url, tmp_path, token=token) as store,
                pytest.raises(TelemetryUnavailable, match="COURTYARD_INFLUX_TOKEN"),
            ):
                store.write([reading(1)])
        with writer(guarded.url, tmp_path, token="cy:se:cret") as store:
            store.write([reading(1)])
            assert store.refused == 0


def test_a_database_that_is_not_set_up_is_said_with_the_step_to_take(database: Influx, tmp_path: Path) -> None:
    database.query("DROP DATABASE telemetry")
    with writer(database.url, tmp_path) as store:
        with pytest.raises(TelemetryUnavailable, match="courtyard telemetry setup"):
            store.write([reading(1)])
        database.query("CREATE DATABASE telemetry")
        store.write([reading(1)])
        assert (count(database, "flow"), store.refused) == (1, 0)


def test_history_moves_to_the_new_name_on_every_level(database: Influx, tmp_path: Path) -> None:
    database.query('CREATE RETENTION POLICY "1h" ON telemetry DURATION 0s REPLICATION 1')
    old, new = "pump:a, b='c'\\d", "pump-1"
    hourly = f"water_pump,device=pump-2 flow=1 {AT}\nwater_pump,device=pump:x flow=3 {AT + HOUR}"
    database.client.post("/write?db=telemetry&rp=1h&precision=ms", content=hourly)
    with writer(database.url, tmp_path) as store:
        store.write([reading(n, old, f"port:{n % 2}", flow=1.0, running='o"n', dry=True) for n in range(6000)])
        store.write([reading(0, new, "port:0", flow=9.0), reading(0, "pump-2")])
        for _ in range(2):  # the second time nothing is left
            store.rename(old, new)
            store.rename("pump:x", "pump-2")
    (moved,) = database.query("SELECT * FROM water_pump WHERE device = 'pump-1' LIMIT 2")
    rows = [dict(zip(moved["columns"], row, strict=True)) for row in moved["values"]]  # type: ignore[call-overload, attr-defined]
    assert rows[0] == rows[0] | {"time": AT, "flow": 9, "running": None}, "what stands under the new name stays"
    place = {"site": "osmanthus", "building": "3", "child": "port:1"}
    assert rows[1] == rows[1] | place | {"time": AT + 1, "flow": 1, "running": 'o"n', "dry": True}
    assert count(database, "flow") == 6000 + 1
    (hours,) = database.query('SELECT device, flow FROM "1h".water_pump')
    assert hours["values"] == [[AT, "pump-2", 1], [AT + HOUR, "pump-2", 3]]
    devices = database.query('SHOW TAG VALUES WITH KEY = "device"')[0]["values"]
    assert devices == [["device", "pump-1"], ["device", "pump-2"]]


def test_what_is_written_under_the_old_name_meanwhile_is_moved_by_the_next_call(
    database: Influx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway hears of the new name some seconds later; its ports do not speak in the order of their times."""
    with writer(database.url, tmp_path) as store:
        store.write([reading(100, "pump:was", "port:1"), reading(50, "pump:1", "port:2")])
        post = store.post

        def interrupted(body: bytes, bucket: str) -> Verdict | None:
            said = post(body, bucket)
            post(f"water_pump,device=pump:was,child=port:2 flow=60 {AT + 60}".encode())
            return said

        monkeypatch.setattr(store, "post", interrupted)
        store.rename("pump:was", "pump-1")
        monkeypatch.setattr(store, "post", post)
        store.rename("pump:was", "pump-1")
    found = database.query("SELECT flow, device FROM water_pump")
    assert found[0]["values"] == [[AT + n, n, "pump-1"] for n in (50, 60, 100)]


def test_a_device_without_history_is_renamed_in_one_question(tmp_path: Path, database: Influx) -> None:
    with writer(
        database.url, tmp_path, registry=Registry(version="1", devices=[DeviceEntry("a", "pump", "a", "s")])
    ) as store:
        store.write([reading(1)])
        store.rename("pump:nobody", "a")
    assert count(database, "flow") == 1
