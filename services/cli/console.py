"""The console that all commands write to."""

from __future__ import annotations

import os

from rich.console import Console as RichConsole
from rich.console import ConsoleDimensions


class Console(RichConsole):
    """Rich's console without emoji codes: in `site.yaml:100: …` the `:100:` is a line, and `a:1:b` may be a device."""

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False, highlight: bool = True) -> None:
        super().__init__(stderr=stderr, soft_wrap=soft_wrap, highlight=highlight, emoji=False)

    @property
    def size(self) -> ConsoleDimensions:
        """As COLUMNS says when something is written, and not when this was made."""
        found, columns = super().size, os.environ.get("COLUMNS", "")
        return ConsoleDimensions(int(columns), found.height) if columns.isdigit() and int(columns) else found

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size
