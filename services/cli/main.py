"""Gathers every command; the console script `courtyard` starts here."""

from services.cli import (
    account,
    app,
    bench,
    capture,
    check,
    dashboards,
    decode,
    doctor,
    enrol,
    notice,
    quarantine,
    run,
    simulate,
    site,
    up,
)

__all__ = [
    "account",
    "app",
    "bench",
    "capture",
    "check",
    "dashboards",
    "decode",
    "doctor",
    "enrol",
    "notice",
    "quarantine",
    "run",
    "simulate",
    "site",
    "up",
]
