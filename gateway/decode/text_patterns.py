"""Regular expressions for profiles: RE2, whose time is linear, held to sizes at which it is short as well."""

from __future__ import annotations

from typing import Any

import re2

LONGEST_TEXT = 65_536
_LARGEST_PROGRAM = 2_000
_WORK = 6_000_000
"""Characters times steps of the pattern; the slowest known takes 4 ns for each."""


class Pattern:
    """A compiled expression. A text that is too long for it does not match."""

    __slots__ = ("_compiled", "longest", "names", "text")

    def __init__(self, text: str, *, capturing: bool) -> None:
        options = re2.Options()
        options.log_errors = False
        options.never_capture = not capturing
        try:
            self._compiled = re2.compile(text, options)
        except re2.error as error:
            expected = "a regular expression (RE2: no look-around, no back references)"
            raise ValueError(f"expected {expected}, found {text!r}: {_said(error)}") from None
        if (size := int(self._compiled.programsize)) > _LARGEST_PROGRAM:
            raise ValueError(f"expected a smaller regular expression, found {text!r}, which takes {size} steps")
        self.text = text
        self.longest = min(LONGEST_TEXT, _WORK // max(1, size))
        self.names: tuple[str, ...] = tuple(self._compiled.groupindex)

    def matches(self, text: str) -> bool:
        """Whether the whole text matches."""
        return len(text) <= self.longest and _whole(text) and self._compiled.fullmatch(text) is not None

    def groups(self, text: str, *, search: bool) -> dict[str, Any] | None:
        """The named groups of the whole text, or of the first place that matches; None where there is none. Groups
        that took no part are None."""
        if len(text) > self.longest or not _whole(text):
            return None
        found = self._compiled.search(text) if search else self._compiled.fullmatch(text)
        return None if found is None else found.groupdict()


def _whole(text: str) -> bool:
    """Half characters, which JSON can smuggle in, have no bytes for RE2 to look at."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _said(error: Exception) -> str:
    raw = error.args[0] if error.args else ""
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
