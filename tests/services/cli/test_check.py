"""`courtyard check` from the outside."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from device_profiles.library import load
from services.cli.main import app
from tests.device_profiles.profiles import LAMP, line_of, spoiled

runner = CliRunner()


def test_the_shipped_profiles_hold() -> None:
    result = runner.invoke(app, ["check", "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    library = load()
    assert said["profiles"] == len(library)
    assert said["samples"] == sum(len(profile.samples) for profile in library.values())
    assert said["rule_tests"] == sum(len(rule.tests) for profile in library.values() for rule in profile.rules)
    assert (said["failed"], said["mistakes"], said["unproven"]) == (0, [], [])


COUNTS = ("profiles", "samples", "rule_tests", "failed")


def test_a_folder_of_ones_own_is_checked_alone_or_with_all(tmp_path: Path) -> None:
    (tmp_path / "lamp.yaml").write_text(LAMP)
    shipped = json.loads(runner.invoke(app, ["check", "--json"]).stdout)
    alone = json.loads(runner.invoke(app, ["check", "--json", str(tmp_path)]).stdout)
    assert [alone[key] for key in COUNTS] == [1, 1, 3, 0]
    together = json.loads(runner.invoke(app, ["check", "--all", "--json", str(tmp_path)]).stdout)
    assert [together[key] - shipped[key] for key in COUNTS] == [1, 1, 3, 0]


def test_an_id_that_a_shipped_profile_has_is_the_mistake_of_ones_own_file(tmp_path: Path) -> None:
    taken = next(iter(load()))
    (tmp_path / "lamp.yaml").write_text(spoiled(("street_lamp", taken)))
    said = json.loads(runner.invoke(app, ["check", "--json", str(tmp_path)]).stdout)
    assert [(one["file"], "has it already" in one["text"]) for one in said["mistakes"]] == [
        (str(tmp_path / "lamp.yaml"), True)
    ]


def test_everything_that_fails_is_printed_with_file_and_line(tmp_path: Path) -> None:
    wrong_sample = spoiled(("values: {power: 58,", "values: {power: 59,"), ("for: 30s", "for: 5s"))
    wrong_name = spoiled(("street_lamp", "other_lamp"), ("when: light == fault", "when: light == falt"))
    (tmp_path / "sample.yaml").write_text(wrong_sample)
    (tmp_path / "name.yaml").write_text(wrong_name)
    result = runner.invoke(app, ["check", str(tmp_path)])
    assert result.exit_code == 1
    lines = {part: line_of(wrong_sample, part) for part in ("- name: two lamps", "hold: 10s")}
    expected = [
        f"{tmp_path}/name.yaml:{line_of(wrong_name, 'when: light')}: rules[lamp_dark].when: found 'falt'",
        f"{tmp_path}/sample.yaml:{lines['- name: two lamps']}: sample 'two lamps': ",
        f"{tmp_path}/sample.yaml:{lines['hold: 10s']}: rule 'lamp_dark', test 2: found raised, expected quiet",
    ]
    for text in expected:
        assert text in result.output
    assert "3 failed" in result.output


def test_what_nothing_proves_is_named_without_failing(tmp_path: Path) -> None:
    text = spoiled(('child: "", binding: telemetry,', 'child: "",'))
    (tmp_path / "lamp.yaml").write_text(text)
    result = runner.invoke(app, ["check", "--json", str(tmp_path)])
    assert result.exit_code == 0
    assert [one["line"] for one in json.loads(result.stdout)["unproven"]] == [line_of(text, "- id: telemetry")]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    result = runner.invoke(app, ["check", str(tmp_path / "nowhere")])
    assert result.exit_code == 1
    assert "found nothing, expected a folder with profiles" in result.output


def test_help_says_what_it_does() -> None:
    result = runner.invoke(app, ["check", "--help"], env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"})
    assert result.exit_code == 0
    for word in ("samples", "rule test", "--json", "FOLDER"):
        assert word in result.output
