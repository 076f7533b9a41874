"""The demo site comes in, follows later releases, and never goes over what a person made of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.bootstrap import open_database
from services.demo import SITE, SITE_ID
from services.demo.bring import Bringing, bring
from services.profiles import load_library
from services.settings import Settings
from services.sites.export import export_site
from services.sites.importer import import_site
from tests.stories.site import MIDNIGHT

LATER = MIDNIGHT + timedelta(days=1)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Bringing]:
    """A Courtyard that is new."""
    settings = Settings(data_dir=tmp_path)
    with ExitStack() as stack:
        yield Bringing(database=open_database(stack, settings), library=load_library(settings), folder=tmp_path)


def stands(demo: Bringing) -> str:
    with demo.database.read() as connection:
        return export_site(connection, SITE_ID)


def edited(text: str, folder: Path, name: str) -> Path:
    """The site file with one recipient more."""
    file = folder / name
    file.write_text(
        text.rstrip() + f"\n  - {{id: {name}, audience: engineers, channel: email, to: {name}@e.example, lang: en}}\n"
    )
    return file


def test_what_a_person_imported_over_the_demo_stands_after_every_start_until_they_want_the_demo_back(
    demo: Bringing, tmp_path: Path
) -> None:
    assert bring(demo, MIDNIGHT) == ""
    shipped = stands(demo)
    import_site(demo.database, edited(SITE.read_text(), tmp_path, "li"), demo.library, MIDNIGHT)
    mine = stands(demo)
    assert mine != shipped
    for _ in range(2):
        said = bring(demo, LATER)
        assert said.startswith(f"Your changes to {SITE_ID} are kept; courtyard site import {SITE} ")
        assert "\n" not in said
        assert stands(demo) == mine
    import_site(demo.database, SITE, demo.library, LATER)  # as it says
    assert bring(demo, LATER) == ""
    assert stands(demo) == shipped


def test_a_demo_that_nobody_touched_follows_the_release(demo: Bringing, tmp_path: Path) -> None:
    bring(demo, MIDNIGHT)
    next_release = replace(demo, file=edited(SITE.read_text(), tmp_path, "next"))
    assert bring(next_release, LATER) == ""
    assert "next@e.example" in stands(demo)
    assert bring(demo, LATER) == "", "and back, while still nobody has touched it"
    assert "next@e.example" not in stands(demo)


def test_a_demo_of_before_fingerprints_is_remembered_where_it_is_the_same_and_kept_where_it_is_not(
    demo: Bringing, tmp_path: Path
) -> None:
    import_site(demo.database, SITE, demo.library, MIDNIGHT)
    other = replace(demo, file=edited(SITE.read_text(), tmp_path, "next"))
    assert "are kept" in bring(other, LATER), "whose it is cannot be known"
    assert bring(demo, LATER) == ""
    assert bring(other, LATER) == ""
