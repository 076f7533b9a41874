"""Bytes in words, the same on pages, in the doctor and in commands: 1 GB is a thousand MB."""

from __future__ import annotations

MB = 1000**2
GB = 1000**3


def in_words(count: float) -> str:
    """ "812 B", "3.4 KB", "240 MB", "53.7 GB"."""
    value = float(count)
    for unit in ("B", "KB", "MB"):
        if value < 1000:
            return _with(value, unit)
        value /= 1000
    return _with(value, "GB")


def _with(value: float, unit: str) -> str:
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
