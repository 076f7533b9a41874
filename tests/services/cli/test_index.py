"""`courtyard` reads only the command that is asked for, and its list of commands says what they say."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from services.cli import app, index
from services.cli.main import app as script

HEAVY = ("sqlalchemy", "fastapi", "pydantic", "paho", "httpx", "structlog", "alembic", "uvicorn", "msgspec", "apprise")
_SAYS_WHAT_IT_READ = """
import sys
from services.cli.main import app
try:
    app(sys.argv[1:], prog_name="courtyard")
finally:
    print("READ", *sorted({name.partition(".")[0] for name in sys.modules}))
    print("OURS", *sorted(name for name in sys.modules if name.startswith("services.cli.")))
"""


def read_by(*arguments: str) -> tuple[set[str], set[str]]:
    """Which packages, and which modules of commands, a process of its own has imported."""
    run = subprocess.run(
        [sys.executable, "-c", _SAYS_WHAT_IT_READ, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    read, ours = ({*line.split()[1:]} for line in run.stdout.splitlines()[-2:])
    return read, {name.removeprefix("services.cli.") for name in ours}


@pytest.mark.parametrize("arguments", [("--version",), ("--help",)])
def test_the_top_reads_no_command(arguments: tuple[str, ...]) -> None:
    read, ours = read_by(*arguments)
    assert not read & set(HEAVY)
    assert ours == {"index", "main"}


@pytest.mark.parametrize("command", ["rules", "account", "notice", "backtest"])
def test_help_of_a_command_reads_that_one_alone(command: str) -> None:
    read, ours = read_by(command, "--help")
    assert not read & {"sqlalchemy", "fastapi", "paho", "httpx", "alembic", "uvicorn", "apprise"}
    assert {one for one in ours if one in index.COMMANDS} == set(index.COMMANDS[command].modules)


def whole() -> dict[str, Any]:
    index.read_all()
    found: Any = get_command(app)
    return dict(found.commands)


def test_the_list_says_what_the_commands_say() -> None:
    """And nothing is missing: a module that adds a command which is not listed would never be read."""
    found = whole()
    for name, listed in index.COMMANDS.items():
        first = " ".join(str(found[name].help).split("\n\n")[0].split())
        assert first.startswith(listed.help), name
        assert first == listed.help or first[len(listed.help)] == " ", name
    added = {info.name or info.callback.__name__ for info in app.registered_commands if info.callback}
    added |= {
        str(info.name or (info.typer_instance and info.typer_instance.info.name)) for info in app.registered_groups
    }
    assert added == set(index.COMMANDS)


def test_the_script_is_the_app() -> None:
    assert script is app


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("ruls",), "rules"),
        (("maintenence", "list"), "maintenance"),
        (("rules", "lis"), "list"),
        (("decod",), "decode"),
    ],
)
def test_what_was_mistyped_is_guessed(typed: tuple[str, ...], meant: str) -> None:
    result = CliRunner().invoke(app, list(typed))
    assert result.exit_code == 2
    assert f"Did you mean '{meant}'?" in result.stderr


def completed(words: str) -> list[str]:
    result = CliRunner().invoke(
        app,
        [],
        prog_name="courtyard",
        env={
            "_COURTYARD_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        },
    )
    return result.stdout.split()


def test_the_shell_completes_commands_of_groups_too() -> None:
    assert completed("courtyard maint") == ["maintenance"]
    assert completed("courtyard maintenance e") == ["end"]
    assert completed("courtyard rules list --prob") == ["--problems"]
