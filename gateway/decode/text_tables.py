"""Text in columns, pairs or patterns: the codecs csv, fixed, pairs, regex and pivot."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from typing import Any

from device_profiles.schema.layouts import Column, Csv, Match, Pairs, Pivot
from gateway.decode.errors import DecodeError, shown
from gateway.decode.paths import getter, parse_path
from gateway.decode.text import read_text
from gateway.decode.text_patterns import Pattern

MOST_CELLS = 50_000
MOST_ROWS = 4096
MOST_PAIRS = 4096
_MOST_LEVELS = 8
"""Levels that `nest` makes of one key; what is left of it is the last one's name."""

Step = Callable[[Any], Any]


def _too_many(found: int, what: str, most: int) -> DecodeError:
    return DecodeError("too_many", found=f"{found} {what}", expected=f"at most {most}")


# --- csv -------------------------------------------------------------------------------------------------------------


def csv_reader(layout: Csv) -> Step:
    """A line or lines with a separator -> array or object of texts; raises ValueError.

    Blanks around a cell are cut off. A line with fewer cells than columns says nothing about the rest; cells beyond
    the columns are left out.
    """
    names = layout.columns
    if layout.header and names:
        raise ValueError("expected columns or header in csv, found both")
    given = [name for name in names if name is not None]
    if len(given) != len(set(given)):
        raise ValueError("expected every column of csv once, found one twice")
    split = _splitter(layout)
    one_line = not layout.rows and not layout.header

    def read(raw: Any) -> Any:
        text = read_text(raw)
        if (cells := text.count(layout.separator)) > MOST_CELLS:
            raise _too_many(cells, "cells", MOST_CELLS)
        lines = [text.strip("\r\n\0")] if one_line else _lines(text)
        if not lines or not any(lines):
            raise DecodeError("malformed", found="an empty text", expected=f"values between {layout.separator!r}")
        rows = [row for row in split(lines) if row]
        return _arranged(rows, layout)

    return read


def _arranged(rows: list[list[str]], layout: Csv) -> Any:
    names: tuple[str | None, ...] = layout.columns
    if layout.header:
        names, rows = tuple(rows[0]), rows[1:]
        if not rows and not layout.rows:
            raise DecodeError("malformed", found="the header alone", expected="a line of values below it")
    shaped = [_named(row, names) if names else row for row in rows]
    return shaped if layout.rows else shaped[0]


def _named(row: list[str], names: tuple[str | None, ...]) -> dict[str, str]:
    return {name: cell for name, cell in zip(names, row, strict=False) if name is not None}


def _lines(text: str) -> list[str]:
    lines = [line for line in text.strip("\0").splitlines() if line.strip()]
    if len(lines) > MOST_ROWS + 1:
        raise _too_many(len(lines), "lines", MOST_ROWS)
    return lines


def _splitter(layout: Csv) -> Callable[[list[str]], list[list[str]]]:
    separator, quote = layout.separator, layout.quote
    if quote is None:
        return lambda lines: [[cell.strip() for cell in line.split(separator)] for line in lines]
    if len(separator) != 1 or len(quote) != 1 or quote == separator or (separator + quote).isspace():
        raise ValueError("expected one character each as separator and quote of csv")

    def split(lines: list[str]) -> list[list[str]]:
        try:
            read = csv.reader(lines, delimiter=separator, quotechar=quote, skipinitialspace=True, strict=True)
            return [[cell.strip() for cell in row] for row in read]
        except csv.Error as error:
            raise DecodeError("malformed", found=f"{shown(lines[0])}: {error}", expected="values in quotes") from None

    return split


# --- fixed -----------------------------------------------------------------------------------------------------------


