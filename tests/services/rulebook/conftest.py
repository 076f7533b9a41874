from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.rulebook.kit import Yard, migrated, yard_in


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated(tmp_path_factory.mktemp("rulebook"))


@pytest.fixture
def yard(empty: Path, tmp_path: Path) -> Iterator[Yard]:
    shutil.copy(empty, tmp_path)
    with yard_in(tmp_path) as found:
        yield found
