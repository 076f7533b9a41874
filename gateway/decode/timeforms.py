"""Times written as text: ISO 8601 in its forms, and strptime formats compiled once.

The formats are read here and not by `datetime.strptime`: that one keeps only a handful of compiled formats, depends on
the process's locale, and knows no zone abbreviations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo

LONGEST = 64
TextReader = Callable[[str], datetime]
"""A text to a datetime, naive where the text names no zone; raises ValueError."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WHOLE_MONTHS = (
    "january|february|march|april|may|june|july|august|september|october|november|december"  # the long ones first
)
_DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday|mon|tue|wed|thu|fri|sat|sun"
_FORMS: dict[str, str] = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d{2})",
    "m": r"(?P<m>1[0-2]|0?[1-9])",
    "b": f"(?P<b>{'|'.join(_MONTHS)})",
    "B": f"(?P<b>{_WHOLE_MONTHS})",
    "d": r"(?P<d>3[01]|[12]\d|0?[1-9])",
    "j": r"(?P<j>\d{3})",
    "H": r"(?P<H>2[0-3]|[01]\d|\d)",
    "I": r"(?P<I>1[0-2]|0?[1-9])",
    "p": r"(?P<p>[ap]\.?m\.?|上午|下午)",
    "M": r"(?P<M>[0-5]\d|\d)",
    "S": r"(?P<S>6[01]|[0-5]\d|\d)",
    "f": r"(?P<f>\d{1,9})",
    "z": r"(?P<z>z|[+-]\d{2}(?::?\d{2})?)",
    "Z": r"(?P<Z>[a-z]{1,6})",
    "a": f"(?:{_DAYS})",
    "A": f"(?:{_DAYS})",
    "%": "%",
}
_SHORT = {"%F": "%Y-%m-%d", "%T": "%H:%M:%S", "%D": "%m/%d/%y", "%R": "%H:%M", "%h": "%b", "%e": "%d"}
_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
_OFFSET = re.compile(r"([+-])(\d{1,2}):?(\d{2})?")
_KNOWN_ZONES = {"utc": UTC, "gmt": UTC, "z": UTC}
_DIGITS_ALONE = re.compile(r"(\d{8})(\d{4})(\d{2})?(\d{1,9})?", re.ASCII)
_BLANK_BEFORE_ZONE = re.compile(r" (?=[+-]\d\d:?\d\d$|[zZ]$)")


def iso(text: str) -> datetime:
    """ISO 8601: date or date and time, basic or extended, any fraction, with or without a zone; also digits alone."""
    if text.isdigit():
        return _digits_alone(text)
    if text[-1:] == "z":
        text = text[:-1] + "Z"
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(_BLANK_BEFORE_ZONE.sub("", text))


def _digits_alone(text: str) -> datetime:
    """`20250619`, `202506191458`, `20250619145825`, `20250619145825105`."""
    if len(text) == 8:
        return datetime.fromisoformat(text)
    if (found := _DIGITS_ALONE.fullmatch(text)) is None:
        raise ValueError(text)
    day, minutes, seconds, fraction = found.groups()
    return datetime.fromisoformat(f"{day}T{minutes}{seconds or '00'}.{fraction or '0'}")


def text_format(format: str, zones: Mapping[str, str]) -> TextReader:
    """Compile a strptime format; `zones` are abbreviations with their offsets, for `%Z`. Raises ValueError.

    Months and weekdays are English, in any case; `%f` takes 1 to 9 digits; `%z` takes Z, +08, +0800 and +08:00.
    """
    if len(format) > 2 * LONGEST:
        raise ValueError(f"expected a time format of at most {2 * LONGEST} characters, found one of {len(format)}")
    for short, long in _SHORT.items():
        format = format.replace(short, long)
    pattern = re.compile(_pattern(format.strip()), re.ASCII | re.IGNORECASE)
    known: dict[str, tzinfo] = {**_KNOWN_ZONES, **{name.lower(): _offset(text) for name, text in zones.items()}}

    def read(text: str) -> datetime:
        found = pattern.fullmatch(text)
        if found is None:
            raise ValueError(text)
        return _moment(found.groupdict(), known)

    return read


def _pattern(format: str) -> str:
    pieces: list[str] = []
    seen: set[str] = set()
    at = 0
    for found in _DIRECTIVE.finditer(format):
        pieces.append(_plain(format[at : found.start()]))
        at, directive = found.end(), found[1]
        if directive not in _FORMS or directive in seen - {"%", "a", "A"} or ({"b", "B"} <= seen | {directive}):
            known = " ".join(f"%{name}" for name in _FORMS)
            raise ValueError(f"expected one each of {known} in a time format, found %{directive} in {format!r}")
        seen.add(directive)
        pieces.append(_FORMS[directive])
    pieces.append(_plain(format[at:]))
    if "I" in seen and "p" not in seen:
        raise ValueError(f"expected %p beside %I in a time format, found {format!r}")
    return "".join(pieces)


def _plain(text: str) -> str:
    return r"\s+".join(re.escape(word) for word in re.split(r"\s+", text))


def _offset(text: str) -> tzinfo:
    found = _OFFSET.fullmatch(text.strip())
    if found is None:
        raise ValueError(f'expected an offset such as "+08:00" in zones, found {text!r}')
    minutes = int(found[2]) * 60 + int(found[3] or 0)
    if minutes >= 24 * 60:
        raise ValueError(f'expected an offset such as "+08:00" in zones, found {text!r}')
    return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes))


def _moment(said: dict[str, str | None], zones: Mapping[str, tzinfo]) -> datetime:
    """What is not said is the first: January, day 1, midnight; a year that is not said is 1900."""
    month, day = _month(said), int(said.get("d") or 1)
    micro = int((said.get("f") or "0").ljust(6, "0")[:6])
    second = min(int(said.get("S") or 0), 59)  # a leap second is the last one once more
    moment = datetime(_year(said), month, day, _hour(said), int(said.get("M") or 0), second, micro, _zone(said, zones))
    if (day_of_year := said.get("j")) is not None:
        moment += timedelta(days=int(day_of_year) - 1)
    return moment


def _year(said: dict[str, str | None]) -> int:
    if (short := said.get("y")) is not None:
        return int(short) + (2000 if int(short) < 69 else 1900)
    return int(said.get("Y") or 1900)


def _month(said: dict[str, str | None]) -> int:
    if (name := said.get("b")) is not None:
        return _MONTHS.index(name[:3].lower()) + 1
    return int(said.get("m") or 1)


def _hour(said: dict[str, str | None]) -> int:
    if (hour := said.get("I")) is None:
        return int(said.get("H") or 0)
    afternoon = (said.get("p") or "").lower()[:1] in ("p", "下")
    return int(hour) % 12 + (12 if afternoon else 0)


def _zone(said: dict[str, str | None], zones: Mapping[str, tzinfo]) -> tzinfo | None:
    if (name := said.get("Z")) is not None:
        zone = zones.get(name.lower())
        if zone is None:
            raise ValueError(f"zone {name}")
        return zone
    if (offset := said.get("z")) is not None:
        return UTC if offset in "zZ" else _offset(offset)
    return None
