"""The console that all commands write to."""

from __future__ import annotations

from rich.console import Console as RichConsole


class Console(RichConsole):
    """Rich's console without emoji codes: in `site.yaml:100: …` the `:100:` is a line, and `a:1:b` may be a device."""

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False, highlight: bool = True) -> None:
        super().__init__(stderr=stderr, soft_wrap=soft_wrap, highlight=highlight, emoji=False)
