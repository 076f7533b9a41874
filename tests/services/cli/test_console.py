"""What commands print is what they meant: lines of files, addresses, device ids."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.table import Table
from typer.testing import CliRunner

from services.cli.console import Console
from services.cli.main import app
from tests.device_profiles.profiles import spoiled

runner = CliRunner()


@pytest.mark.parametrize("text", ["site.yaml:100: devices", "a:1234:b", "node:key:1"])
def test_codes_between_colons_stay_as_they_are(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table()
    table.add_column("Device")
    table.add_row(text)
    Console().print(text)
    Console().print(text, markup=False, soft_wrap=True)
    Console().print(table)
    assert capsys.readouterr().out.count(text) == 3


def test_a_mistake_on_line_100_is_said_with_its_line(tmp_path: Path) -> None:
    text = spoiled(("when: light == fault", "when: light == falt"))
    lines = text.split("\n")
    at = next(i for i, line in enumerate(lines) if "when: light == falt" in line)
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    padded = "\n".join([*lines[:first], *[""] * (99 - at), *lines[first:]])
    file = tmp_path / "lamp.yaml"
    file.write_text(padded)
    assert f"{file}:100: rules" in runner.invoke(app, ["check", str(file)]).output


def test_every_command_writes_to_this_console() -> None:
    folder = Path(__file__).parents[3] / "services/cli"
    own = [file.name for file in folder.glob("*.py") if "from rich.console import" in file.read_text()]
    assert own == ["console.py"]
