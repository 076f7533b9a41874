from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.web.world import RecordingGateway, World, build, prepare

Prepared = tuple[Path, dict[str, str]]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("world")
    return folder, prepare(folder)


@pytest.fixture
def world(prepared: Prepared, tmp_path: Path) -> Iterator[World]:
    folder, tokens = prepared
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    world = build(tmp_path, tokens, gateway=RecordingGateway())
    yield world
    world.context.jobs.close()  # what was asked for and not waited for
    world.context.telemetry.close()
    world.context.database.close()
