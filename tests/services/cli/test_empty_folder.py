"""In a folder without a Courtyard: who only looks, or changes what is there, makes nothing and says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from services.cli import app, index
from tests.stories.site import LIBRARY

BEGINS = {"up", "gateway", "services", "migrate", "enrol", "restore", "site import"}
"""As docs/commands.md says."""
LOOKS_WITHOUT = {"doctor", "notice test", "backup make", "stack exec", "stack status", "stack up"}
"""They have something else to say where nothing is: what will be made, which address it was, which file is missing."""
_NEEDED = {
    "login": "li",
    "role": "crew",
    "rule": "booster_set/pressure_low",
    "version": "1",
    "file": "nowhere.zip",
    "out": "made",
    "to": "nobody",
}


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))
    if not getattr(command, "commands", None):
        yield " ".join(path), command


def with_data() -> dict[str, list[str]]:
    """Every command with --data, as it is called with nothing but what it must have."""
    index.read_all()
    found = {}
    for name, command in commands(get_command(app)):
        if not any("--data" in one.opts for one in command.params):
            continue
        words = name.split()
        for one in command.params:
            if one.required:
                value = _NEEDED.get(one.name, "x")
                words += [value] if one.param_type_name == "argument" else [one.opts[0], value]
        found[name] = words
    return found


CALLS = with_data()


@pytest.mark.parametrize("name", sorted(set(CALLS) - BEGINS))
def test_nothing_appears_where_nothing_is(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURTYARD_MQTT", "mqtt://127.0.0.1:9")
    monkeypatch.setenv("COURTYARD_GRAFANA_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("COURTYARD_GRAFANA_TOKEN", "x")
    if name in ("telemetry rollup", "telemetry copy"):
        monkeypatch.setenv("COURTYARD_INFLUX_URL", "http://127.0.0.1:9")
    if name == "doctor":
        pytest.skip("tests/services/test_doctor.py holds it: it takes seconds")
    result = CliRunner().invoke(app, [*CALLS[name], "--data", "elsewhere"])
    assert not list(tmp_path.rglob("*")), result.output
    assert isinstance(result.exception, SystemExit), result.exception
    if name in LOOKS_WITHOUT or name in ("grafana sync", "grafana status"):
        assert result.exit_code in (1, 2)
        return
    assert result.exit_code == 2, result.output
    for words in (f"there is no Courtyard in {tmp_path / 'elsewhere'}", "courtyard up", "--data DIR"):
        assert words in result.stderr


def test_those_that_begin_one_are_documented() -> None:
    assert set(CALLS) >= BEGINS
    intro = (Path(__file__).parents[3] / "docs/commands.md").read_text(encoding="utf-8").partition("\n## ")[0]
    assert all(f"{name}`" in intro for name in BEGINS)


def test_a_site_file_that_is_wrong_begins_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.profiles.load_library", lambda _: LIBRARY)  # loaded once for all stories
    file = tmp_path / "yard.yaml"
    data = tmp_path / "data"

    def brought_in(text: str) -> Result:
        file.write_text(text)
        return CliRunner().invoke(app, ["site", "import", str(file), "--data", str(data)], env={"COLUMNS": "200"})

    assert brought_in("site: lotus\n").exit_code == 1
    assert not data.exists()
    whole = "site: lotus\nname: Lotus\ntimezone: Asia/Shanghai\nbuildings: [{id: 3}]\ndevices: []\n"
    begun = brought_in(whole)
    assert begun.exit_code == 0, begun.output
    assert f"Begun a new Courtyard in {data}." in begun.output
    assert "Begun" not in brought_in(whole).output
    assert "Lotus" in CliRunner().invoke(app, ["site", "list", "--data", str(data)]).output
