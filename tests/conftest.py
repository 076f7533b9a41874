"""Fixtures that need a real server, from the modules that own them; and tracebacks without all that was in reach."""

import structlog

from tests.fixtures_mosquitto import *  # noqa: F403
from tests.fixtures_postgresql import *  # noqa: F403

# As the product writes them. With every local variable, one traceback of the intake takes half a minute to print.
structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)])
