"""What is wrong with a profile, said so that its author can mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path


@dataclass(frozen=True, order=True)
class Mistake:
    """One mistake: where it stands, what was found there, and what was expected."""

    file: Path
    line: int
    where: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.where}: found {self.found}, expected {self.expected}"


class ProfileMistakes(Exception):
    """Profiles that do not load; `mistakes` holds every mistake of every file."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = sorted(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


def one_of(known: Iterable[object]) -> str:
    """`one of a, b, c`, shortened where there are many."""
    words = sorted({str(word) for word in known})
    if not words:
        return "none: nothing of the kind is declared"
    shown = ", ".join(words[:12]) + (", …" if len(words) > 12 else "")
    return f"one of {shown}" if len(words) > 1 else words[0]


def nearest(word: object, known: Iterable[object], most: int = 1) -> str:
    """` (did you mean x?)`, or nothing: a question, as only whoever typed the word knows. Several, up to `most`, only
    where they are about as near."""
    names = sorted({str(one) for one in known})
    same = [name for name in names if name.lower() == str(word).lower()]
    close = (same or get_close_matches(str(word), names, n=most, cutoff=0.55))[:most]
    likely = [one for one in close if _likeness(word, one) > _likeness(word, close[0]) - _ABOUT_AS_NEAR]
    return f" (did you mean {' or '.join(likely)}?)" if likely else ""


_ABOUT_AS_NEAR = 0.1


def _likeness(word: object, known: str) -> float:
    return SequenceMatcher(None, known, str(word)).ratio()


def shown(value: object) -> str:
    """A value as mistakes quote it: short, and never a whole section."""
    if isinstance(value, dict):
        return f"a mapping of {len(value)} keys"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
