"""The model of what a panel's query costs, and the bench itself on a small district."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from services.bench import dashboards as bench
from tests.fixtures_influxdb import installed
from tests.needs import missing


def test_costs_are_found_again() -> None:
    cost = bench.Cost(constant=0.004, per_series=2e-5, per_point=3e-7, per_comparison=2e-7)
    sizes = [(36, 2592), (36, 25920), (360, 25920), (360, 259200), (720, 51840), (720, 518400)]
    found = bench.fitted([(series, points, cost.seconds(series, points)) for series, points in sizes])
    assert found == pytest.approx(cost)


def test_ten_times_the_series_cost_more_than_ten_times_as_much() -> None:
    """Measured: 2.0 us a point with 72 series, 2.8 with 1,800. A model without that was a quarter too kind."""
    cost = bench.Cost(per_comparison=2.7e-7)
    assert cost.seconds(7200, 5_184_000) > 12 * cost.seconds(720, 518_400)
    points = cost.points_within(1.0, 720)
    assert cost.seconds(points // 720, points) == pytest.approx(1.0, rel=0.01)


def test_times_that_do_not_grow_with_the_points_are_no_model() -> None:
    with pytest.raises(ValueError, match="too busy"):
        bench.fitted([(10, 1000, 0.01), (20, 2000, 0.01), (40, 4000, 0.01)])


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
    monkeypatch.setattr(bench, "_sized", as_a_calm_machine(bench._sized))
    figures = bench.run(devices=60, days=3, rounds=1, thin=4, report=lambda _: None)
    assert figures["hourly_queries"] == figures["raw_queries"] > 20
    assert figures["hourly_p50_ms"] > 0
    assert figures["model_check_predicted_ms"] == pytest.approx(figures["model_check_measured_ms"], rel=0.05)
    assert figures["model_check_predicted_ms"] > 0


def as_a_calm_machine(sized: Callable[..., tuple[int, int, float]]) -> Callable[..., tuple[int, int, float]]:
    """The queries are asked and their points counted; what each takes is what it costs, whoever works beside us: one
    round on a busy machine fits no model."""
    cost = bench.Cost(constant=0.004, per_series=2e-5, per_point=3e-7, per_comparison=2e-7)

    def counted(*asked: Any) -> tuple[int, int, float]:
        series, points, _ = sized(*asked)
        return series, points, cost.seconds(series, points)

    return counted
