"""A profile's rule tests fail when the rule does not do what they say."""

from __future__ import annotations

import pytest

from device_profiles.library import load_text
from services.rules.profile_tests import check_rule_tests
from tests.device_profiles.profiles import lamp, mistakes_of, spoiled


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
        ("clear: {when: light == lit, for: 1m}", "clear: {when: age(light) < 1m, for: 0s}"),
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


GRADED = """
  - id: open_cabinet
    name: {zh: 门开, en: Cabinet open}
    when: cabinet == open
    for: 5m
    clear: {for: 1m}
    severity: minor
    grades:
      - {severity: critical, when: "voltage > 250 V", after: 10m}
      - {severity: major, after: 30m}
    schedule: [{from: "22:00", to: "06:00"}, {days: [sat], from: "00:00", to: "24:00"}]
    flapping: {times: 3, within: 1h}
    source: {kind: judgement}
    tests:
      - {given: [{at: "23:00", cabinet: open, hold: 6m}], expect: {raised: minor}}
      - {given: [{at: "21:50", cabinet: open, hold: 14m}], expect: quiet}
      - {given: [{at: "21:50", cabinet: open, hold: 16m}], expect: raised}
      - {given: [{at: "21:50", cabinet: open, hold: 1h}], expect: {raised: major}}
      - {given: [{at: "23:00", cabinet: open, voltage: 260, hold: 16m}], expect: {raised: critical}}
      - {given: [{at: "sun 05:00", cabinet: open, hold: 50m}, {at: "06:05", hold: 1s}], expect: cleared}
      - {given: [{at: "sat 12:00", cabinet: open, hold: 6m}], expect: raised}
      - {given: [{at: "sun 12:00", cabinet: open, hold: 6m}], expect: quiet}
      - given: [{at: "23:00", cabinet: open, hold: 6m}, {cabinet: closed, hold: 3m}]
        expect: cleared
"""


def with_graded(text: str = GRADED) -> str:
    return spoiled(("tickets:\n", text.lstrip("\n") + "tickets:\n"))


def test_nights_severities_and_flapping_are_played() -> None:
    flapping = (
        '      - given: [{at: "23:00", cabinet: closed, hold: 1s}, '
        "{times: 3, steps: [{cabinet: open, hold: 6m}, {cabinet: closed, hold: 3m}]}]\n        expect: raised\n"
    )
    assert check_rule_tests(load_text(with_graded(GRADED + flapping))) == []


def test_another_severity_than_expected_is_noticed() -> None:
    wrong = GRADED.replace("after: 30m", "after: 3h")
    assert check_rule_tests(load_text(with_graded(wrong))) == [
        "rule 'open_cabinet', test 4: found raised (minor), expected raised (major)"
    ]


def test_a_step_at_a_time_that_no_clock_shows_is_refused() -> None:
    wrong = GRADED.replace('at: "sat 12:00"', 'at: "noon"')
    found = mistakes_of(with_graded(wrong))
    assert [(one.where.rpartition(".")[2], one.found) for one in found] == [("at", "'noon'")]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("severity: major, after: 30m", "severity: major", "always major"),
        ("severity: major, after: 30m", "severity: minor, after: 30m", "minor, the rule's own"),
        (
            '{severity: critical, when: "voltage > 250 V", after: 10m}',
            "{severity: warning, after: 20m}",
            "a grade that never counts: warning after 1200s stands before it and fits whenever it does",
        ),
        ("voltage > 250 V", "voltage > 250 °C", "a number in °C"),
        ('from: "22:00", to: "06:00"', 'from: "22:00", to: "22:00"', "22:00, where it begins"),
        ("flapping: {times: 3, within: 1h}", "flapping: {times: 3, within: 2s}", "2s"),
        ("flapping: {times: 3, within: 1h}", "suppressed_by: [lamp_drak]", "the unknown rule 'lamp_drak'"),
        ("flapping: {times: 3, within: 1h}", "suppressed_by: [open_cabinet]", "'open_cabinet', the rule itself"),
        ("flapping: {times: 3, within: 1h}", "suppressed_by: [lamp_dark]", "lamp_dark, a rule of lamp"),
    ],
)
def test_what_makes_no_sense_is_refused(old: str, new: str, said: str) -> None:
    text = GRADED[: GRADED.index("    tests:")]
    assert old in text
    found = mistakes_of(with_graded(text.replace(old, new)))
    assert said in found[0].found, found
