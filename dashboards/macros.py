"""What Grafana puts into a query before it asks: variables, the time range, the interval. Pure.

Only what our dashboards use; a variable or macro that is not known raises, so that no query is asked half filled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

ALL = "$__all"
_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")
_SQL_MACRO = re.compile(r"\$__(timeGroupAlias|timeGroup|timeFilter|timeFrom|timeTo)\(([^()]*)\)")
_NICE_SECONDS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class UnknownVariable(ValueError):
    """The query names a variable that the dashboard does not have."""


@dataclass(frozen=True)
class Chosen:
    """What a viewer has chosen. `values`: per variable one or several; `ALL` stands for its all-value."""

    start: datetime
    end: datetime
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    all_values: Mapping[str, str] = field(default_factory=dict)


def interval(chosen: Chosen, *, least: str = "", points: int = 400) -> str:
    """`$__interval` as Grafana works it out: the range by the points of the panel, rounded to a nice number."""
    wanted = (chosen.end - chosen.start).total_seconds() / points
    nice = min(_NICE_SECONDS, key=lambda one: abs(one - wanted))
    return f"{max(nice, _seconds(least) if least else 1)}s"


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * _UNITS[duration[-1]]


def influxql(query: str, chosen: Chosen, *, every: str = "10s") -> str:
    """An InfluxQL query as InfluxDB gets it. Raises UnknownVariable."""
    start, end = (round(one.timestamp() * 1000) for one in (chosen.start, chosen.end))
    given = query.replace("$timeFilter", f"time >= {start}ms AND time <= {end}ms").replace("$__interval", every)
    return _filled(given, chosen, plain=_as_regex)


def sql(query: str, chosen: Chosen, *, every: str = "1h") -> str:
    """A SELECT as PostgreSQL gets it. Raises UnknownVariable."""
    filled = _filled(query.replace("$__interval", every), chosen, plain=_as_sql)
    return _SQL_MACRO.sub(lambda found: _sql_macro(found[1], found[2], chosen), filled)


def _sql_macro(name: str, arguments: str, chosen: Chosen) -> str:
    start, end = (f"'{one.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'" for one in (chosen.start, chosen.end))
    if name == "timeFrom":
        return start
    if name == "timeTo":
        return end
    column, _, every = (part.strip() for part in arguments.partition(","))
    if name == "timeFilter":
        return f"{column} BETWEEN {start} AND {end}"
    seconds = _seconds(every)
    group = f"floor(extract(epoch from {column})/{seconds})*{seconds}"
    return f'{group} AS "time"' if name == "timeGroupAlias" else group


def _filled(query: str, chosen: Chosen, *, plain: Callable[[Sequence[str]], str]) -> str:
    formats = {"regex": _as_regex, "sqlstring": _as_sql, "": plain, "raw": _as_raw}

    def value(found: re.Match[str]) -> str:
        name, format_ = found[1] or found[3], found[2] or ""
        if name.startswith("__"):
            return found[0]  # a macro, which comes later
        if name not in chosen.values:
            raise UnknownVariable(f"expected one of {', '.join(sorted(chosen.values))}, found ${name} in: {query}")
        if list(chosen.values[name]) == [ALL]:
            return chosen.all_values.get(name, ".*")
        return formats[format_](chosen.values[name])

    return _VARIABLE.sub(value, query)


def _as_regex(values: Sequence[str]) -> str:
    escaped = [re.sub(r"[\\^$*+?.()|[\]{}/]", r"\\\g<0>", one) for one in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def _as_sql(values: Sequence[str]) -> str:
    return ",".join("'" + one.replace("'", "''") + "'" for one in values)


def _as_raw(values: Sequence[str]) -> str:
    return ",".join(values)


def last(span: timedelta, end: datetime, **values: Sequence[str]) -> Chosen:
    """The `span` before `end`."""
    return Chosen(start=end - span, end=end, values=values)
