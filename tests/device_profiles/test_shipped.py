"""The shipped profiles: proven, complete, in both languages, and free of jargon where residents read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from device_profiles.library import SCHEMA_FILE, SHIPPED, json_schema, load
from device_profiles.schema import DeviceProfile, ResidentWording, Text
from gateway.decode.samples import check_samples
from services.rules.profile_tests import check_rule_tests

LIBRARY = load()
each_profile = pytest.mark.parametrize("profile", LIBRARY.values(), ids=list(LIBRARY))


def test_the_families_of_a_yard_are_there() -> None:
    assert set(LIBRARY.families()) >= {"ebike_charger", "access_gate", "camera", "water_pump", "sump_pump"}
    assert len(LIBRARY.by_family("ebike_charger")) >= 2


@each_profile
def test_samples_become_what_they_say(profile: DeviceProfile) -> None:
    assert check_samples(profile) == []


@each_profile
def test_rules_say_what_their_tests_expect(profile: DeviceProfile) -> None:
    assert check_rule_tests(profile) == []


@each_profile
def test_every_message_shape_has_a_sample(profile: DeviceProfile) -> None:
    shown = {expected.get("binding") for sample in profile.samples for expected in sample.expect}
    assert [binding.id for binding in profile.bindings if binding.id not in shown and not binding.ignore] == []


@each_profile
def test_every_rule_is_shown_raising_and_keeping_quiet(profile: DeviceProfile) -> None:
    for rule in profile.rules:
        expected = {test.expect if isinstance(test.expect, str) else "raised" for test in rule.tests}
        assert {"raised", "quiet"} <= expected, rule.id


@each_profile
def test_every_metric_and_state_has_a_binding_that_fills_it(profile: DeviceProfile) -> None:
    filled = {name for binding in profile.bindings for name in binding.fields}
    filled |= {name for binding in profile.bindings for each in binding.each for name in each.fields}
    counters = [metric.counter for metric in profile.metrics.values() if metric.counter is not None]
    filled |= {name for name, metric in profile.metrics.items() if metric.derive is not None}
    filled |= {counter.total for counter in counters} | {counter.rate.metric for counter in counters if counter.rate}
    assert {*profile.metrics, *profile.states} - filled == set()


@each_profile
def test_what_is_declared_is_used(profile: DeviceProfile) -> None:
    assert set(profile.tickets) == {rule.ticket for rule in profile.rules if rule.ticket}
    assert set(profile.residents) == {rule.residents for rule in profile.rules if rule.residents}


@each_profile
def test_critical_rules_open_a_ticket(profile: DeviceProfile) -> None:
    assert [rule.id for rule in profile.rules if rule.severity == "critical" and rule.ticket is None] == []


@each_profile
def test_every_threshold_is_marked(profile: DeviceProfile) -> None:
    assert [rule.id for rule in profile.rules if not rule.source.ref] == []


@each_profile
def test_tickets_tell_the_crew_what_to_do(profile: DeviceProfile) -> None:
    for name, ticket in profile.tickets.items():
        assert ticket.steps, name
        assert ticket.due <= timedelta(days=7), name


_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_ENGLISH_ONLY = {"Frigate", "JSON", "AP3000"}


def texts(part: object) -> Iterator[Text]:
    if isinstance(part, Text):
        yield part
    elif isinstance(part, dict):
        for value in part.values():
            yield from texts(value)
    elif isinstance(part, tuple):
        for value in part:
            yield from texts(value)
    elif hasattr(type(part), "model_fields"):
        for name in type(part).model_fields:
            yield from texts(getattr(part, name))


@each_profile
def test_both_languages_say_something(profile: DeviceProfile) -> None:
    for text in texts(profile):
        assert text.zh.strip(), text
        assert text.en.strip(), text
        assert _CHINESE.search(text.zh), text
        assert not _CHINESE.search(text.en), text


_JARGON = re.compile(
    r"\b(relay|MPa|kPa|voltage|offline|sensor|telemetry|setpoint|pump|breaker|leakage|firmware|MQTT|fps|alarm|device)\b",
    re.IGNORECASE,
)
_JARGON_ZH = re.compile("继电器|设定|电压|离线|失联|传感器|漏电|水泵|过载|报警|设备编号|固件|帧率")


def resident_texts(wording: ResidentWording) -> list[Text]:
    return [text for text in (wording.what, wording.instead, wording.restored) if text is not None]


@each_profile
def test_residents_read_no_jargon_and_no_ids(profile: DeviceProfile) -> None:
    for name, wording in profile.residents.items():
        for text in resident_texts(wording):
            assert not _JARGON.search(text.en), (name, text.en)
            assert not _JARGON_ZH.search(text.zh), (name, text.zh)
            assert not re.search(r"[{}_]|\d{3,}", text.en + text.zh), name
        assert wording.restored is not None, name


def test_a_failed_pump_weakens_water_and_a_lost_pressure_takes_it() -> None:
    profile = LIBRARY["booster_set"]
    by_id = {rule.id: rule for rule in profile.rules}
    losses = {id_: profile.residents[by_id[id_].residents or ""].loss for id_ in ("pump_fault", "pressure_low")}
    assert losses == {"pump_fault": "degraded", "pressure_low": "full"}


@pytest.mark.parametrize(
    ("profile", "faults"),
    [
        ("ebike_charger_ap3000", {"hot_port", "relay_welded", "smoke", "silent"}),
        ("ebike_charger_json", {"hot_port", "relay_welded", "smoke", "silent"}),
        ("booster_set", {"pump_failure", "pressure_loss"}),
        ("access_gate_json", {"forced_open", "held_open"}),
        ("camera_frigate", {"low_fps", "silent"}),
        ("sump_pump_json", {"high_level"}),
    ],
)
def test_the_simulator_knows_these_faults(profile: str, faults: set[str]) -> None:
    assert faults <= set(LIBRARY[profile].simulator.faults)


def test_the_exported_schema_is_in_step() -> None:
    """After a change of the models: python -m device_profiles.library"""
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == json_schema()


def test_the_shipped_files_satisfy_the_exported_schema() -> None:
    validator = Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    for file in SHIPPED.glob("*/*.yaml"):
        data = json.loads(json.dumps(YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))))
        assert [error.message for error in validator.iter_errors(data)] == [], file
