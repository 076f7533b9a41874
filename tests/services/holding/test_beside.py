"""What works beside a Courtyard that holds the database, what does not, and where it is seen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services import bootstrap, folder
from services.accounts.desk import first_start
from services.cli.main import app
from services.doctor.examine import examine
from services.doctor.facts import DatabaseFacts, ProfileFacts
from services.doctor.findings import Finding, Level, holder
from services.holding import Owner, hold
from services.settings import Settings
from tests.stories.site import opened

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


class Fixed:
    def now(self) -> datetime:
        return NOW


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """The folder of a product that runs: folder and database are held."""
    data = tmp_path / "data"
    with ExitStack() as stack:
        folder.claim(stack, data)
        url = f"sqlite:///{data / 'courtyard.db'}"
        database = opened(url)
        first_start(database, NOW)
        database.close()
        hold(stack, url, NOW, wait_seconds=0)
        folder.describe(data, folder.RunningNote(os.getpid(), "127.0.0.1:9"))
        yield data


def courtyard(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "200", "COURTYARD_DATABASE_WAIT": "0"})


def test_a_second_one_on_another_folder_is_refused_in_words(
    running: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "load_library", lambda _: {})  # which takes seconds, and no profile matters here
    place = ("--data", str(tmp_path / "second"), "--http", "127.0.0.1:0")
    refused = courtyard("services", *place, "--database", f"sqlite:///{running / 'courtyard.db'}")
    assert refused.exit_code == 1
    for words in (f"{running / 'courtyard.db'} is held by another", f"process {os.getpid()} on", "stop that one"):
        assert words in refused.stderr
    assert "Traceback" not in refused.output
    assert [file.name for file in (tmp_path / "second").iterdir()] == ["running.json"]


@pytest.mark.parametrize(
    "command",
    [
        "account list",
        "account password admin",
        "token create g --role gateway",
        "site list",
        "migrate",
    ],
)
def test_what_looks_or_writes_small_things_goes_on(running: Path, command: str) -> None:
    done = courtyard(*command.split(), "--data", str(running))
    assert done.exit_code == 0, done.output


def test_a_backup_goes_on_and_a_start_that_failed_leaves_a_folder_that_counts_as_empty(
    running: Path, tmp_path: Path
) -> None:
    done = courtyard("backup", str(tmp_path / "b.zip"), "--data", str(running))
    assert done.exit_code == 0, done.output
    new = tmp_path / "new"
    new.mkdir()
    with ExitStack() as stack:
        hold(stack, f"sqlite:///{new / 'courtyard.db'}", NOW, wait_seconds=0)
    assert [file.name for file in new.iterdir()] == ["courtyard.db.held"]
    restored = courtyard("restore", str(tmp_path / "b.zip"), "--data", str(new))
    assert restored.exit_code == 0, restored.output


def held(data: Path) -> Finding | None:
    found = examine(Settings(data_dir=data), Fixed(), load=lambda _: ({}, ProfileFacts(0)))
    return next((one for one in found if one.what == "Database held"), None)


def test_the_doctor_names_the_holder(running: Path) -> None:
    found = held(running)
    assert found is not None and found.level is Level.OK
    assert f"process {os.getpid()} on" in found.found


def test_the_doctor_warns_where_who_runs_here_does_not_hold_it() -> None:
    by_another = holder(DatabaseFacts("PostgreSQL", holder=Owner("gate", 7, NOW)), 12)
    assert by_another is not None and by_another.level is Level.WARN
    assert "process 7 on gate" in by_another.found and "process 12 runs here" in by_another.found
    by_nobody = holder(DatabaseFacts("PostgreSQL"), 12)
    assert by_nobody is not None and by_nobody.level is Level.WARN
    elsewhere = holder(DatabaseFacts("PostgreSQL", holder=Owner("gate", 7, NOW)), 0)
    assert elsewhere is not None and elsewhere.level is Level.OK
    assert holder(DatabaseFacts("PostgreSQL"), 0) is None
