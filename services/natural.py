"""The order in which people count: "Door 2" before "Door 10", "port:2" before "port:10"."""

from __future__ import annotations

import re


def natural(name: str) -> list[tuple[int, str]]:
    """A key to sort by. Names come off the wire: of "digits" such as ² Python knows no number."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]
