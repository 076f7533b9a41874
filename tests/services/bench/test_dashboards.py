"""The model of what a panel's query costs, and the bench itself on a small district."""

from __future__ import annotations

import pytest

from services.bench import dashboards as bench
from tests.fixtures_influxdb import installed
from tests.needs import missing


def test_costs_are_found_again() -> None:
    cost = bench.Cost(constant=0.004, per_series=2e-5, per_point=3e-7)
    sizes = [(36, 2592), (36, 25920), (360, 25920), (360, 259200), (720, 51840)]
    found = bench.fitted([(series, points, cost.seconds(series, points)) for series, points in sizes])
    assert found == pytest.approx(cost)


def test_a_cost_below_nothing_is_none() -> None:
    """A busy machine gives times that fit no line; what would be negative is left out of the model."""
    found = bench.fitted([(10, 1000, 0.010), (20, 2000, 0.021), (40, 4000, 0.043)])
    assert min(found) >= 0


@pytest.mark.influxdb
def test_a_small_district_is_filled_and_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    if not installed():
        missing("influxd is not installed; on Debian: apt-get install influxdb")
    monkeypatch.setattr(bench, "PER_SITE", 10)
    monkeypatch.setattr(bench, "RAW_HOURS", 1)
    monkeypatch.setattr(bench, "KINDS", ("access_gate_json",))
    figures = bench.run(devices=60, days=3, rounds=1, thin=4, report=lambda _: None)
    assert figures["hourly_queries"] == figures["raw_queries"] > 20
    assert figures["hourly_p50_ms"] > 0
    assert figures["model_check_predicted_ms"] > 0
