"""Gathers every command; the console script `courtyard` starts here."""

from services.cli import app, bench, check, quarantine, run, up

__all__ = ["app", "bench", "check", "quarantine", "run", "up"]
