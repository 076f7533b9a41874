"""One suite for every time series: SQLite beside the product, and a real InfluxDB.

An InfluxDB 2 is tried too where COURTYARD_TEST_INFLUX_URL (with …_TOKEN and …_ORG) names one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from device_profiles.schema import DeviceProfile
from device_profiles.telemetry import RAW
from gateway.reading import DeviceEntry, Quality, Reading, Registry, Value
from gateway.telemetry import Only, Point, TelemetryStore, TelemetryUnavailable, retention
from gateway.telemetry.influxql import InfluxQl
from gateway.telemetry.sqlite import SqliteTelemetry
from tests.fixtures_influxdb import Influx
from tests.gateway.telemetry.influx_kit import server, writer

START = 1_800_000_000_000
URL = os.environ.get("COURTYARD_TEST_INFLUX_URL", "")
STORES = [
    "sqlite",
    pytest.param("influxdb", marks=pytest.mark.influxdb),
    *(["given"] if URL else []),
]
NAMED = {"zh": "名", "en": "Name"}
PROFILE = DeviceProfile.model_validate(
    {
        "profile": "pump",
        "family": "water_pump",
        "name": NAMED,
        "availability": {"period": "60s"},
        "children": {"motor": {"name": NAMED}},
        "metrics": {
            "pressure": {"name": NAMED},
            "level": {"name": NAMED},
            "hours": {"name": NAMED, "kind": "counter"},
        },
        "states": {"run": {"name": NAMED, "values": {"on": NAMED, "off": NAMED}}},
        "events": {"flooded": {"name": NAMED, "lasting": True}},
        "bindings": [
            {"id": "t", "topic": "pumps/{address}", "decode": [{"json": True}], "fields": {"pressure": "p"}},
        ],
    }
)


class Yard:
    """A store, and the devices of one test."""

    def __init__(self, store: TelemetryStore, name: str, unplug: Callable[[], None]) -> None:
        self.store = store
        self.pump = f"{name}-pump"
        self.unplug = unplug

    def reading(
        self, seconds: float, values: dict[str, Value], *, device: str = "", child: str = "", **more: object
    ) -> Reading:
        at = START + round(seconds * 1000)
        fields = {"received_at": at, "binding": "t", "profile": "pump"} | more
        return Reading(device=device or self.pump, child=child, measured_at=at, values=values, **fields)  # type: ignore[arg-type]

    def wrote(self, *readings: Reading) -> None:
        self.store.write(readings)

    def points(
        self,
        metric: str,
        start: float = 0,
        end: float = 10_000,
        *,
        device: str = "",
        child: str = "",
        limit: int = 2000,
    ) -> list[tuple[float, Value]]:
        found = self.store.range(
            device=device or self.pump,
            child=child,
            metrics=[metric],
            start=START + round(start * 1000),
            end=START + round(end * 1000),
            limit=limit,
        )
        return [((point.at - START) / 1000, point.value) for point in found[metric]]

    def scanned(self, devices: Sequence[str] = (), start: float = 0, end: float = 10_000) -> list[Reading]:
        where = {"start": START + round(start * 1000), "end": START + round(end * 1000)}
        return list(self.store.scan(devices=devices or [self.pump], **where))


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    with server(tmp_path_factory.mktemp("influx")) as running:
        yield running


@pytest.fixture(params=STORES)
def yard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Yard]:
    with ExitStack() as stack:
        name = request.node.name.partition("[")[0]
        if request.param == "sqlite":
            path = tmp_path / "telemetry.db"
            embedded = SqliteTelemetry(path)
            embedded.start()
            stack.callback(embedded.close)
            yield Yard(embedded, name, lambda: path.rename(tmp_path / "elsewhere.db"))
            return
        if request.param == "influxdb":
            running: Influx = request.getfixturevalue("influx")
            stack.callback(lambda: running.signal(signal.SIGCONT))
            made = Yard(stack.enter_context(_influx(tmp_path, running.url, patience=60)), name, lambda: None)
            made.unplug = lambda: _hang(stack, tmp_path, running, made)
            yield made
            return
        token, org = (os.environ.get(f"COURTYARD_TEST_INFLUX_{one}", "") for one in ("TOKEN", "ORG"))
        store = stack.enter_context(_influx(tmp_path, URL, token=token, org=org))
        yield Yard(store, name, lambda: pytest.skip("the InfluxDB that was given is not stopped"))


def _hang(stack: ExitStack, folder: Path, running: Influx, yard: Yard) -> None:
    """From here on with little patience: until here a slow machine has all the time it needs."""
    yard.store = stack.enter_context(_impatient(folder, running.url))
    running.signal(signal.SIGSTOP)


@contextmanager
def _impatient(folder: Path, url: str) -> Iterator[TelemetryStore]:
    with writer(url, folder, timeout_seconds=1.0, profile=PROFILE) as store:
        yield store


@contextmanager
def _influx(
    folder: Path, url: str, *, token: str = "", org: str = "", patience: float = 10
) -> Iterator[TelemetryStore]:
    levels = retention.wanted(raw_days=10_000, five_minutes_days=10_000, hourly_days=10_000)
    with InfluxQl(url, token, org) as ql:
        for change in retention.look(ql, url=url, token=token, org=org, levels=levels).changes:
            change.carry_out()
    places = Registry(version="1", devices=[entry("pump-1")])
    with writer(url, folder, token=token, org=org, timeout_seconds=patience, profile=PROFILE, registry=places) as store:
        yield store


def entry(device: str) -> DeviceEntry:
    return DeviceEntry(id=device, profile="pump", address=device, site="osmanthus", building="3")


def test_a_range_holds_its_start_and_not_its_end(yard: Yard) -> None:
    yard.wrote(*(yard.reading(n, {"pressure": n / 10}) for n in range(5)))
    assert yard.points("pressure", 1, 4) == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_writing_again_changes_nothing(yard: Yard) -> None:
    batch = [yard.reading(n, {"pressure": n + 0.5, "run": "on"}) for n in range(20)]
    yard.wrote(*batch)
    before = yard.scanned()
    yard.wrote(*batch)
    yard.wrote(*reversed(batch))
    assert len(before) == 20
    assert yard.scanned() == before


def test_what_comes_late_takes_its_place(yard: Yard) -> None:
    yard.wrote(yard.reading(10, {"pressure": 1.0}), yard.reading(30, {"pressure": 3.0}))
    late = yard.reading(20, {"pressure": 2.0}, received_at=START + 7_200_000, quality=Quality.LATE)
    yard.wrote(late)
    assert yard.points("pressure") == [(10, 1.0), (20, 2.0), (30, 3.0)]
    found = yard.scanned()
    assert [(one.measured_at, one.quality) for one in found][1] == (START + 20_000, Quality.LATE)
    assert found[1].received_at == START + 7_200_000


def test_a_device_and_its_children_are_kept_apart(yard: Yard) -> None:
    other = f"{yard.pump}-2"
    yard.wrote(
        yard.reading(0, {"pressure": 4.0}),
        yard.reading(0, {"pressure": 5.0}, child="motor:1"),
        yard.reading(0, {"pressure": 6.0}, child="motor:2"),
        yard.reading(0, {"pressure": 7.0}, device=other, child="motor:1"),
    )
    assert yard.points("pressure") == [(0, 4.0)]
    assert yard.points("pressure", child="motor:2") == [(0, 6.0)]
    assert yard.points("pressure", child="motor:1", device=other) == [(0, 7.0)]
    assert yard.points("pressure", child="motor:3") == []


def test_words_truth_values_and_numbers_keep_their_types(yard: Yard) -> None:
    yard.wrote(
        yard.reading(0, {"run": "on", "flooded": False, "level": 5}),
        yard.reading(1, {"run": "off", "flooded": True, "level": 0.0, "hours": 12345678.0}),
    )
    assert yard.points("run") == [(0, "on"), (1, "off")]
    assert [value for _, value in yard.points("flooded")] == [False, True]
    assert all(isinstance(value, bool) for _, value in yard.points("flooded"))
    assert yard.points("level") == [(0, 5.0), (1, 0.0)]
    assert yard.scanned()[1].values == {"run": "off", "flooded": True, "level": 0.0, "hours": 12345678.0}


def test_what_is_missing_is_not_zero(yard: Yard) -> None:
    """A store that cannot keep an erased value leaves it out; none makes a number of it."""
    yard.wrote(yard.reading(0, {"pressure": 1.0}), yard.reading(1, {"level": 0.0}), yard.reading(2, {"pressure": None}))
    found = yard.points("pressure")
    assert found[0] == (0, 1.0)
    assert found[1:] in ([], [(2, None)])
    assert yard.points("level") == [(1, 0.0)]


def test_a_metric_that_nobody_has_is_an_empty_list(yard: Yard) -> None:
    yard.wrote(yard.reading(0, {"pressure": 1.0}))
    found = yard.store.range(device=yard.pump, child="", metrics=["pressure", "nonesuch"], start=0, end=START * 2)
    assert found == {"pressure": [Point(START, 1.0)], "nonesuch": []}


@pytest.mark.parametrize(
    "tail",
    [
        "'",
        '"',
        'a\'; DROP MEASUREMENT "water_pump"; --',
        "b,site=x",
        "c =d",
        "e\\f",
        "桂花苑 3 号楼",
        "%00 $x {y}",
        "/.*/",
    ],
)
def test_names_are_names_whatever_they_hold(yard: Yard, tail: str) -> None:
    hostile = f"{yard.pump}-{tail}"
    yard.wrote(
        yard.reading(0, {"pressure": 1.0}, device=hostile, child=f"motor:{tail}"), yard.reading(0, {"pressure": 2.0})
    )
    assert yard.points("pressure", device=hostile, child=f"motor:{tail}") == [(0, 1.0)]
    assert yard.points("pressure", device=hostile) == []
    assert [one.device for one in yard.scanned([hostile])] == [hostile]
    assert yard.points("pressure") == [(0, 2.0)]


@pytest.mark.parametrize("asked", ["\0", "line\nbreak", "'", "\\", "x' OR 'a' = 'a"])
def test_asking_for_names_that_cannot_be_finds_nothing(yard: Yard, asked: str) -> None:
    yard.wrote(yard.reading(0, {"pressure": 1.0}))
    assert yard.points("pressure", device=asked) == []
    assert yard.points("pressure", child=asked) == []
    assert yard.points(asked if asked != "\0" else "none") == []
    assert yard.scanned([asked]) == []


def test_thinning_hides_no_extreme(yard: Yard) -> None:
    values = [10.0 + n % 7 for n in range(5000)]
    values[1234], values[4321] = -99.0, 99.0
    yard.wrote(*(yard.reading(n, {"pressure": value}) for n, value in enumerate(values)))
    found = yard.points("pressure", limit=200)
    assert 50 <= len(found) <= 200
    assert (1234, -99.0) in found
    assert (4321, 99.0) in found
    assert [at for at, _ in found] == sorted(at for at, _ in found)


def test_thinning_keeps_the_changes_of_a_state(yard: Yard) -> None:
    yard.wrote(*(yard.reading(n, {"run": "off" if 2000 <= n < 2003 else "on"}) for n in range(4000)))
    assert yard.points("run", limit=100) == [(0, "on"), (2000, "off"), (2003, "on")]


def test_a_long_range_is_all_there(yard: Yard) -> None:
    """Nothing was summed up yet: what was measured is drawn, however long ago the range begins."""
    day = 86_400
    yard.wrote(*(yard.reading(n * day / 4, {"pressure": float(n)}) for n in range(40)))
    found = yard.points("pressure", -10_000 * day, 20 * day)
    assert {value for _, value in found} == {float(n) for n in range(40)}
    assert [value for _, value in found] == [float(n) for n in range(40)]


def test_a_scan_gives_every_reading_once_and_in_order(yard: Yard) -> None:
    devices = [f"{yard.pump}-{n}" for n in range(7)]
    written = [
        yard.reading(n * 10 + index % 3, {"pressure": float(n)}, device=device, child="motor:1" if n % 5 == 0 else "")
        for n in range(900)
        for index, device in enumerate(devices)
    ]
    yard.wrote(*written)
    found = yard.scanned(devices[:6], 0, 9000)
    order = [(one.measured_at, one.device, one.child) for one in found]
    assert order == sorted((one.measured_at, one.device, one.child) for one in written if one.device != devices[6])
    assert {one.values["pressure"] for one in found} == {float(n) for n in range(900)}


def test_a_scan_holds_its_start_and_not_its_end(yard: Yard) -> None:
    yard.wrote(*(yard.reading(n, {"pressure": float(n)}) for n in range(10)))
    assert [one.values["pressure"] for one in yard.scanned(start=2, end=5)] == [2.0, 3.0, 4.0]
    assert yard.scanned(start=5, end=5) == []
    assert yard.scanned([f"{yard.pump}-none"]) == []


def test_a_scan_may_be_left_in_the_middle(yard: Yard) -> None:
    yard.wrote(*(yard.reading(n, {"pressure": float(n)}) for n in range(9000)))
    scan = yard.store.scan(devices=[yard.pump], start=START, end=START + 9_000_000)
    assert next(scan).values == {"pressure": 0.0}
    scan.close()  # type: ignore[attr-defined]
    assert len(yard.points("pressure", 0, 10)) == 10


def test_a_renamed_device_brings_its_history_along(yard: Yard) -> None:
    old, new = f"{yard.pump}-old", f"{yard.pump}-new"
    yard.wrote(
        yard.reading(0, {"pressure": 1.0}, device=old),
        yard.reading(1, {"run": "on"}, device=old, child="motor:1"),
        yard.reading(2, {"pressure": 9.0}, device=old),
        yard.reading(2, {"pressure": 2.0}, device=new),
    )
    for _ in range(2):
        yard.store.rename(old, new)
        assert yard.points("pressure", device=old) == []
        assert yard.points("pressure", device=new) == [(0, 1.0), (2, 2.0)]
        assert yard.points("run", device=new, child="motor:1") == [(1, "on")]
    yard.wrote(yard.reading(5, {"pressure": 5.0}, device=old))
    assert yard.points("pressure", device=old) == [(5, 5.0)]


def test_a_store_that_cannot_be_reached_says_so(yard: Yard) -> None:
    yard.wrote(yard.reading(0, {"pressure": 1.0}))
    yard.unplug()
    with pytest.raises(TelemetryUnavailable):
        yard.points("pressure")
    with pytest.raises(TelemetryUnavailable):
        yard.scanned()


def test_the_database_as_measured_is_the_default_level(influx: Influx) -> None:
    (policies,) = influx.query("SHOW RETENTION POLICIES")
    assert RAW.name in str(policies)


# --- only what is looked at ----------------------------------------


def test_a_scan_gives_only_what_is_asked_for(yard: Yard) -> None:
    yard.wrote(
        yard.reading(0, {"pressure": 0.4, "level": 12.0}),
        yard.reading(10, {"level": 13.0}),
        yard.reading(20, {"pressure": 0.5}, child="zone:1", quality=Quality.LATE, received_at=START + 60_000),
    )

    def scanned(only: Only | None = None) -> list[Reading]:
        return list(yard.store.scan(devices=[yard.pump], start=START, end=START + 60_000, only=only))

    everything, kept = scanned(), scanned(Only(frozenset({"pressure"})))
    assert [(one.measured_at, one.values) for one in kept] == [
        (START, {"pressure": 0.4}),
        (START + 10_000, {}),
        (START + 20_000, {"pressure": 0.5}),
    ]
    left = scanned(Only(frozenset({"pressure", "unheard_of"}), "left_out"))
    assert left == [kept[0], kept[2]]
    assert left[1] == everything[2]
    assert scanned(Only(frozenset({"unheard_of"}), "left_out")) == []


def test_a_scan_says_that_it_goes_on_and_may_be_ended_then(yard: Yard) -> None:
    yard.wrote(*(yard.reading(n, {"pressure": 0.4}) for n in range(10)))
    looks: list[int] = []

    def scanned(looked: Callable[[], None]) -> list[Reading]:
        return list(yard.store.scan(devices=[yard.pump], start=START, end=START + 60_000, looked=looked))

    assert (len(scanned(lambda: looks.append(1))), len(looks) > 0) == (10, True)

    def enough() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        scanned(enough)
