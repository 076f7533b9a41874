"""Regular expressions of profiles: RE2, so that no text takes longer than its length, and of bounded size."""

from __future__ import annotations

from typing import Any

import re2

_MOST_MEMORY = 2 << 20
"""Bytes that the compiled pattern and its states may take."""
_LARGEST_PROGRAM = 2_000
"""Steps of the compiled pattern: the gateway runs none that is larger."""


def compile_pattern(pattern: str) -> Any:
    """The compiled pattern (as `re.Pattern`); raises ValueError for one that RE2 does not take or that grows too large.

    RE2 knows no look-around and no back references.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MOST_MEMORY
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(_words(error)) from None
    if compiled.programsize > _LARGEST_PROGRAM:
        raise ValueError(f"too large: {compiled.programsize} steps, at most {_LARGEST_PROGRAM}")
    return compiled


def _words(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
