"""What a test does when the real server or browser it needs is not on this machine."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip, with the reason; where COURTYARD_REQUIRE_SERVERS is set (CI) it is a failure."""
    if os.environ.get("COURTYARD_REQUIRE_SERVERS"):
        pytest.fail(what)
    pytest.skip(what)
