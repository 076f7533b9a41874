"""Fixtures that need a real server, from the modules that own them; what holds for all tests."""

import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.fixtures_mosquitto import *  # noqa: F403
from tests.fixtures_postgresql import *  # noqa: F403

# As the product writes them. With every local variable, one traceback of the intake takes half a minute to print.
structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)])

# The same cases on every run, however busy the machine is: whether the product is sound is no matter of luck.
# `HYPOTHESIS_PROFILE=search` looks on.
PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("courtyard", derandomize=True, database=None, **PATIENT)
settings.register_profile("search", derandomize=False, print_blob=True, **PATIENT)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "courtyard"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with tests that take long come first: workers share the files, and none shall be left alone with the
    longest at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A test that runs a command in this process sets up logging as the command does: the next one has its own."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
