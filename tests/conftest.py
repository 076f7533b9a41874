"""Fixtures that need a real server, from the modules that own them."""

from tests.fixtures_mosquitto import *  # noqa: F403
from tests.fixtures_postgresql import *  # noqa: F403
