"""A condition taken apart at its outermost `or` or `and`, so that each part can be judged by itself. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(r"\"[^\"]*\"|'[^']*'|\w+|\S")


class Parts(NamedTuple):
    joined_by: str
    """`or`, `and`, or "" where there is but one part."""
    texts: tuple[str, ...]


def parts_of(condition: str) -> Parts:
    """`a > 1 and (b or c)` -> and: `a > 1`, `(b or c)`. What `or` joins comes apart first, as it binds less."""
    for word in ("or", "and"):
        texts = _split(condition, word)
        if len(texts) > 1:
            return Parts(word, tuple(texts))
    return Parts("", (condition.strip(),))


def within_brackets(text: str) -> str:
    """`(b or c)` -> `b or c`; what does not stand in one pair of brackets stays."""
    text = text.strip()
    while text.startswith("(") and _closes_at(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _closes_at(text: str) -> int:
    """Where the bracket closes with which a text begins; -1 where none does."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += (token[0] in "([") - (token[0] in ")]")
        if not depth:
            return token.start()
    return -1


def _split(text: str, word: str) -> list[str]:
    depth, begins, found = 0, 0, []
    for token in _TOKEN.finditer(text):
        if token[0] in "([":
            depth += 1
        elif token[0] in ")]":
            depth -= 1
        elif token[0] == word and not depth:
            found.append(text[begins : token.start()].strip())
            begins = token.end()
    return [*found, text[begins:].strip()]
