"""`courtyard telemetry`: a site moves from its own file to a real InfluxDB, and is looked after there."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from device_profiles.library import SHIPPED, load
from gateway.reading import Reading, Value
from gateway.telemetry.lines import Refused
from gateway.telemetry.refused import FILE, RefusedPoints
from gateway.telemetry.sqlite import SqliteTelemetry
from services import migrations
from services.cli.main import app
from services.database import Database
from services.demo import SITE
from services.settings import Settings
from services.sites.importer import import_site
from services.sites.store import device_entries
from tests.fixtures_influxdb import Influx
from tests.gateway.telemetry.influx_kit import server

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)  # InfluxDB keeps by its own clock
BEGIN = NOW - timedelta(hours=5)
AT = int(BEGIN.timestamp() * 1000)


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    with server(tmp_path_factory.mktemp("influx")) as running:
        yield running


@pytest.fixture
def pump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A pump of the demo site, in the data folder of an installation with the embedded time series: three hours, a
    reading a minute."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"COURTYARD_{name.upper()}", raising=False)
    monkeypatch.setenv("COURTYARD_DATA_DIR", str(tmp_path))
    database = Database.sqlite(tmp_path / "courtyard.db")
    database.start()
    migrations.upgrade(database)
    import_site(database, SITE, load(SHIPPED), NOW)
    with database.read() as connection:
        device = next(entry.id for entry in device_entries(connection) if entry.profile == "booster_set")
    database.close()
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    store.start()
    store.write([_reading(device, minute, {"tank_level": float(minute % 100)}) for minute in range(180)])
    store.write([_reading(device, 1, {"run_hours": 9.0}, child="pump:1")])
    store.close()
    return device


@pytest.fixture
def moved(influx: Influx, pump: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, with an InfluxDB in its settings that knows nothing yet."""
    influx.query("DROP DATABASE telemetry")
    monkeypatch.setenv("COURTYARD_INFLUX_URL", influx.url)
    return pump


def _reading(device: str, minute: int, values: dict[str, Value], child: str = "") -> Reading:
    at = AT + minute * 60_000
    return Reading(device, child, at, at, "t", values)


def run(*words: str) -> str:
    done = CliRunner().invoke(app, ["telemetry", *words])
    assert done.exit_code == 0, done.output
    return done.output


def refusal(*words: str) -> str:
    done = CliRunner().invoke(app, ["telemetry", *words])
    assert done.exit_code == 1, done.output
    return " ".join(done.output.split())


@pytest.mark.influxdb
def test_setup_says_first_then_does_and_does_it_once(moved: str, influx: Influx) -> None:
    plan = run("setup", "--dry-run")
    assert "would make the database telemetry" in plan
    assert "would make the retention policy 5m, which keeps 400 d" in plan
    assert "telemetry" not in str(influx.query("SHOW DATABASES"))
    assert "is set up" in run("setup")
    assert "keep what the settings say" in run("setup")
    policies = {row[0]: (row[1], row[-1]) for row in influx.query("SHOW RETENTION POLICIES")[0]["values"]}  # type: ignore[attr-defined]
    assert policies == {"autogen": ("720h0m0s", True), "5m": ("9600h0m0s", False), "1h": ("43920h0m0s", False)}


@pytest.mark.influxdb
def test_setup_follows_the_settings(moved: str, influx: Influx, monkeypatch: pytest.MonkeyPatch) -> None:
    run("setup")
    monkeypatch.setenv("COURTYARD_INFLUX_RAW_DAYS", "7")
    assert json.loads(run("setup", "--dry-run", "--json"))["changes"] == [
        "let the retention policy autogen keep 7 d, and forget what is older"
    ]
    run("setup")
    assert "168h0m0s" in str(influx.query("SHOW RETENTION POLICIES"))


