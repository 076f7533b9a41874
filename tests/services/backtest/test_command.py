"""`courtyard backtest` on a folder as Courtyard keeps it, and `courtyard bench backtest`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from device_profiles.library import SHIPPED, load
from gateway.reading import Reading
from gateway.telemetry.sqlite import SqliteTelemetry
from services import migrations
from services.bench import backtest as bench
from services.bench.history import Shape, make
from services.cli import app, backtest
from services.clock import to_millis
from services.database import Database
from services.sites.importer import import_site
from tests.stories.site import MIDNIGHT

assert backtest  # it adds its command to `app`
SITE = """
site: yard
name: {zh: 院, en: Yard}
timezone: Asia/Shanghai
buildings: [{id: 1, units: [{id: 1, households: 10}]}]
devices: [{id: set-1, profile: booster_set, address: a, name: {zh: 泵, en: Pumps}}]
"""
RULE = "booster_set/pressure_low"
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zone whose pressure is low from 08:10 to 08:13 and from 08:20 to 08:40, on the clock of the site."""
    folder = tmp_path_factory.mktemp("data")
    database = Database.sqlite(folder / "courtyard.db")
    database.start()
    migrations.upgrade(database)
    import_site(database, SITE, load(SHIPPED), MIDNIGHT)
    database.close()
    store = SqliteTelemetry(folder / "telemetry.db")
    store.start()
    for seconds in range(0, 3600, 10):
        minutes, at = seconds / 60, to_millis(MIDNIGHT + timedelta(seconds=seconds))
        low = 10 <= minutes < 13 or 20 <= minutes < 40
        values = {"outlet_pressure": 0.2 if low else 0.55, "setpoint": 0.55}
        store.write([Reading("set-1", "zone:1", at, at, "telemetry", values)])
    store.close()
    return folder


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "200")

    def run(*options: str) -> Result:
        return CliRunner().invoke(app, ["backtest", "--data", str(folder), *options])

    return run


def test_old_against_new_in_words_and_for_programs(run: Run, tmp_path: Path) -> None:
    change = tmp_path / "calmer.yaml"
    change.write_text("for: 5m\n")
    asked = ["--from", "2026-03-02T08:00", "--to", "2026-03-02T09:00", "--rule", RULE, "--with", str(change)]
    said = run(*asked)
    assert said.exit_code == 0, said.output
    assert f"{RULE} *" in said.stdout
    assert "2 | 1 -1" in said.stdout
    assert "gone" in said.stdout
    assert "03-02 08:11:00 – " in said.stdout
    found = json.loads(run(*asked, "--json").stdout)
    assert (found["old"]["alarms"], found["new"]["alarms"]) == (2, 1)
    assert [one["kind"] for one in found["differences"]] == ["only_old", "moved"]
    assert found["readings_per_second"] > 0


def test_without_a_change_it_says_what_the_live_rules_would_have_done(run: Run) -> None:
    said = run("--from", "2026-03-02T08:00", "--to", "2026-03-02T09:00", "--json")
    assert said.exit_code == 0, said.output
    found = json.loads(said.stdout)
    low = next(one for one in found["rules"] if one["rule"] == "pressure_low")
    assert low["old"] == low["new"]
    assert low["old"]["alarms"] == 2
    assert found["differences"] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--site", "nowhere"], "expected one of: yard"),
        (["--from", "2026-03-02", "--to", "2026-03-01"], "--from must be before --to"),
        (["--rule", "pressure_low"], "expected PROFILE/RULE"),
        (["--rule", "booster_set/nosuch"], "no rule 'nosuch'"),
        (["--with", "/nowhere.yaml"], "found no file"),
    ],
)
def test_what_is_wrong_is_said(run: Run, options: list[str], said: str) -> None:
    result = run(*options)
    assert result.exit_code == 1
    assert said in result.output


HANGS = "import os; os.remove(folder / 'telemetry.db'); os.mkfifo(folder / 'telemetry.db')"
"""As a disk that does not answer: who opens it waits for ever."""
FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
"""No file may grow: as a quota that is used up."""


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (HANGS, "the backtest got no further for 1 s and was ended: a disk or a database may hang; run `courtyard"),
        (FULL, "courtyard.db: the disk is full (disk I/O error); make room and do it again"),
    ],
    ids=["hangs", "full"],
)
def test_a_disk_that_hangs_or_is_full_is_said_to_who_asked(
    trouble: str, said: str, folder: Path, tmp_path: Path
) -> None:
    for name in ("courtyard.db", "telemetry.db"):
        shutil.copy(folder / name, tmp_path)
    script = (
        f"import pathlib, sys; folder = pathlib.Path(sys.argv[-1]); {trouble}; import services.cli.main as m; m.app()"
    )
    asked = ["backtest", "--from", "2026-03-02T08:00", "--to", "2026-03-02T09:00", "--data", str(tmp_path)]
    ended = subprocess.run(
        [sys.executable, "-c", script, *asked],
        env={**os.environ, "COURTYARD_BACKTEST_STALLED_AFTER": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 1, ended.stderr
    assert said in ended.stderr


def test_a_long_history_is_made_in_a_new_folder_alone(tmp_path: Path) -> None:
    shape = Shape(2, 1, MIDNIGHT)
    made = make(tmp_path / "new", shape)
    assert (made["devices"], made["readings"]) == (2, 2 * 24 * 60)
    with pytest.raises(ValueError, match="expected a new folder"):
        make(tmp_path / "new", shape)
    said = CliRunner().invoke(app, ["backtest", "--json", "--data", str(tmp_path / "new"), "--to", "2026-03-02T08:00"])
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["readings"] >= 2 * 23 * 60


def test_the_bench_measures_what_it_made() -> None:
    figures = bench.measure(readings=12_000)
    assert figures["readings"] == 12_000
    assert 0 < figures["readings_looked_at"] <= 12_000
    assert min(figures["readings_per_second"], figures["scan_readings_per_second"]) > 0
