"""What holds for all tests of the gateway."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.kit import stop_what_is_left


@pytest.fixture(autouse=True)
def _no_gateway_is_left() -> Iterator[None]:
    yield
    stop_what_is_left()
