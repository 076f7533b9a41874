"""What counts as a number on the wire, and what counts as nothing."""

from __future__ import annotations

import re

MISSING_WORDS = frozenset(
    {"", "null", "nan", "+nan", "-nan", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"}
)
"""Texts that hold no value, in lower case. Missing is not zero."""

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_LONGEST_NUMBER = 64


_DIGITS = frozenset("0123456789")
_LONGEST_MISSING = max(map(len, MISSING_WORDS))


def is_missing(text: str) -> bool:
    """Whether a text holds no value; blanks around it count for nothing. Quick for numbers and for long texts."""
    if text and (text[0] in _DIGITS or (len(text) > _LONGEST_MISSING and text[0] > " " < text[-1])):
        return False
    text = text.strip()
    return len(text) <= _LONGEST_MISSING and text.lower() in MISSING_WORDS


def number_of_text(text: str) -> float | int | None:
    """The number a text holds; None for "NaN" and the like; raises ValueError for anything else."""
    if len(text) > _LONGEST_NUMBER or _NUMBER.fullmatch(text) is None:
        if is_missing(text):
            return None
        text = text.strip()
        if len(text) > _LONGEST_NUMBER or _NUMBER.fullmatch(text) is None:
            raise ValueError(text[:_LONGEST_NUMBER])
    if text.isdigit() or text.lstrip("+-").isdigit():
        return int(text)
    number = float(text)
    return number if number - number == 0 else None
