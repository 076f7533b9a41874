"""The bench of rules judges what it says it judges."""

from __future__ import annotations

from services.bench.rules import judge, measure, profile, readings_of, yard


def test_each_reading_can_move_each_rule_and_some_do() -> None:
    rules = profile()
    devices = yard(100, rules)
    judge(devices, readings_of(list(devices), 100, 0))
    assert judge(devices, readings_of(list(devices), 5000, 1)) > 0
    assert len(rules.rules) == 5
    ((planned),) = rules.plans.values()
    assert {one.id for one in planned} == set(rules.rules)


def test_its_figures_have_these_names() -> None:
    found = measure(devices=100, readings=1000, rounds=1, by_devices=(50, 100))
    assert found.keys() == {"devices", "rules_each", "readings_per_second", "us_per_reading", "by_devices"}
    assert found["by_devices"].keys() == {"50", "100"}
    assert found["us_per_reading"] > 0
