"""Conditions as sentences, in both languages, for every rule that is shipped."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from device_profiles.library import SHIPPED, load
from device_profiles.schema import DeviceProfile
from services.presence.breaks import break_profile
from services.web import i18n
from services.web.i18n import Language
from services.web.views.clauses import Clauses, counted_sentence, length

PROFILES = load(SHIPPED)
LANGUAGES = i18n.load()


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_shipped_rule_says_a_sentence(profile: DeviceProfile, language: Language) -> None:
    for rule in profile.rules:
        said = Clauses(profile, rule.scope, {}, LANGUAGES[language]).sentence(rule.when, rule.for_)
        assert said, rule.id
        assert not any(sign in said for sign in ("==", "!=", "<", ">", "_command", "parent.")), (rule.id, said)
        # Ids of metrics and states are for profiles; people read their names.
        assert not any(f" {name} " in f" {said} " for name in (*profile.metrics, *profile.states) if "_" in name), said


def sentence(profile: str, rule: str, language: Language = "en", at: str = "10:07", **values: Any) -> str:
    found = PROFILES[profile]
    own = next(one for one in found.rules if one.id == rule)
    return Clauses(found, own.scope, values, LANGUAGES[language]).sentence(own.when, own.for_, at).replace("\xa0", " ")


def test_a_value_below_its_limit() -> None:
    assert (
        sentence("booster_set", "inlet_low", inlet_pressure=0.06)
        == "Municipal inlet pressure was below 0.10 MPa for 30 s: 0.06 MPa at 10:07"
    )
    assert (
        sentence("booster_set", "inlet_low", "zh", inlet_pressure=0.06)
        == "市政进水压力低于 0.10 MPa，持续 30 秒；10:07 时：0.06 MPa"
    )


def test_params_are_said_with_the_values_that_they_had() -> None:
    said = sentence("sump_pump_json", "overload", current=7.5, rated_current=6.0)
    assert said == "Current was above 6.6 A for 1 min: 7.5 A at 10:07"


def test_of_alternatives_only_those_that_held_are_told() -> None:
    said = sentence("ebike_charger_json", "supply_out_of_band", supply_voltage=190.0)
    assert "was below 198.0 V" in said and "above" not in said
    assert "was below 198.0 V" in (both := sentence("ebike_charger_json", "supply_out_of_band")) and "above" in both


def test_a_state_is_told_by_the_word_it_had() -> None:
    assert sentence("ebike_charger_json", "ports_faulty").startswith("Number of “Port” (Port state was")
    assert (
        sentence("access_gate_hikvision_acs", "held_open_long", door_state="held_open")
        == "Door was held open for 5 min"
    )


def test_silence_presence_and_commands() -> None:
    assert (
        sentence("hydrant_json", "silent", silence=93_600) == "It had not been heard for more than 25 h: 26 h at 10:07"
    )
    assert sentence("room_json", "offline", presence="offline").startswith("It was offline")
    assert (
        sentence("ebike_charger_json", "cut_failed", stop_charging_command="failed")
        == "Command “Cut the port” was Failed"
    )


def test_what_cannot_be_read_on_a_profile_says_nothing() -> None:
    assert Clauses(PROFILES["room_json"], None, {}, LANGUAGES["en"]).sentence("nothing > 5", timedelta(0)) == ""


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(90, "90 s"), (60, "1 min"), (5400, "90 min"), (7200, "2 h"), (259_200, "3 d"), (0.5, "0.5 s")],
)
def test_a_length_of_time_is_said_exactly(seconds: float, expected: str) -> None:
    assert length(seconds, LANGUAGES["en"]) == expected


@pytest.mark.parametrize(
    ("key", "profile", "expected"),
    [
        ("number(device, presence == offline)", "access_gate_json", "3 of 10: It was offline"),
        ("share(port, port_state == idle)", "ebike_charger_json", "3 of 10: Port state was free"),
        ("number(device, alarm.held_open)", "access_gate_json", "3 of 10: alarm.held_open"),
        ("share(port, port_state == idle)", "", "3 of 10: port_state == idle"),
    ],
)
def test_a_rule_over_several_devices_says_how_many_met_it(key: str, profile: str, expected: str) -> None:
    values = {key: 3.0, f"{key} at most": 4.0, f"{key} met by": "3/10: a, b, c"}
    assert counted_sentence(values, PROFILES.get(profile), LANGUAGES["en"]) == expected
    assert counted_sentence(values, PROFILES.get(profile), LANGUAGES["zh"]).startswith("10 个中有 3 个：")


def test_broken_links_say_a_sentence() -> None:
    profile = break_profile(60)
    found = {
        rule.id: Clauses(profile, None, {"silence": 125.0}, LANGUAGES["en"]).sentence(rule.when, rule.for_)
        for rule in profile.rules
    }
    assert found["uplink_cut"] == "It had not been heard for 1 min: 125 s"
    assert found["broker_down"] == "Gateway and MQTT broker was no session for 1 min"
