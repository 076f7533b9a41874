"""`python -m services.reference` writes docs/settings.md and docs/commands.md from the code; a test compares them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer

from services.settings import Settings

DOCS = Path(__file__).resolve().parent.parent / "docs"
_SETTINGS_INTRO = """# Settings

Every setting is an environment variable; a file of that name (in lower case) in `/run/secrets` (or the folder that
`COURTYARD_SECRETS_DIR` names) does as well, which is how the compose file passes what is secret. Options of the
command line overrule them. Made from the code by
`python -m services.reference`.

| Variable | Default | What it is |
|---|---|---|
"""
_COMMANDS_INTRO = """# Commands

What `--help` says, in one place. Made from the code by `python -m services.reference`.

Results go to the standard output, progress and errors to the standard error, so that `--json` can be read by a program.

| Exit code | Means |
|---|---|
| 0 | It is done. |
| 1 | It could not be done, or what was examined is not as it should be; the reason is said. |
| 2 | The command line cannot be understood, or there is no Courtyard in the folder that `--data` names. |

A command that looks at an installation or changes one makes none. What begins one: `courtyard up`, `gateway`,
`services`, `migrate`, `enrol`, `restore` and `site import`.
"""


def settings_page() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, "") else f"`{field.default}`"
        rows.append(f"| `COURTYARD_{name.upper()}` | {default} | {field.description} |")
    return _SETTINGS_INTRO + "\n".join(rows) + "\n"


def commands_page() -> str:
    from services.cli import app
    from services.cli.index import read_all

    read_all()
    return _COMMANDS_INTRO + "".join(_sections(typer.main.get_command(app), "courtyard"))


def _sections(command: Any, path: str) -> list[str]:
    """Typer carries its command classes under private names, so they are known here by what they have."""
    children = getattr(command, "commands", None)
    if children:
        return [section for name in sorted(children) for section in _sections(children[name], f"{path} {name}")]
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    usage = " ".join([path, "[OPTIONS]", *(_name(one) for one in arguments)])
    section = f"\n## `{path}`\n\n{_plain(command.help or '')}\n\n```\n{usage}\n```\n"
    rows = [f"| `{_name(one)}` | {_plain(one.help or '')} |" for one in command.params if one.name != "help"]
    return [section + ("\n| | |\n|---|---|\n" + "\n".join(rows) + "\n" if rows else "")]


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    metavar = f" {parameter.metavar}" if parameter.metavar else ""
    return ", ".join([*parameter.opts, *parameter.secondary_opts]) + metavar


def _plain(text: str) -> str:
    """Rich's marks as Markdown's."""
    text = re.sub(r"\[/?bold\]", "`", text)
    return "\n".join(line.strip() for line in text.strip().splitlines())


def main() -> None:
    (DOCS / "settings.md").write_text(settings_page(), encoding="utf-8")
    (DOCS / "commands.md").write_text(commands_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
