"""What is wrong in a site file, said to whoever writes it: the place, what was found, what was expected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from device_profiles.mistakes import nearest
from device_profiles.schema import (
    Clear,
    Flapping,
    Grade,
    ResidentWording,
    Schedule,
    Source,
    TicketTemplate,
)
from device_profiles.yaml_lines import Document
from services.sites.model import (
    BuildingEntry,
    Feed,
    Member,
    Recipient,
    RuleMembers,
    SiteDevice,
    SiteFile,
    SiteRule,
    Supply,
    UnitEntry,
    UnitRef,
)

Where = tuple[str | int, ...]


@dataclass(frozen=True)
class SiteMistake:
    """One thing to mend in the file."""

    file: str
    line: int
    where: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.where}: found {self.found}, expected {self.expected}"


class SiteMistakes(Exception):
    """The file is not imported; nothing has changed."""

    def __init__(self, mistakes: Sequence[SiteMistake]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in mistakes))


def by_line(mistakes: Iterable[SiteMistake]) -> list[SiteMistake]:
    return sorted(set(mistakes), key=lambda one: (one.line, one.where))


def shape_mistake(file: str, document: Document, error: ErrorDetails) -> SiteMistake:
    where = tuple(error["loc"])
    line = document.line(where)
    if error["type"] == "extra_forbidden":
        known = _siblings(where)
        expected = known_one(str(where[-1]), known)
        return SiteMistake(file, line, words(where[:-1]) or "file", f"unknown key {where[-1]!r}", expected)
    if error["type"] == "missing":
        return SiteMistake(file, line, words(where), "nothing", "a value")
    return SiteMistake(file, line, words(where), short(error["input"]), _expected(error))


def _expected(error: ErrorDetails) -> str:
    """What pydantic expects, in the words of somebody who writes a site file."""
    if error["type"] == "string_pattern_mismatch":
        if error["loc"][-1:] == ("digest",):
            return "a time of day such as 08:00"
        return "letters, digits, '_', '.' and '-' only, with a letter or digit first"
    if error["type"] == "string_type" and type(error["input"]) in (int, float):
        return "a text: write quotes around it, as it is printed on the device"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ").removeprefix("String should ")
    expected = message.split(", unable to")[0]
    for theirs, ours in (
        ("a valid integer", "a whole number"),
        ("a valid string", "a text"),
        ("a valid list", "a list"),
    ):
        expected = expected.replace(theirs, ours)
    return expected


def _siblings(where: Where) -> list[str]:
    """The keys that the model at this place knows."""
    model: Any = SiteFile
    for part in where[:-1]:
        if isinstance(part, str):
            model = _MODELS.get((model.__name__, part), model)
    return [field.alias or name for name, field in model.model_fields.items()]


_MODELS: dict[tuple[str, str], Any] = {
    ("SiteFile", "buildings"): BuildingEntry,
    ("BuildingEntry", "units"): UnitEntry,
    ("SiteFile", "devices"): SiteDevice,
    ("SiteFile", "supplies"): Supply,
    ("Supply", "members"): Member,
    ("Supply", "units"): UnitRef,
    ("SiteFile", "feeds"): Feed,
    ("SiteFile", "rules"): SiteRule,
    ("SiteRule", "of"): RuleMembers,
    ("SiteRule", "clear"): Clear,
    ("SiteRule", "grades"): Grade,
    ("SiteRule", "schedule"): Schedule,
    ("SiteRule", "flapping"): Flapping,
    ("SiteRule", "source"): Source,
    ("SiteRule", "ticket"): TicketTemplate,
    ("SiteRule", "residents"): ResidentWording,
    ("SiteFile", "recipients"): Recipient,
}


def known_one(word: str, known: Iterable[str]) -> str:
    """What is expected in place of a name that means nothing: "one that there is (did you mean pump or pumps?)".

    All of them where there are few or nothing is similar.
    """
    there = sorted(set(known))
    if not there:
        return "none: there are none"
    meant = nearest(word, there, most=3)
    if meant and len(there) > _FEW:
        return f"one that there is{meant}"
    return f"one of {', '.join(there[:12])}{', …' if len(there) > 12 else ''}{meant}"


_FEW = 3


def words(where: Where) -> str:
    text = ""
    for part in where:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
