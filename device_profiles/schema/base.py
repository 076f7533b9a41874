"""What every section of a profile is made of: durations, identifiers, texts in both languages, tones."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$")
_STEP = re.compile(_DURATION.pattern.replace("^", "^-?", 1))
_LONGEST = timedelta(days=36_500)
_UNIT_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(raw: object) -> timedelta:
    """`"30s"`, `"5m"`, `"1h"`, `"7d"`, `"250ms"` -> timedelta; raises ValueError."""
    if isinstance(raw, timedelta):
        return raw
    if isinstance(raw, str) and (found := _DURATION.match(raw.strip())):
        seconds = float(found[1]) * _UNIT_SECONDS[found[2]]
        if seconds > _LONGEST.total_seconds():
            raise ValueError(f"expected a duration of at most {_LONGEST.days}d, found {raw[:40]!r}")
        return timedelta(seconds=seconds)
    raise ValueError(f'expected a duration such as "30s", "5m", "1h" or "7d", found {raw!r}')


def parse_step(raw: object) -> timedelta:
    """A duration that may go backwards: `"15m"`, `"-60s"` -> timedelta; raises ValueError."""
    backwards = isinstance(raw, str) and raw.strip().startswith("-")
    try:
        return -parse_duration(raw.strip()[1:]) if backwards and isinstance(raw, str) else parse_duration(raw)
    except ValueError:
        raise ValueError(f'expected a duration such as "15m", or "-60s" for backwards, found {raw!r}') from None


def paths_of(path: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The paths of a `ValuePath`, in the order in which they are tried."""
    return () if path is None else (path,) if isinstance(path, str) else path


def _written(length: timedelta) -> str:
    """In whole seconds where it is of such, and never rounded: it is read again."""
    seconds = f"{length.total_seconds():.6f}"
    return f"{seconds.rstrip('0').rstrip('.')}s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(_written, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DURATION.pattern}),
]
TimeStep = Annotated[
    timedelta,
    BeforeValidator(parse_step),
    PlainSerializer(_written, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _STEP.pattern}),
]
"""A duration, or with a minus one that goes backwards."""
ValuePath = str | Annotated[tuple[str, ...], Field(min_length=1, max_length=8)]
"""The path of a value: `a.b[0]."c:d"`; "" or "$" is the whole payload or element. Of several, `[a, b.c]`, the first at
which something stands."""
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