def fixed_reader(columns: tuple[Column, ...]) -> Step:
    """A line of fixed columns -> object of texts, blanks around them cut off; raises ValueError.

    A column that begins beyond the end of the text is missing; one that is cut in two is a DecodeError.
    """
    if not columns:
        raise ValueError("expected at least one column in fixed")
    if len({column.name for column in columns}) != len(columns):
        raise ValueError("expected every column of fixed once, found one twice")
    for column in columns:
        if column.start < 0 or (column.end is not None and column.end <= column.start):
            raise ValueError(
                f"expected a column from start (at least 0) up to a later end, found {column.name!r} with "
                f"{column.start} and {column.end}"
            )
    places = [(column.name, column.start, column.end) for column in columns]

    def read(raw: Any) -> Any:
        text = read_text(raw).rstrip("\r\n\0")
        found: dict[str, str] = {}
        for name, start, end in places:
            if start >= len(text):
                continue
            if end is not None and end > len(text):
                raise DecodeError("truncated", field=name, found=f"{len(text)} characters", expected=f"at least {end}")
            found[name] = text[start:end].strip()
        if not found:
            raise DecodeError("truncated", found=shown(text), expected="a line of fixed columns")
        return found

    return read


# --- pairs -----------------------------------------------------------------------------------------------------------


def pairs_reader(layout: Pairs) -> Step:
    """Text of pairs -> object of texts; raises ValueError.

    Of equal keys the last counts. A part without `equals` is a flag, and true. Under `nest`, a key that is also the
    beginning of others keeps its own value as "".
    """
    if set(layout.between) & set(layout.equals):
        raise ValueError("expected between and equals of pairs to have no character in common")
    if layout.nest == "":
        raise ValueError("expected a separator as nest of pairs, found an empty text")
    parts = re.compile("[" + re.escape(layout.between) + "]+")
    equals, nest = layout.equals, layout.nest

    def read(raw: Any) -> Any:
        text = read_text(raw).strip("\0")
        if (count := text.count(equals)) == 0:
            raise DecodeError("malformed", found=shown(text), expected=f"pairs such as key{equals}value")
        pieces = parts.split(text, MOST_PAIRS) if count <= MOST_PAIRS else []
        if not 0 < len(pieces) <= MOST_PAIRS:
            raise _too_many(max(count, len(pieces)), "pairs", MOST_PAIRS)
        found: dict[str, Any] = {}
        for piece in pieces:
            key, sign, value = piece.partition(equals)
            if key := key.strip():
                _put(found, key, value.strip() if sign else True, nest)
        return found

    return read


def _put(found: dict[str, Any], key: str, value: Any, nest: str | None) -> None:
    path = [key] if nest is None else key.split(nest, _MOST_LEVELS - 1)
    for name in path[:-1]:
        inner = found.get(name)
        if type(inner) is not dict:
            inner = found[name] = {} if inner is None else {"": inner}
        found = inner
    if type(already := found.get(path[-1])) is dict:
        already[""] = value
    else:
        found[path[-1]] = value


# --- regex -----------------------------------------------------------------------------------------------------------


def regex_reader(layout: Match) -> Step:
    """A text that matches -> object of its named groups, those that took no part left out; raises ValueError."""
    pattern = Pattern(layout.pattern, capturing=True)
    if not pattern.names:
        raise ValueError(f"expected named groups such as (?P<power>[0-9.]+), found {layout.pattern!r}")
    search = layout.search

    def read(raw: Any) -> Any:
        text = read_text(raw)
        if len(text) > pattern.longest:
            raise DecodeError(
                "too_large", found=f"a text of {len(text)}", expected=f"at most {pattern.longest} characters"
            )
        found = pattern.groups(text, search=search)
        if found is None:
            raise DecodeError("malformed", found=shown(text), expected=f"a text that matches {shown(pattern.text)}")
        return found

    return read


# --- pivot -----------------------------------------------------------------------------------------------------------


def pivot_reader(layout: Pivot) -> Step:
    """An array of objects that name a value each -> one object; a single such object is an array of one.

    `name` and `value` are paths of the element. An element without a name says nothing.
    """
    name_of, value_of = getter(parse_path(layout.name)), getter(parse_path(layout.value))
    last = layout.last

    def read(raw: Any) -> Any:
        elements = [raw] if isinstance(raw, dict) else raw
        if not isinstance(elements, list):
            raise DecodeError("wrong_type", found=shown(raw), expected="an array of objects")
        found: dict[str, Any] = {}
        for element in elements:
            name = name_of(element)
            if name is None:
                continue
            if type(name) is int and name.bit_length() <= 64:
                name = str(name)
            elif not isinstance(name, str):
                raise DecodeError("wrong_type", field=layout.name, found=shown(name), expected="a text or whole number")
            if last or name not in found:
                found[name] = value_of(element)
        return found

    return read
