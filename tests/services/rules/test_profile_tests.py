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


LOOKING_BACK = """
  - id: falls
    name: {zh: 降, en: Falls}
    when: delta(voltage, 10m) < -20 V
    clear: {when: "delta(voltage, 10m) > -5 V"}
    severity: minor
    source: {kind: judgement}
    tests:
      - {given: [{voltage: 230, hold: 10m}, {voltage: [230, 200], hold: 5m}], expect: raised}
      - given: [{voltage: 230, hold: 10m}, {voltage: [230, 200], hold: 5m}, {voltage: 200, hold: 11m}]
        expect: cleared
      - {given: [{voltage: 230, hold: 1h}], expect: quiet}
      - {given: [{voltage: [230, 200], hold: 5h}], expect: quiet}
  - id: steep
    name: {zh: 陡, en: Steep}
    when: rate(voltage, 10m) < -5 V/min
    severity: minor
    source: {kind: judgement}
    tests:
      - {given: [{voltage: 230, hold: 10m}, {voltage: [230, 130], hold: 10m}], expect: raised}
      - {given: [{voltage: 230, hold: 10m}, {voltage: [230, 200], hold: 10m}], expect: quiet}
  - id: high_mean
    name: {zh: 高, en: High}
    when: mean(voltage, 10m) > 240 V
    severity: minor
    source: {kind: judgement}
    tests:
      - {given: [{voltage: 250, hold: 10m}], expect: raised}
      - {given: [{voltage: 230, hold: 10m}, {voltage: 260, hold: 2m}], expect: quiet}
  - id: stuck
    name: {zh: 卡, en: Stuck}
    when: not changed(voltage, 30m)
    severity: minor
    source: {kind: judgement}
    tests:
      - {given: [{voltage: 230, hold: 31m}], expect: raised}
      - {given: [{voltage: 230, hold: 29m}], expect: quiet}
      - {given: [{times: 5, steps: [{voltage: 230, hold: 20m}, {voltage: 231, hold: 20m}]}], expect: quiet}
      - {given: [{voltage: 230, hold: 31m}, {voltage: 231, hold: 1m}], expect: cleared}
  - id: rattles
    name: {zh: 抖, en: Rattles}
    when: count(cabinet == open, 5m) >= 3
    severity: minor
    source: {kind: judgement}
    tests:
      - {given: [{times: 3, steps: [{cabinet: closed, hold: 20s}, {cabinet: open, hold: 20s}]}], expect: raised}
      - {given: [{times: 2, steps: [{cabinet: closed, hold: 20s}, {cabinet: open, hold: 20s}]}], expect: quiet}
      - {given: [{times: 3, steps: [{cabinet: closed, hold: 3m}, {cabinet: open, hold: 20s}]}], expect: quiet}
  - id: hit_often
    name: {zh: 撞, en: Hit often}
    when: count(hit, 5m) >= 3
    severity: minor
    source: {kind: judgement}
    tests:
      - {given: [{hit: 3, hold: 1m}], expect: raised}
      - {given: [{times: 3, steps: [{hit: true, hold: 1m}]}], expect: raised}
      - {given: [{times: 9, steps: [{hit: true, hold: 3m}]}], expect: quiet}
      - {given: [{hit: 3, hold: 6m}], expect: cleared}
"""


def test_rules_that_look_back_are_played() -> None:
    profile = load_text(spoiled(("tickets:\n", LOOKING_BACK.lstrip("\n") + "tickets:\n")))
    assert check_rule_tests(profile) == []


def test_a_test_that_lies_about_the_past_is_noticed() -> None:
    text = spoiled(("tickets:\n", LOOKING_BACK.lstrip("\n") + "tickets:\n"))
    wrong = text.replace("count(cabinet == open, 5m) >= 3", "count(cabinet == open, 15m) >= 4")
    assert check_rule_tests(load_text(wrong)) == ["rule 'rattles', test 1: found quiet, expected raised"]
