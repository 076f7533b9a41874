"""The tutorial of docs/profiles.md, taken apart: its own blocks are what the tests run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "profiles.md"


def text() -> str:
    whole = DOCS.read_text(encoding="utf-8")
    return whole[whole.index("## From an unknown device") : whole.index("## Let your editor help")]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", text(), re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """The commands that need no broker, as arguments of `courtyard`."""
    return [shlex.split(line)[1:] for block in blocks("sh") for line in block.splitlines()]


def corrected(draft: str) -> str:
    """The draft with the corrections of the tutorial; each line that goes must stand in it."""
    for block in blocks("diff"):
        gone = [line[1:] for line in block.splitlines() if line.startswith("-")]
        come = [line[1:] for line in block.splitlines() if line.startswith("+")]
        for old, new in zip(gone, come, strict=True):
            assert old in draft.splitlines(), f"the draft has no line {old!r}"
            draft = draft.replace(old, new)
    return draft
