"""Text -> tokens."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from device_profiles import units
from device_profiles.expression.vocabulary import (
    LONGEST,
    WORDS,
    ExpressionError,
    Names,
)
from device_profiles.mistakes import nearest


class Token(NamedTuple):
    kind: str  # number, unit, name, string, sign, end
    text: str
    column: int


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
    | (?P<string>"[^"]*"|'[^']*')
    | (?P<sign>==|!=|<=|>=|&&|\|\||[-+*/(),<>=\[\]!])
    )""",
    re.VERBOSE,
)
_UNKNOWN_UNIT = re.compile(r"\s*([^\W\d_][\w/]*|[°%‰µ]\w*)")
_HINTS = {"=": "==", "&&": "and", "||": "or", "!": "not or !="}


@lru_cache(maxsize=64)
def _unit_pattern(own: frozenset[str]) -> re.Pattern[str]:
    """Units of this profile beside the known ones. `5m/min(…)` divides: a unit is not called."""
    per = {f"{uom}/{time}" for uom in own for time in ("s", "min", "h", "d")}
    symbols = sorted(units.KNOWN | own | per, key=len, reverse=True)
    return re.compile(rf"\s*({'|'.join(re.escape(symbol) for symbol in symbols)})(?!\w|\s*\()")


def tokens_of(text: str, names: Names) -> list[Token]:
    if len(text) > LONGEST:
        raise ExpressionError(LONGEST + 1, f"{len(text)} characters", f"at most {LONGEST}")
    names = _with_members(names)
    unit = _unit_pattern(frozenset(type_.uom for type_ in names.types.values() if type_.uom))
    tokens: list[Token] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            column = at + len(text[at:]) - len(text[at:].lstrip())
            raise ExpressionError(column + 1, repr(text[column]), "a name, a number or an operator")
        kind = found.lastgroup
        token = Token(kind, found[kind], found.start(kind) + 1)
        if token.text in _HINTS:
            raise ExpressionError(token.column, repr(token.text), _HINTS[token.text])
        tokens.append(token)
        at = found.end()
        if kind == "number":
            at = _take_unit(text, at, unit, names, tokens)
    return [*tokens, Token("end", "", end + 1)]


def _with_members(names: Names) -> Names:
    """Units and names of the members may be written as well."""
    if not names.groups:
        return names
    return Names({name: type_ for one in (*names.groups.values(), names) for name, type_ in one.types.items()})


def _take_unit(text: str, at: int, unit: re.Pattern[str], names: Names, tokens: list[Token]) -> int:
    if found := unit.match(text, at):
        tokens.append(Token("unit", found[1], found.start(1) + 1))
        return found.end()
    follows = _UNKNOWN_UNIT.match(text, at)
    if follows and follows[1] not in WORDS and follows[1] not in names.types:
        known = units.KNOWN | {type_.uom for type_ in names.types.values() if type_.uom}
        raise ExpressionError(follows.start(1) + 1, f"the unit {follows[1]!r}", f"a unit{nearest(follows[1], known)}")
    return at


def shown(token: Token) -> str:
    return "the end" if token.kind == "end" else repr(token.text)
