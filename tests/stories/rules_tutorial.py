"""The tutorial of docs/rules.md, taken apart: its own blocks are what the tests run, and what they write."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "rules.md"
_CONSOLE = re.compile(r"(?<=^```console\n).*?(?=^```)", re.MULTILINE | re.DOTALL)
# How fast it was, and by how many processes, is the machine's business.
_SPEED = re.compile(r"[\d,]+ a second \(\d+ process(es)?")
_FIRST_NOTE, _AFTER_NOTES = "Only readings as measured", "Version "


def text() -> str:
    whole = DOCS.read_text(encoding="utf-8")
    return whole[whole.index("## Tutorial") : whole.index("## How a rule is judged")]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", text(), re.MULTILINE | re.DOTALL)


def played(page: str, run: Callable[[str], str]) -> str:
    """The page with what its commands say now, one after the other. `run` takes a command line as it stands there."""

    def again(block: re.Match[str]) -> str:
        commands = [line for line in block[0].splitlines() if line.startswith("$ ")]
        return "".join(f"{line}\n{short(run(line.removeprefix('$ ')))}" for line in commands)

    return _CONSOLE.sub(again, page)


def short(said: str) -> str:
    """Without what a backtest cannot know, which the page says once, and without blanks at the ends of lines."""
    lines: list[str] = []
    noting = False
    for line in said.splitlines():
        noting = (noting or line.startswith(_FIRST_NOTE)) and not line.startswith(_AFTER_NOTES)
        if not noting:
            lines.append(line.rstrip())
        elif lines[-1] != "…":
            lines.append("…")
    return "".join(f"{line}\n" for line in lines)


def timeless(page: str) -> str:
    return _SPEED.sub("N a second (N processes", page)
