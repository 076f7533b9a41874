"""The console script `courtyard` starts here; services/cli/index.py says where each command is."""

from services.cli import app

__all__ = ["app"]
