"""`courtyard quarantine list` as a person meets it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.journal import Journal, NewQuarantine
from services.cli import app, quarantine

assert quarantine  # it adds its command to `app`


def test_topic_time_and_reason_are_whole_in_a_narrow_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    topic, reason = f"courtyard/{'long/' * 20}end", "malformed [a]: found 9 bytes, expected JSON"
    journal = Journal(tmp_path / "journal.db", consumers=("services",))
    journal.start()
    journal.append([], [NewQuarantine(1_763_741_000_000, 1, topic, b"{not [b]json[/b]", False, "malformed", reason)])
    journal.close()
    monkeypatch.setenv("COLUMNS", "80")
    said = CliRunner().invoke(app, ["quarantine", "list", "--data", str(tmp_path)])
    assert said.exit_code == 0, said.output
    for whole in (topic, reason, "2025-11-21T16:03:20.000+00:00", "{not [b]json[/b]", "16 bytes"):
        assert whole in said.output
