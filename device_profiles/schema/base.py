"""What every section of a profile is made of: durations, identifiers, texts in both languages, tones."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$")
_UNIT_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(raw: object) -> timedelta:
    """`"30s"`, `"5m"`, `"1h"`, `"7d"`, `"250ms"` -> timedelta; raises ValueError."""
    if isinstance(raw, timedelta):
        return raw
    if isinstance(raw, str) and (found := _DURATION.match(raw.strip())):
        return timedelta(seconds=float(found[1]) * _UNIT_SECONDS[found[2]])
    raise ValueError(f'expected a duration such as "30s", "5m", "1h" or "7d", found {raw!r}')


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(lambda d: f"{d.total_seconds():g}s", return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DURATION.pattern}),
]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=48)]
ProfileId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=64)]
Scalar = float | int | str | bool


class Part(BaseModel):
    """Base of every section: frozen, and an unknown key is a mistake rather than a silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Text(Part):
    """The same words in each language of the product."""

    zh: str
    en: str

    def in_(self, language: str) -> str:
        return self.zh if language.startswith("zh") else self.en


class Severity(StrEnum):
    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"
    WARNING = "warning"


class Priority(StrEnum):
    """How soon a ticket must be worked on."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"


class Tone(StrEnum):
    """How a state looks; always shown together with its word."""

    OK = "ok"
    ACTIVE = "active"
    IDLE = "idle"
    WARN = "warn"
    BAD = "bad"
    UNKNOWN = "unknown"