@pytest.mark.influxdb
def test_a_site_moves_with_its_history(moved: str, tmp_path: Path, influx: Influx) -> None:
    assert "run `courtyard telemetry setup`" in refusal("export", moved)
    run("setup")
    assert "181 readings copied" in run("copy")
    assert "\n0 readings copied" in run("copy"), "the second time goes on where the first one ended"
    assert "181 readings copied" in run("copy", "--again")
    target = tmp_path / "pump.csv"
    assert "181 values" in run("export", moved, "--from", f"{BEGIN:%Y-%m-%dT%H:%M}", "--csv", str(target))
    rows = list(csv.DictReader(target.read_text(encoding="utf-8-sig").splitlines()))
    assert rows[0] == {
        "time": f"{BEGIN:%Y-%m-%dT%H:%M}:00.000+00:00", "device": moved, "child": "", "metric": "tank_level",
        "value": "0.0", "quality": "good", "received": f"{BEGIN:%Y-%m-%dT%H:%M}:00.000+00:00",
    }  # fmt: skip
    assert rows[2]["child"] == "pump:1"
    (sites,) = influx.query('SHOW TAG VALUES FROM water_pump WITH KEY = "site"')
    assert [row[1] for row in sites["values"]] == ["osmanthus"]  # type: ignore[attr-defined]


@pytest.mark.influxdb
def test_what_is_due_is_summed_up_and_said(moved: str) -> None:
    run("setup")
    run("copy")
    points = json.loads(run("rollup", "--json"))["points"]
    assert points == {"5m": 37, "1h": 4}
    assert json.loads(run("rollup", "--json"))["points"] == {"5m": 0, "1h": 0}
    again = json.loads(run("rollup", "--from", f"{BEGIN:%Y-%m-%dT%H:%M}", "--to", f"{NOW:%Y-%m-%dT%H:%M}", "--json"))
    assert again["points"] == points
    status = json.loads(run("status", "--json"))
    assert status["store"].startswith("InfluxDB 1.")
    assert status["waiting"] == 0
    raw, five, hour = status["levels"]
    assert (raw["oldest"], raw["newest"]) == (AT, AT + 179 * 60_000)
    assert (five["oldest"], five["newest"]) == (AT, AT + 175 * 60_000)
    assert hour["newest"] == AT + 120 * 60_000
    assert hour["until"] >= AT + 180 * 60_000
    assert "Nothing waits" in run("status")


def test_the_embedded_time_series_has_a_status_and_an_export(pump: str) -> None:
    status = json.loads(run("status", "--json"))
    assert status["levels"] == [{"name": "raw", "oldest": AT, "newest": AT + 179 * 60_000, "until": None}]
    lines = run("export", pump, "--from", f"{BEGIN:%Y-%m-%dT%H:%M}").splitlines()
    assert lines[0] == "time,device,child,metric,value,quality,received"
    assert len(lines) == 182


def test_an_export_without_values_says_so(pump: str) -> None:
    answer = CliRunner().invoke(app, ["telemetry", "export", "pump-set-1", "--from", f"{BEGIN:%Y-%m-%dT%H:%M}"])
    assert answer.exit_code == 0
    assert "No value of pump-set-1" in answer.stderr


def test_words_of_devices_are_no_formulas(pump: str, tmp_path: Path) -> None:
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    store.start()
    store.write([_reading("=cmd", 0, {"mode": "=1+1"}), _reading("=cmd", 1, {"level": -5.0})])
    store.close()
    rows = list(csv.reader(run("export", "=cmd", "--from", f"{BEGIN:%Y-%m-%dT%H:%M}").splitlines()))
    assert [(row[1], row[4]) for row in rows[1:]] == [("'=cmd", "'=1+1"), ("'=cmd", "-5.0")]


def test_what_was_refused_is_listed(pump: str, tmp_path: Path) -> None:
    assert "Nothing was set aside" in run("refused")
    aside = RefusedPoints(tmp_path / FILE)
    aside.start()
    aside.add([Refused("pump-1", "pump:2", AT, "water_pump", "flow", "'[x]'", "expected a number")], AT)
    assert "expected a number: '[x]'" in run("refused")
    assert json.loads(run("refused", "--json"))["field"] == "flow"


def test_mistakes_are_explained(pump: str) -> None:
    assert "COURTYARD_INFLUX_URL is not set" in refusal("setup")
    assert "COURTYARD_INFLUX_URL is not set" in refusal("copy")
    assert "does not answer" in refusal("setup", "--influx-url", "http://127.0.0.1:9")
    assert "--from must be before --to" in refusal("export", pump, "--from", "2026-01-02", "--to", "2026-01-01")
