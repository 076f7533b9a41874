"""Gathers every command; the console script `courtyard` starts here."""

from services.cli import app, bench, check, dashboards, doctor, enrol, quarantine, run, up

__all__ = ["app", "bench", "check", "dashboards", "doctor", "enrol", "quarantine", "run", "up"]
