"""Expressions where they stand: what the grammar says, at the line of the file."""

from __future__ import annotations

import re
from collections.abc import Callable

from device_profiles.checks.subject import Mistakes, Path, Subject
from device_profiles.expression import Expression, ExpressionError, Names, parse, parse_number


def check_condition(subject: Subject, text: str, names: Names, path: Path) -> Mistakes:
    return _checked(subject, text, path, lambda: parse(text, names))


def check_number(subject: Subject, text: str, names: Names, path: Path, uom: str) -> Mistakes:
    return _checked(subject, text, path, lambda: parse_number(text, names, uom))


def _checked(subject: Subject, text: str, path: Path, parsed: Callable[[], Expression]) -> Mistakes:
    try:
        parsed()
    except ExpressionError as error:
        if not subject.left_out.intersection(re.findall(r"\w+", text)):
            quoted = text if len(text) <= 120 else text[:119] + "…"
            yield subject.mistake(path, f"{error.found} at column {error.column} of {quoted!r}", error.expected)
