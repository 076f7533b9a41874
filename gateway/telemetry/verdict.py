"""What InfluxDB says about lines that it did not take. Pure.

InfluxDB 1 and 2 write what they can of a request and answer 400 or 422 with the first problem that they met; there may
be others behind it. Answers that are not about lines (a wrong token, a full disk) are no verdict.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

import msgspec


class Kind(Enum):
    TOO_LARGE = "the request is too large"
    TOO_OLD = "older than what the database keeps"
    CONFLICT = "a field has another type in the database"
    BAD = "a line cannot be taken"


class Verdict(NamedTuple):
    kind: Kind
    message: str
    measurement: str = ""
    """Of the field in conflict, where the server names it."""
    field: str = ""
    dropped: int = 0
    """How many points were left out, where the server says."""


_CONFLICT = re.compile(r'input field "(?P<field>(?:[^"\\]|\\.)*)" on measurement "(?P<measurement>(?:[^"\\]|\\.)*)"')
_DROPPED = re.compile(r"dropped=(\d+)")
_TOO_OLD = re.compile(r"points (?:beyond|outside) retention policy")
"""InfluxDB 1 and 2.7; InfluxDB 2.9, which adds the oldest and the newest point that it has left out."""
_ABOUT_LINES = re.compile(
    r"partial write|unable to parse|field type conflict|points beyond retention|max key length|time outside range"
    r"|max-series-per-database|max-values-per-tag|missing fields|missing tag|invalid (?:field|tag|boolean|number|float)"
)


class _Said(msgspec.Struct):
    error: str = ""
    message: str = ""


def words_of(body: str) -> str:
    """The server's own words: InfluxDB 1 says `error`, InfluxDB 2 `message`; what else answers, its first line."""
    try:
        said = msgspec.json.decode(body, type=_Said)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return (body.strip().splitlines() or [""])[0][:200]
    return said.error or said.message


def verdict(status: int, words: str) -> Verdict | None:
    """None where the answer is not about the lines that were sent: then nothing of them may be given up."""
    if status == 413:
        return Verdict(Kind.TOO_LARGE, words)
    if status not in (400, 422) or not _ABOUT_LINES.search(words):
        return None
    dropped = _DROPPED.search(words)
    count = int(dropped[1]) if dropped else 0
    if _TOO_OLD.search(words) and count:
        return Verdict(Kind.TOO_OLD, words, dropped=count)
    named = _CONFLICT.search(words)
    if named:
        return Verdict(Kind.CONFLICT, words, named["measurement"], named["field"], count)
    return Verdict(Kind.BAD, words, dropped=count)
