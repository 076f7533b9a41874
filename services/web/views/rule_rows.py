"""Grades and schedules of a rule as rows of a form, which works without scripts, and as the text that they stand for.

Fields: `grades.0.severity`, `grades.0.when`, `grades.0.after`; `schedule.0.mon` … `schedule.0.sun`, `schedule.0.from`,
`schedule.0.to`. A row that says nothing is no row. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import get_args

from device_profiles.expression import stretch_text
from device_profiles.schema.behaviour import Weekday
from services.rules.book_words import ALWAYS, NONE, read_grades, read_schedule

DAYS: tuple[str, ...] = get_args(Weekday)
_SPARE = {"grades": 2, "schedule": 1}
_MOST = 20


@dataclass(frozen=True)
class GradeRow:
    severity: str = ""
    when: str = ""
    after: str = ""


@dataclass(frozen=True)
class ScheduleRow:
    days: frozenset[str] = field(default_factory=frozenset)
    begins: str = ""
    ends: str = ""


def folded(typed: Mapping[str, str]) -> dict[str, str]:
    """What was typed, with the rows as the text that they stand for."""
    found = {name: text for name, text in typed.items() if not _is_row(name)}
    if _are_typed(typed, "grades"):
        found["grades"] = "; ".join(_grade_text(row) for row in _grades_typed(typed)) or NONE
    if _are_typed(typed, "schedule"):
        found["schedule"] = "; ".join(_schedule_text(row) for row in _schedule_typed(typed)) or ALWAYS
    return found


def grade_rows(values: Mapping[str, str]) -> list[GradeRow]:
    """Rows to show: as they were typed, else those of the text; and some to spare."""
    # Rows that somebody has emptied stay empty: else what he took away would be shipped after all.
    rows = _grades_typed(values) if _are_typed(values, "grades") else _grades_of(values["grades"])
    return [*rows, *[GradeRow()] * _SPARE["grades"]]


def schedule_rows(values: Mapping[str, str]) -> list[ScheduleRow]:
    rows = _schedule_typed(values) if _are_typed(values, "schedule") else _schedule_of(values["schedule"])
    return [*rows, *[ScheduleRow()] * _SPARE["schedule"]]


def _is_row(name: str) -> bool:
    return name.startswith(("grades.", "schedule."))


def _are_typed(values: Mapping[str, str], what: str) -> bool:
    return any(name.startswith(f"{what}.") for name in values)


def _grades_of(text: str) -> Iterator[GradeRow]:
    """None of a text that cannot be read; what is wrong with it is said beside the rows."""
    with suppress(ValueError):
        for one in read_grades(text):
            after = "" if one.after is None else stretch_text(one.after.total_seconds())
            yield GradeRow(one.severity.value, one.when or "", after)


def _schedule_of(text: str) -> Iterator[ScheduleRow]:
    with suppress(ValueError):
        for one in read_schedule(text):
            yield ScheduleRow(frozenset(one.days), one.from_, one.to)


def _rows(typed: Mapping[str, str], what: str) -> Iterator[dict[str, str]]:
    """The fields of each row that was shown, in order."""
    for number in count():
        prefix = f"{what}.{number}."
        row = {name.removeprefix(prefix): text for name, text in typed.items() if name.startswith(prefix)}
        if not row or number >= _MOST:
            return
        yield {name: text.strip() for name, text in row.items()}


def _grades_typed(typed: Mapping[str, str]) -> Iterator[GradeRow]:
    for row in _rows(typed, "grades"):
        found = GradeRow(row.get("severity", ""), " ".join(row.get("when", "").split()), row.get("after", ""))
        if found != GradeRow():
            yield found


def _grade_text(row: GradeRow) -> str:
    when = f" when {row.when}" if row.when else ""
    return f"{row.severity or '?'}{when}" + (f" after {row.after}" if row.after else "")


def _schedule_typed(typed: Mapping[str, str]) -> Iterator[ScheduleRow]:
    for row in _rows(typed, "schedule"):
        days = frozenset(day for day in DAYS if row.get(day))
        found = ScheduleRow(days, row.get("from", ""), row.get("to", ""))
        if found != ScheduleRow():
            yield found


def _schedule_text(row: ScheduleRow) -> str:
    """A row with days alone is of whole days; one with times alone of all days."""
    days = ",".join(day for day in DAYS if day in row.days)
    return f"{days} {row.begins or '00:00'}-{row.ends or '24:00'}".strip()
