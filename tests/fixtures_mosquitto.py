"""A real Mosquitto for tests that are about delivery."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.bench.mosquitto import Mosquitto, MosquittoMissing, find_mosquitto
from tests.needs import missing


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """Started, on a port of its own; a test may kill and start it."""
    try:
        find_mosquitto()
    except MosquittoMissing as absent:
        missing(str(absent))
    with Mosquitto(tmp_path / "mosquitto") as broker:
        yield broker
