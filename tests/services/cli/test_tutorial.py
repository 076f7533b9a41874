"""The tutorial works as it is written: capture, draft, correct, watch, rules, check."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import services.cli.check
import services.cli.profile
import services.cli.profile_watch
from device_profiles.library import load
from services.cli import app
from tests.stories import tutorial

runner = CliRunner()


def _run(arguments: list[str]) -> str:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, f"courtyard {' '.join(arguments)}: {result.stdout} {result.stderr}"
    return result.stdout + result.stderr


def test_from_a_capture_to_a_profile_that_proves_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (capture,) = tutorial.blocks("jsonl")
    Path("capture.jsonl").write_text(capture, encoding="utf-8")
    new, watch, check = tutorial.commands()
    assert new[:2] == ["profile", "new"] and watch[:2] == ["profile", "watch"] and check[0] == "check"
    said = _run(new)
    assert "7 of 7 messages decode" in said
    file = Path("boxin_pump.yaml")
    for shown in tutorial.blocks("text")[0].splitlines():
        assert shown in file.read_text(encoding="utf-8").splitlines(), f"the draft does not say {shown!r}"
    file.write_text(tutorial.corrected(file.read_text(encoding="utf-8")), encoding="utf-8")
    assert "7 of 7 messages decode" in _run(watch)
    rules, _ = tutorial.blocks("yaml")
    file.write_text(file.read_text(encoding="utf-8") + "\n" + rules, encoding="utf-8")
    profile = load(file)["boxin_pump"]
    assert {rule.id for rule in profile.rules} == {"pressure_low"}
    report = services.cli.check.examine(file, shipped=False)
    assert [finding for finding in report.failed if "boxin_pump" in finding.file] == []
