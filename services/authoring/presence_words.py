"""Words by which devices, brokers and bridges say that somebody is there or gone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from services.authoring import ids

Said = Literal["online", "offline"]
_PAIRS = (
    ("online", "offline"),
    ("connected", "disconnected"),
    ("alive", "dead"),
    ("available", "unavailable"),
    ("up", "down"),
    ("active", "inactive"),
    ("true", "false"),
    ("1", "0"),
    ("on", "off"),
)
_PLAIN = {"online", "offline", "connected", "disconnected", "unavailable", "alive", "dead", "lost"}
"""Words that say it whatever the topic is called."""
_TOPICS = ids.words(
    "lwt online available availability avail connected connection alive will status state heartbeat presence link"
)
_LOOSE = ids.words("lwt online available availability avail connected connection alive will presence")
"""Topics on which even `true`, `1` and `up` say it."""
HOMIE: dict[str, Said] = {
    "init": "online", "ready": "online", "alert": "online", "sleeping": "online", "disconnected": "offline",
    "lost": "offline",
}  # fmt: skip


def presence_of(topic_word: str, seen: Sequence[Any]) -> tuple[dict[str, Said], list[str]] | None:
    """(payload word -> what it says, words that were not seen), or None where these are no such words."""
    words = list(dict.fromkeys(_word(value) for value in seen if value is not None and value != ""))
    if not words or len(words) > len(HOMIE):
        return None
    if topic_word == "$state" and all(word in HOMIE for word in words):
        return dict(HOMIE), [word for word in HOMIE if word not in words]
    lower = {word.lower() for word in words}
    about = topic_word.lower()
    if not (lower <= _PLAIN and (about in _TOPICS or lower & {"online", "offline"})) and about not in _LOOSE:
        return None
    for online, offline in _PAIRS:
        if lower <= {online, offline}:
            both: dict[str, Said] = {_spelt(online, words): "online", _spelt(offline, words): "offline"}
            return both, [word for word in both if word not in words]
    return None


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _spelt(word: str, seen: Iterable[str]) -> str:
    for one in seen:
        if one.lower() == word:
            return one
        if one.isupper():
            word = word.upper()
        elif one[:1].isupper():
            word = word.capitalize()
    return word
