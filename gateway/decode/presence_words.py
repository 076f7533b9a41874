"""What a message says about the session of its device, or of a child: by a word in it, or by what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from device_profiles.schema import ValuePath, paths_of
from gateway.decode.errors import DecodeError, shown
from gateway.decode.paths import parse_path
from gateway.decode.scope import Scope, first_getter
from gateway.reading import Presence

PresenceReader = Callable[[Scope], Presence]


def presence_reader(
    words: Mapping[str, Literal["online", "offline"]] | None,
    path: ValuePath | None,
    *,
    says: Literal["online", "offline"] | None,
    optional: bool,
) -> PresenceReader | None:
    """A closure that reads it; None where nothing is ever said. `optional`: the word may be missing, since the message
    says other things as well. Raises ValueError."""
    if words is None:
        if says is None:
            return None
        meant = Presence(says)
        return lambda _: meant
    if says is not None:
        raise ValueError("expected presence or says, found both")
    meanings = {word: Presence(meaning) for word, meaning in words.items()}
    get = first_getter([parse_path(one) for one in paths_of(path) or ("",)])
    expected = "one of " + ", ".join(sorted(meanings))
    may_miss = path is not None and optional

    def read(scope: Scope) -> Presence:
        raw = get(scope)
        if raw is None and may_miss:
            return Presence.UNSAID
        word = ("true" if raw else "false") if type(raw) is bool else raw.strip() if type(raw) is str else shown(raw)
        if (said := meanings.get(word)) is None:
            raise DecodeError("unknown_word", field="presence", found=shown(raw), expected=expected)
        return said

    return read
