"""A real Mosquitto for tests that are about delivery."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.bench.mosquitto import Mosquitto, MosquittoMissing, find_mosquitto


def require(missing: str) -> None:
    """Skip because a server is missing; where COURTYARD_REQUIRE_SERVERS is set that is a failure."""
    if os.environ.get("COURTYARD_REQUIRE_SERVERS"):
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """Started, on a port of its own; a test may kill and start it."""
    try:
        find_mosquitto()
    except MosquittoMissing as missing:
        require(str(missing))
    with Mosquitto(tmp_path / "mosquitto") as broker:
        yield broker
