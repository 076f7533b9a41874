"""Limits of plain rules as colours from the bottom up."""

from __future__ import annotations

import pytest

from dashboards.thresholds import Limit, Step, limit_of, steps
from device_profiles.schema import Metric, Rule, Severity

METRICS = {
    "pressure": Metric.model_validate({"name": {"zh": "压力", "en": "Pressure"}, "uom": "MPa"}),
    "level": Metric.model_validate({"name": {"zh": "液位", "en": "Level"}, "uom": "%"}),
}


def rule(when: str, severity: str = "major") -> Rule:
    return Rule.model_validate(
        {
            "id": "r",
            "name": {"zh": "规", "en": "r"},
            "when": when,
            "severity": severity,
            "source": {"kind": "judgement"},
        }
    )


def test_a_plain_comparison_is_a_limit() -> None:
    assert limit_of(rule("level >= 85 %"), METRICS) == Limit("level", True, 85.0, Severity.MAJOR)
    assert limit_of(rule("level < 20", "minor"), METRICS) == Limit("level", False, 20.0, Severity.MINOR)


def test_a_limit_is_in_the_unit_of_its_metric() -> None:
    found = limit_of(rule("pressure < 200 kPa"), METRICS)
    assert found is not None
    assert found.value == pytest.approx(0.2)


@pytest.mark.parametrize(
    "when", ["level > start_level", "level > 80 and pressure < 1", "other > 3", "abs(level) > 3", "pressure > 3 V"]
)
def test_anything_else_is_not_drawn(when: str) -> None:
    assert limit_of(rule(when), METRICS) is None


def test_colours_between_lower_and_upper_limits() -> None:
    found = steps(
        [
            Limit("level", False, 10, Severity.CRITICAL),
            Limit("level", False, 20, Severity.WARNING),
            Limit("level", True, 85, Severity.MAJOR),
            Limit("level", True, 95, Severity.CRITICAL),
        ]
    )
    assert found == [
        Step(None, "dark-red"),
        Step(10, "yellow"),
        Step(20, "transparent"),
        Step(85, "red"),
        Step(95, "dark-red"),
    ]


def test_without_limits_nothing_is_coloured() -> None:
    assert steps([]) == [Step(None, "transparent")]
