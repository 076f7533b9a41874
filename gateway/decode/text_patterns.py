"""Regular expressions for profiles: RE2, whose time is linear, held to sizes at which it is short as well."""

from __future__ import annotations

import re2

LONGEST_TEXT = 65_536
_LARGEST_PROGRAM = 2_000
_MOST_MEMORY = 2 << 20
_WORK = 4_000_000
"""Characters times steps of the pattern; the slowest known takes 4 ns for each."""


class Pattern:
    """A compiled expression. A text that is too long for it does not match."""

    __slots__ = ("_compiled", "_places", "longest", "names", "text")

    def __init__(self, text: str, *, capturing: bool) -> None:
        options = re2.Options()
        options.log_errors = False
        options.never_capture = not capturing
        options.max_mem = _MOST_MEMORY
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
        self._places = [(name, number - 1) for name, number in self._compiled.groupindex.items()]

    def matches(self, text: str) -> bool:
        """Whether the whole text matches."""
        return (raw := self._bytes(text)) is not None and self._compiled.fullmatch(raw) is not None

    def groups(self, text: str, *, search: bool) -> dict[str, str] | None:
        """The named groups of the whole text, or of the first place that matches; None where there is none. Groups
        that took no part are left out."""
        if (raw := self._bytes(text)) is None:
            return None
        found = self._compiled.search(raw) if search else self._compiled.fullmatch(raw)
        if found is None:
            return None
        held = found.groups()
        return {name: held[at].decode() for name, at in self._places if held[at] is not None}

    def _bytes(self, text: str) -> bytes | None:
        """What RE2 looks at; None for a text that is too long, or has half characters, which JSON can smuggle in."""
        if len(text) > self.longest:
            return None
        try:
            return text.encode()
        except UnicodeEncodeError:
            return None


def _said(error: Exception) -> str:
    raw = error.args[0] if error.args else ""
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
