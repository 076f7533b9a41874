"""Gathers every command; the console script `courtyard` starts here."""

from services.cli import app, bench, quarantine, run, up

__all__ = ["app", "bench", "quarantine", "run", "up"]
