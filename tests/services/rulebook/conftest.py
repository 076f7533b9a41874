from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.rulebook.kit import Yard, yard_in


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with yard_in(tmp_path) as found:
        yield found
