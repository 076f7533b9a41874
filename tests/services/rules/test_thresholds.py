"""The lines that rules draw: where a comparison turns, in the metric's own unit."""

from __future__ import annotations

import re
from typing import Any

import pytest

from device_profiles.expression import Value, names_of, parse
from device_profiles.library import SHIPPED, load
from device_profiles.schema import DeviceProfile
from services.rules.thresholds import Threshold, clear_thresholds_of, thresholds, thresholds_of

_WORDS = {"zh": "甲", "en": "A"}
PUMP = DeviceProfile.model_validate(
    {
        "profile": "pump_of_lines",
        "family": "water_pump",
        "name": _WORDS,
        "availability": {"period": "30s"},
        "bindings": [],
        "params": {
            "setpoint": {"name": _WORDS, "type": "number", "default": 0.42, "uom": "MPa"},
            "rated": {"name": _WORDS, "type": "number", "default": 10, "uom": "A"},
        },
        "metrics": {
            "pressure": {"name": _WORDS, "uom": "MPa"},
            "wanted": {"name": _WORDS, "uom": "MPa"},
            "current": {"name": _WORDS, "uom": "A"},
            "other": {"name": _WORDS, "uom": "A"},
            "level": {"name": _WORDS, "uom": "%"},
        },
    }
)
PARAMS: dict[str, Value] = {"setpoint": 0.42, "rated": 10.0}


def lines(text: str, **values: Value) -> list[tuple[str, str, float]]:
    found = thresholds(parse(text, names_of(PUMP, None)), PUMP, PARAMS | values)
    return [(one.metric, one.sign, one.value) for one in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pressure < 0.10 MPa", [("pressure", "<", 0.1)]),
        ("pressure < 100 kPa", [("pressure", "<", 0.1)]),
        ("0.10 MPa > pressure", [("pressure", "<", 0.1)]),
        ("pressure < setpoint - 0.10 MPa", [("pressure", "<", 0.32)]),
        ("setpoint - pressure > 0.10 MPa", [("pressure", "<", 0.32)]),
        ("current > 1.1 * rated", [("current", ">", 11.0)]),
        ("current / rated > 1.1", [("current", ">", 11.0)]),
        ("-current < -5 A", [("current", ">", 5.0)]),
        ("abs(pressure - setpoint) > 0.03 MPa", [("pressure", ">", 0.45), ("pressure", "<", 0.39)]),
        ("not (level < 20 % or level > 95 %)", [("level", ">=", 20.0), ("level", "<=", 95.0)]),
        ("max(current, other) > 12 A", [("current", ">", 12.0), ("other", ">", 12.0)]),
        ("level > 50 % and current == 0", [("level", ">", 50.0), ("current", "==", 0.0)]),
        ("mean(current, 10m) > rated", [("current", ">", 10.0)]),
        ("delta(level, 10m) < -20 %", []),
        ("silence > 6m and age(level) > 6m", []),
        ("current > other", []),
        ("current * other > 5", []),
        ("current - current > 0", []),
        ("current / 0 > 1", []),
    ],
)
def test_a_comparison_turns_at_a_line(text: str, expected: list[tuple[str, str, float]]) -> None:
    assert lines(text) == expected


def test_of_two_metrics_the_first_is_drawn_against_the_value_that_the_other_had() -> None:
    assert lines("pressure < wanted - 0.10 MPa", wanted=0.42) == [("pressure", "<", 0.32)]
    assert lines("abs(pressure - wanted) > 0.03 MPa", wanted=0.4) == [("pressure", ">", 0.43), ("pressure", "<", 0.37)]
    assert lines("pressure < wanted - 0.10 MPa", wanted=None) == []


def test_a_line_knows_what_it_was_computed_from_and_whether_it_is_of_a_mean() -> None:
    (found,) = thresholds(parse("mean(current, 10m) > 1.1 * rated", names_of(PUMP, None)), PUMP, PARAMS)
    assert found == Threshold("current", ">", 11.0, "mean(current, 10m)", ("rated",))


SHIPPED_PROFILES = load(SHIPPED)
# What is compared is no value of a metric that could be drawn: how it changes, how often, how it fares among others.
_NO_LINE = re.compile(r"(delta|rate|count|number|share|changed|age)\(|silence|presence")


@pytest.mark.parametrize("profile", SHIPPED_PROFILES.values(), ids=SHIPPED_PROFILES)
def test_every_shipped_rule_that_compares_a_metric_has_a_line(profile: DeviceProfile) -> None:
    """With the params' defaults, and any value for metrics beside the first."""
    values: dict[str, Any] = dict.fromkeys(profile.metrics, 1.0)
    values |= {f"parent.{name}": 1.0 for name in profile.metrics}
    values |= {name: param.default for name, param in profile.params.items()}
    for rule in profile.rules:
        for text, found in (
            (rule.when, thresholds_of(profile, rule, values)),
            (rule.clear.when or "", clear_thresholds_of(profile, rule, values)),
        ):
            compared = [
                name
                for name in re.findall(r"(?:parent\.)?([a-z][a-z0-9_]*)\s*(?:<|>)", text)
                if name in profile.metrics and not _NO_LINE.search(text)
            ]
            assert {one.metric.removeprefix("parent.") for one in found} >= set(compared), (rule.id, text)
