"""A profile's rule tests fail when the rule does not do what they say."""

from __future__ import annotations

from device_profiles.library import load_text
from services.rules.profile_tests import check_rule_tests
from tests.device_profiles.profiles import lamp, spoiled


def failed(*changes: tuple[str, str]) -> list[str]:
    return check_rule_tests(load_text(spoiled(*changes)))


def test_a_sound_rule_passes() -> None:
    assert check_rule_tests(lamp()) == []


def test_a_longer_delay_is_noticed() -> None:
    first, third = failed(("for: 30s", "for: 5m"))
    assert "rule 'lamp_dark', test 1: found quiet, expected raised" in first
    assert "test 3: found quiet, expected cleared" in third


def test_a_missing_delay_is_noticed() -> None:
    assert failed(("for: 30s", "for: 0s")) == ["rule 'lamp_dark', test 2: found raised, expected quiet"]


def test_another_threshold_is_noticed() -> None:
    assert len(failed(("parent.voltage > 200 V", "parent.voltage > 300 V"))) == 2


def test_a_clear_delay_that_is_not_over_is_noticed() -> None:
    assert failed(("clear: {when: light == lit, for: 1m}", "clear: {when: light == lit, for: 10m}")) == [
        "rule 'lamp_dark', test 3: found raised, expected cleared"
    ]


def test_a_rule_that_still_holds_when_it_clears_is_noticed() -> None:
    """Its alarm would flap for ever."""
    said = failed(("clear: {when: light == lit, for: 1m}", "clear: {when: parent.voltage > 1, for: 1s}"))
    assert said[0] == "rule 'lamp_dark', test 1: found cleared, expected raised"


def test_time_passes_while_a_step_holds() -> None:
    changes = [
        ("when: light == fault and parent.voltage > 200 V", "when: silence > 6m"),
        ("clear: {when: light == lit, for: 1m}", "clear: {when: age(light) < 1m}"),
        (
            "{given: [{light: fault, parent.voltage: 230, hold: 1m}], expect: raised}",
            "{given: [{light: lit, hold: 7m}], expect: raised}",
        ),
        (
            "{given: [{light: fault, parent.voltage: 230, hold: 10s}], expect: quiet}",
            "{given: [{light: lit, hold: 6m}], expect: quiet}",
        ),
        (
            "{given: [{light: fault, parent.voltage: 230, hold: 1m}, {light: lit, hold: 2m}], expect: cleared}",
            "{given: [{light: lit, hold: 7m}, {light: lit, hold: 2s}], expect: cleared}",
        ),
    ]
    assert failed(*changes) == []
