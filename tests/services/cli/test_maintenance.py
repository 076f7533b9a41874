"""`courtyard maintenance`: plan, look, end early, take back."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.accounts.audit import Intact, verify
from services.cli import app, maintenance
from services.clock import SystemClock
from services.database import Database
from services.profiles import load_library
from services.settings import Settings
from services.sites.importer import import_site
from tests.stories.site import opened

assert maintenance  # it adds its commands to `app`
SITE = """
site: lotus
name: Lotus
timezone: Asia/Shanghai
buildings: [{id: 3}, {id: 4}]
devices:
  - {id: pumps-3, profile: booster_set, building: 3}
  - {id: pumps-4, profile: booster_set, building: 4}
"""


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("COURTYARD_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    database = opened(f"sqlite:///{tmp_path / 'courtyard.db'}")
    import_site(database, SITE, load_library(Settings()), SystemClock().now())
    return database


def courtyard(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["maintenance", *arguments])


def listed(*more: str) -> list[dict[str, object]]:
    said = courtyard("list", "--json", *more)
    assert said.exit_code == 0, said.output
    found: list[dict[str, object]] = json.loads(said.output)
    return found


def test_a_window_from_plan_to_end(database: Database) -> None:
    looked = courtyard("add", "lotus", "Tank cleaning", "--for", "2h", "--building", "3", "--dry-run")
    assert "It would cover 1 device: pumps-3." in looked.output
    assert listed() == []
    planned = courtyard("add", "lotus", "Tank cleaning", "--for", "2h", "--building", "3")
    assert "Planned. It covers 1 device: pumps-3." in planned.output
    [window] = listed()
    assert (window["state"], window["scope"]) == ("open", {"buildings": ["3"]})
    assert "Tank cleaning" in courtyard("list").output
    assert "is over" in courtyard("end", str(window["id"])).output
    assert listed() == []
    assert [one["state"] for one in listed("--past")] == ["over"]
    assert isinstance(verify(database), Intact)
    database.close()


def test_one_that_recurs_is_taken_back(database: Database) -> None:
    database.close()
    today = SystemClock().now().date()
    until = str(today + timedelta(days=90))
    again = ("--days", "sat,sun", "--until", until)
    said = courtyard("add", "lotus", "Night tests", "--from", f"{today} 23:00", "--for", "3h", *again)
    assert said.exit_code == 0, said.output
    [window] = listed()
    assert window["repeats"] == {"days": ["sat", "sun"], "until": until}
    assert courtyard("cancel", str(window["id"])).exit_code == 0
    assert [one["state"] for one in listed("--past")] == ["cancelled"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("lotus", "X"), "found neither --for nor --to, expected one of them"),
        (("lotus", "X", "--for", "2h", "--to", "2099-01-01 08:00"), "found both --for and --to, expected one of them"),
        (("nowhere", "X", "--for", "2h"), "SITE: found 'nowhere', expected one of: lotus"),
        (("lotus", "X", "--for", "2 hours"), "expected a length such as 30m, 2h or 1d"),
        (("lotus", "X", "--for", "2h", "--building", "9"), "--building: found '9', expected of 3, 4"),
        (("lotus", "X", "--for", "2h", "--days", "sat"), "only one of --days and --until"),
        (("lotus", "X", "--for", "2h", "--days", "sat,son", "--until", "2099-01-01"), "--days: found 'son': "),
        (
            ("lotus", "X", "--from", "2020-03-07 22:00", "--for", "2h"),
            "--from: found 2020-03-07 22:00, expected from a",
        ),
        (("lotus", "X", "--to", "2020-03-07 22:00"), "--to: found 2020-03-07 22:00, expected a time after it begins"),
        (("lotus", "X", "--for", "90d"), "--for: found "),
        (("lotus", "", "--for", "2h"), "TITLE: found '', expected what is done"),
    ],
)
def test_what_cannot_be_planned_says_what_was_expected(
    database: Database, arguments: tuple[str, ...], said: str
) -> None:
    database.close()
    refused = courtyard("add", *arguments)
    assert refused.exit_code == 1
    assert said in refused.output
    assert not re.search(r"\dT\d|starts_at|ends_at|scope\.", refused.output), refused.output


def test_a_site_that_is_not_there_has_no_empty_list(database: Database) -> None:
    database.close()
    refused = courtyard("list", "--site", "lotos")
    assert refused.exit_code == 1
    assert "--site: found 'lotos', expected one of: lotus" in refused.output
