"""What goes wrong at the edges is said in words: what was found, what was expected, the next step; no traceback."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli import app
from services.cli.shared import said
from tests.stories.site import opened


def courtyard(*words: str, env: dict[str, str] | None = None) -> Result:
    result = CliRunner().invoke(app, list(words), env={"COLUMNS": "200", **(env or {})})
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    opened(f"sqlite:///{folder / 'courtyard.db'}").close()
    return folder


def at_revision(data: Path, revision: str) -> None:
    with closing(sqlite3.connect(data / "courtyard.db")) as file, file:
        file.execute("UPDATE alembic_version SET version_num = ?", (revision,))


@pytest.mark.parametrize("command", [("site", "list"), ("migrate",), ("services", "--http", "127.0.0.1:0")])
def test_a_newer_database_is_left_alone(data: Path, command: tuple[str, ...]) -> None:
    at_revision(data, "9999")
    refused = courtyard(*command, "--data", str(data))
    assert refused.exit_code == 1
    for words in (f"{data}/courtyard.db", "newer Courtyard", "found revision 9999", "use the newer version"):
        assert words in refused.output


def test_an_older_database_is_not_migrated_by_looking(data: Path) -> None:
    at_revision(data, "0001")
    refused = courtyard("site", "list", "--data", str(data))
    assert "found revision 0001" in refused.output and "courtyard migrate" in refused.output
    assert "found revision 0001" in courtyard("site", "list", "--data", str(data)).output


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (("site", "list"), "courtyard.db"),
        (("quarantine", "list"), "journal.db"),
        (("telemetry", "status"), "telemetry.db"),
        (("telemetry", "export", "pump"), "telemetry.db"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, command: tuple[str, ...], file: str) -> None:
    (tmp_path / file).write_text("no database at all " * 20)
    refused = courtyard(*command, "--data", str(tmp_path))
    assert refused.exit_code == 1
    assert f"{tmp_path / file} is damaged" in refused.stderr
    assert refused.stdout == ""


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("HTTP", "nowhere", ["COURTYARD_HTTP: expected HOST:PORT", "found 'nowhere'"]),
        ("TELEMETRY_DAYS", "many", ["COURTYARD_TELEMETRY_DAYS: found 'many'"]),
        ("DATABASE_URL", "mysql://u:secret@db/c", ["COURTYARD_DATABASE_URL: expected postgresql://"]),
        ("DATABASE_URL", "postgresql://u:secret@127.0.0.1:9/c", ["Connection refused", "Is PostgreSQL running there"]),
    ],
)
def test_a_wrong_setting_is_named_and_keeps_its_secret(variable: str, value: str, words: list[str]) -> None:
    refused = courtyard("site", "list", env={f"COURTYARD_{variable}": value})
    assert refused.exit_code == 1
    assert all(word in refused.stderr for word in words), refused.stderr
    assert "secret" not in refused.output


def test_an_option_is_named_where_it_was_given(data: Path) -> None:
    assert "--http: expected HOST:PORT" in courtyard("services", "--http", "nowhere", "--data", str(data)).stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("backtest", "--from", "2026-13-01"), "--from: found '2026-13-01', expected a day"),
        (("telemetry", "export", "p", "--from", "soon"), "--from: found 'soon', expected a day"),
        (("telemetry", "export", "p", "--from", "2026-03-07T22:00+08:00"), "expected a time without a zone"),
        (
            ("site", "export", "lotos"),
            "SITE: found 'lotos', expected a site, and there is none yet: courtyard site import",
        ),
        (("rules", "set", "a/b", "--json"), "--json: found neither --yes nor --dry-run"),
    ],
)
def test_a_slip_of_the_hand_is_explained(data: Path, command: tuple[str, ...], words: str) -> None:
    (data / "telemetry.db").touch()
    opened(f"sqlite:///{data / 'courtyard.db'}").close()
    refused = courtyard(*command, "--data", str(data))
    if command[0] == "backtest":  # the site comes first: it says which clock
        assert "--site: found none" in refused.stderr
        return
    assert refused.exit_code == 1
    assert words in refused.stderr


def test_an_export_that_cannot_be_read_leaves_an_older_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "pump.csv"
    file.write_text("kept")
    away = ["--influx-url", "http://127.0.0.1:9", "--data", str(tmp_path), "--csv", str(file)]
    refused = courtyard("telemetry", "export", "pump", *away)
    assert refused.exit_code == 1
    assert "COURTYARD_INFLUX_URL" in refused.stderr
    assert file.read_text() == "kept"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied", "/srv/c"), "run this as the user that Courtyard runs as"),
        (FileNotFoundError(2, "No such file", "/srv/c"), "/srv/c: there is no such file or folder"),
        (IsADirectoryError(21, "Is a directory", "/srv/c"), "/srv/c is a folder; expected a file"),
        (FileExistsError(17, "File exists", Path("/srv/c")), "found a file where a folder is expected"),
        (OSError(28, "No space left on device", "/srv/c"), "the disk is full"),
    ],
)
def test_files_and_folders(error: OSError, words: str) -> None:
    assert words in said(error)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("two", "a whole number"),
        ("0", "a number greater than or equal to 1"),
        ("99", "a number less than or equal to 8"),
    ],
)
def test_a_number_that_is_none_or_out_of_bounds_is_quoted(given: str, expected: str) -> None:
    refused = courtyard("backtest", "--processes", given)
    assert refused.exit_code == 2
    assert f"'--processes': found '{given}', expected {expected}" in refused.output
