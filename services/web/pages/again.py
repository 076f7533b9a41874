"""A refused form, shown again at an address of its own: with a POST the back button of a phone would fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from fastapi.responses import RedirectResponse

_TYPED = "typed."
_LONGEST = 6000
"""Characters of an address that every proxy takes."""


def shown_again(path: str, query: Mapping[str, str], typed: Mapping[str, str]) -> RedirectResponse | None:
    """To the form with what was typed; None where that is too long for an address."""
    # A field that was emptied stands there too: what it held before is not what was typed.
    said = {**query, **{f"{_TYPED}{name}": value.replace("\r\n", "\n") for name, value in typed.items()}}
    address = f"{path}?{urlencode(said)}"
    return RedirectResponse(address, status_code=303) if len(address) <= _LONGEST else None


def form_again(path: str, said: Sequence[tuple[str, str]], act: str) -> RedirectResponse | None:
    """To the form with its fields as they were sent (a name may come more than once), for `act`; None where that is
    too long for an address."""
    address = f"{path}?{urlencode([*said, ('act', act)])}"
    return RedirectResponse(address, status_code=303) if len(address) <= _LONGEST else None


def typed_before(query: Mapping[str, str]) -> dict[str, str]:
    """What was typed, from the address; empty where nothing was."""
    return {name.removeprefix(_TYPED): value for name, value in query.items() if name.startswith(_TYPED)}
