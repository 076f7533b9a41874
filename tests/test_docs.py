"""The documentation cannot lie: what is made from the code is compared with it, and what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services import reference

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_settings_page_is_the_code_s() -> None:
    assert (ROOT / "docs/settings.md").read_text() == reference.settings_page(), "run: python -m services.reference"


def test_commands_page_is_the_code_s() -> None:
    assert (ROOT / "docs/commands.md").read_text() == reference.commands_page(), "run: python -m services.reference"


def test_every_command_says_what_it_does() -> None:
    sections = reference.commands_page().split("\n## ")[1:]
    assert len(sections) > 15
    for section in sections:
        help_text = section.split("\n\n")[1]
        assert len(help_text) > 20, section
        for row in re.findall(r"^\| `[^`]+` \| (.*) \|$", section, re.M):
            assert row.strip(), f"an option without help in {section}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} points to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_pages_name_exist(page: Path) -> None:
    known = re.findall(r"^## `courtyard (.*)`$", reference.commands_page(), re.M)
    groups = {name.split()[0] for name in known if " " in name}
    code = "\n".join(re.findall(r"```.*?```|`[^`]+`", page.read_text(), re.S))
    for named in re.findall(r"\bcourtyard ([a-z]+(?: [a-z]+)?)", code):
        # A group may be named alone; of its commands only those there are.
        assert named in known or named in groups or named.split()[0] in known, f"{page.name} names `courtyard {named}`"
