"""`courtyard dashboards check`, as an engineer would ask it of their own databases."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from services.cli.main import app
from tests.dashboards.conftest import Day
from tests.dashboards.day import END, GATEWAY

pytestmark = [pytest.mark.influxdb, pytest.mark.postgresql]


def check(*options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["dashboards", "check", *options])
    return result.exit_code, result.output


def test_every_query_with_its_rows(day: Day) -> None:
    when = f"{END:%Y-%m-%dT%H:%M:%S}"
    code, output = check(
        *("--influx", day.influx_url, "--database", day.database_url, "--end", when, "--board", "cy-quality", "--json")
    )
    found = json.loads(output)
    assert code == 0, output
    by_panel = {(one["panel"], one["query"]): one for one in found}
    assert by_panel["Gateways", "A"]["rows"] == 1
    assert GATEWAY in {row[0] for row in day.tables.values(by_panel["Gateways", "A"]["asked"])}
    assert all(one["rows"] and not one["error"] for one in found)


def test_emptiness_is_said_and_fails_only_when_asked_for(day: Day) -> None:
    options = ("--influx", day.influx_url, "--board", "family-camera", "--end", "2020-01-01T00:00:00")
    code, output = check(*options)
    assert code == 0
    assert "nothing" in output
    assert check(*options, "--strict")[0] == 1


def test_an_error_fails_in_the_databases_own_words(day: Day) -> None:
    options = ("--influx", day.influx_url, "--board", "cy-family-camera", "--resolution", "2h", "--json")
    code, output = check(*options)
    assert code == 1
    assert "retention policy not found" in output


def test_dashboards_of_devices_that_are_not_here_are_only_named(day: Day) -> None:
    options = ("--influx", day.influx_url, "--board", "cy-family-lift")
    assert "Dashboards that found nothing" not in check(*options, "--end", f"{END:%Y-%m-%dT%H:%M:%S}")[1]
    named = check(*options, "--end", "2020-01-01T00:00:00")[1]
    assert "Dashboards that found nothing" in named and "Lifts" in named
    assert "Devices heard" not in named, "none of its panels"
    assert "Devices heard" in check(*options, "--end", "2020-01-01T00:00:00", "--strict")[1]


def test_nothing_to_ask_is_said() -> None:
    result = CliRunner().invoke(app, ["dashboards", "check", "--influx", "", "--database", ""])
    assert result.exit_code == 1
    assert "COURTYARD_INFLUX_URL" in result.stderr
