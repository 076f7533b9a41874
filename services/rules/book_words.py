"""Parts of a rule that a rule book changes, as people type them on one line each, and back. Pure.

    grades        critical when pressure < 0.1 after 5m; major after 1h
    schedule      mon-fri 08:00-20:00; sat,sun 09:00-12:00
    flapping      4 in 30m
    suppressed_by mains_lost, parent_down

`none` stands for none at all (grades, causes), and `always` for no schedule. Parsing raises ValueError, which says what
was found and what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from device_profiles.expression import stretch_text
from device_profiles.schema import Rule, Schedule, Severity, parse_duration
from device_profiles.schema.base import Part
from device_profiles.schema.behaviour import Flapping, Grade, Weekday

T = TypeVar("T", bound=Part)
NONE, ALWAYS = "none", "always"
_DAYS: tuple[str, ...] = get_args(Weekday)
_GRADE = re.compile(
    r"(?P<severity>\S+)(?:\s+when\s+(?P<when>.+?))?(?:\s+after\s+(?P<after>[\d.]+\s*[a-z]+))?", re.DOTALL
)
_STRETCH = re.compile(r"(?:(?P<days>[a-z][a-z,\s-]*?)\s+)?(?P<from>\d{1,2}:\d\d)\s*[-\u2013]\s*(?P<to>\d{1,2}:\d\d)")
_FLAPPING = re.compile(r"(?P<times>\d+)\s*(?:x|times)?\s+in\s+(?P<within>\S+)")
_LINES = re.compile(r"[;\n]")


# --- as it is typed ---------------------------------------------------------------------------------------------------


def grades_said(grades: Iterable[Grade]) -> str:
    return "; ".join(map(_grade_said, grades)) or NONE


def _grade_said(grade: Grade) -> str:
    when = f" when {grade.when}" if grade.when is not None else ""
    return f"{grade.severity.value}{when}" + (f" after {_stretch(grade.after)}" if grade.after is not None else "")


def schedule_said(schedule: Iterable[Schedule]) -> str:
    return "; ".join(f"{days_said(one.days)} {one.from_}-{one.to}" for one in schedule) or ALWAYS


def days_said(days: Iterable[str]) -> str:
    """Days that follow each other as mon-fri, others by commas."""
    wanted = [_DAYS.index(day) for day in dict.fromkeys(days)]
    ordered = sorted(wanted)
    if len(ordered) > 2 and ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{_DAYS[ordered[0]]}-{_DAYS[ordered[-1]]}"
    return ",".join(_DAYS[day] for day in ordered)


def flapping_said(flapping: Flapping) -> str:
    return f"{flapping.times} in {_stretch(flapping.within)}"


def causes_said(causes: Iterable[str]) -> str:
    return ", ".join(causes) or NONE


def words_of(rule: Rule) -> dict[str, str]:
    """Field -> what it says, for a form."""
    values = {field: getattr(rule, field) for field in READERS}
    return {field: "" if value is None else said(field, value) for field, value in values.items()}


def _stretch(length: timedelta) -> str:
    return stretch_text(length.total_seconds())


# --- what was typed ---------------------------------------------------------------------------------------------------


def read_grades(text: str) -> tuple[Grade, ...]:
    return () if text.strip() == NONE else tuple(_grade(line) for line in _lines(text))


def _grade(line: str) -> Grade:
    found = _GRADE.fullmatch(line)
    if found is None or not (found["when"] or found["after"]):
        raise ValueError(f"found {line!r}, expected a severity with `when` or `after`, such as critical after 30m")
    if found["severity"] not in tuple(Severity):
        raise ValueError(f"found {found['severity']!r}, expected one of {', '.join(Severity)}")
    after = found["after"]
    return Grade(
        severity=Severity(found["severity"]), when=found["when"], after=parse_duration(after) if after else None
    )


def read_schedule(text: str) -> tuple[Schedule, ...]:
    return () if text.strip() == ALWAYS else tuple(_stretch_of(line) for line in _lines(text))


def _stretch_of(line: str) -> Schedule:
    found = _STRETCH.fullmatch(line.lower())
    if found is None:
        raise ValueError(f"found {line!r}, expected days and times such as mon-fri 08:00-20:00")
    begins, ends = (clock.zfill(5) for clock in (found["from"], found["to"]))
    if begins == ends:
        raise ValueError(f"found {line!r}, which ends where it begins; a whole day is 00:00-24:00")
    days = tuple(_days(found["days"])) if found["days"] else _DAYS
    return _valid(Schedule, {"days": days, "from": begins, "to": ends})


def _days(text: str) -> Iterator[str]:
    for part in filter(None, re.split(r"[,\s]+", text)):
        first, dash, last = part.partition("-")
        if first not in _DAYS or (dash and last not in _DAYS):
            raise ValueError(f"found {part!r}, expected days such as mon-fri or sat,sun")
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        yield from _DAYS[begin : end + 1] if begin <= end else (*_DAYS[begin:], *_DAYS[: end + 1])


def read_flapping(text: str) -> Flapping:
    found = _FLAPPING.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"found {text!r}, expected how often in what time, such as 4 in 30m")
    return _valid(Flapping, {"times": int(found["times"]), "within": parse_duration(found["within"])})


def read_causes(text: str) -> tuple[str, ...]:
    return () if text.strip() == NONE else tuple(filter(None, re.split(r"[,;\s]+", text)))


def read_within(text: str) -> timedelta:
    return parse_duration(text)


READERS: Mapping[str, Callable[[str], Any]] = {
    "grades": read_grades,
    "schedule": read_schedule,
    "flapping": read_flapping,
    "acknowledge_within": read_within,
    "suppressed_by": read_causes,
}
"""Field -> what reads it."""


def said(field: str, value: Any) -> str:
    """A value of a book as it is typed."""
    sayers: Mapping[str, Callable[[Any], str]] = {
        "grades": grades_said,
        "schedule": schedule_said,
        "flapping": flapping_said,
        "acknowledge_within": _stretch,
        "suppressed_by": causes_said,
    }
    return sayers[field](value)


def _lines(text: str) -> list[str]:
    # Of a long run of spaces the patterns would try every cut.
    return [" ".join(line.split()) for line in _LINES.split(text) if line.strip()]


def _valid(what: type[T], data: Mapping[str, Any]) -> T:
    try:
        return what.model_validate(data)
    except ValidationError as error:
        one = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, one['loc']))}: {one['msg']}") from None
