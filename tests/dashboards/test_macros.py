"""What Grafana puts into queries, told from examples."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dashboards import macros
from dashboards.macros import ALL, Chosen, UnknownVariable

START = datetime(2026, 7, 1, tzinfo=UTC)


def chosen(hours: float = 6, **values: list[str]) -> Chosen:
    return Chosen(start=START, end=START + timedelta(hours=hours), values=values)


@pytest.mark.parametrize(
    ("sites", "put_in"), [(["a"], "a"), (["a.b/c"], r"a\.b\/c"), (["a", "b-1"], "(a|b-1)"), ([ALL], ".*")]
)
def test_a_variable_in_a_regular_expression(sites: list[str], put_in: str) -> None:
    assert macros.influxql("/^${site:regex}$/", chosen(site=sites)) == f"/^{put_in}$/"


def test_a_variable_in_sql_is_quoted() -> None:
    query = "WHERE site IN (${site:sqlstring})"
    assert macros.sql(query, chosen(site=["o'clock", "b"])) == "WHERE site IN ('o''clock','b')"


def test_time_and_interval() -> None:
    found = macros.influxql("WHERE $timeFilter GROUP BY time($__interval)", chosen(), every="60s")
    assert found == "WHERE time >= 1782864000000ms AND time <= 1782885600000ms GROUP BY time(60s)"
    found = macros.sql("$__timeFilter(t.x) AND a < $__timeTo() AND $__timeGroupAlias(b, $__interval)", chosen())
    assert found == (
        "t.x BETWEEN '2026-07-01T00:00:00Z' AND '2026-07-01T06:00:00Z' AND a < '2026-07-01T06:00:00Z' "
        'AND floor(extract(epoch from b)/3600)*3600 AS "time"'
    )


@pytest.mark.parametrize(
    ("hours", "least", "every"), [(6, "", "60s"), (6, "5m", "300s"), (720, "40s", "7200s"), (0.1, "", "1s")]
)
def test_the_interval_follows_from_range_and_panel(hours: float, least: str, every: str) -> None:
    assert macros.interval(chosen(hours), least=least) == every


def test_a_variable_that_nobody_has_is_said() -> None:
    with pytest.raises(UnknownVariable, match=r"expected one of site, found \$place"):
        macros.sql("SELECT '$place'", chosen(site=["a"]))
