"""Times as people type them: a day, or a day and a time, on whichever clock the command says."""

from __future__ import annotations

from datetime import datetime


def wall(option: str, text: str) -> datetime:
    """Naive. Raises ValueError with what was expected; a zone in the text is not taken for another one."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ValueError(
            f"{option}: found {text!r}, expected a day, or a day and a time, such as 2026-03-07 or '2026-03-07 22:00'"
        ) from error
    if found.tzinfo is not None:
        raise ValueError(f"{option}: found {text!r}, expected a time without a zone: '2026-03-07 22:00'")
    return found
