"""Every story runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stories.site import Story, opened


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Story]:
    on_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'story.db'}" if on_sqlite else request.getfixturevalue("postgresql_url")
    database = opened(url)
    yield Story(database)
    database.close()
