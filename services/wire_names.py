"""Names off the wire, as the database keeps them.

Every place that must find a device again by what it calls itself asks here: it is found, and not there twice.
"""

from __future__ import annotations

import hashlib
import re

from gateway.reading import provisional_id

LONGEST_ID = 64
"""Of devices, children and profiles, in characters."""
LONGEST_ADDRESS = 128
UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
"""What a database takes in no text: NUL and halves of characters."""


def writable(name: str, longest: int = LONGEST_ID) -> str:
    """A name without what a database does not take; a longer one is shortened, and ends in a digest of the whole."""
    name = UNWRITABLE.sub("?", name)
    if len(name) <= longest:
        return name
    return f"{name[: longest - 17]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def unclaimed_id(profile: str, address: str) -> str:
    """The id of a device that has no place, as it is heard and as it becomes when its adoption is undone."""
    return writable(provisional_id(profile, address))
