"""Fields that are looked at, trusted or filled in only under conditions; and raw values in odd dress."""

from __future__ import annotations

import json
from typing import Any

import pytest

from device_profiles.schema import FieldMap
from gateway.decode.errors import DecodeError
from gateway.decode.fields import Fields
from gateway.decode.pipeline import Flags, Values
from gateway.decode.scope import Scope
from gateway.reading import Quality
from tests.gateway.decode.bounds import QUICK_SECONDS, least_seconds
from tests.gateway.decode.mini import profile


def compiled(fields: dict[str, Any], **more: Any) -> Fields:
    made = {
        name: FieldMap.model_validate({"path": raw} if isinstance(raw, str) else raw) for name, raw in fields.items()
    }
    return Fields(profile(), made, captures=frozenset({"n"}), **more)


def filled(fields: dict[str, Any], payload: Any, **more: Any) -> tuple[Values, Flags]:
    root = json.loads(payload) if isinstance(payload, str) else payload
    values: Values = {}
    flags: Flags = {}
    compiled(fields, **more).fill(Scope(root, root, {"n": "3"}), values, flags)
    return values, flags


def test_a_field_that_is_looked_at_under_a_condition() -> None:
    # An IoT platform names the metric inside the payload.
    fields = {
        "power": {"path": "body.value", "when": {"path": "header.identifier", "equals": "power"}},
        "temp": {"path": "body.value", "when": {"path": "header.identifier", "equals": "temperature"}},
    }
    payload = '{"header":{"msgId":1,"identifier":"power"},"body":{"value":"20"}}'
    assert filled(fields, payload) == ({"power": 20.0}, {})
    # Where the condition does not hold, nothing is said, and nothing erased either.
    erasing = {name: {**field, "when_missing": "erase"} for name, field in fields.items()}
    assert filled(erasing, payload) == ({"power": 20.0}, {})
    assert filled(erasing, '{"header":{"identifier":"power"},"body":{}}') == ({"power": None}, {})
    root = json.loads(payload)
    assert compiled(fields).any_present(Scope(root, root, {}))
    other = {"header": {"identifier": "humidity"}, "body": {"value": "20"}}
    assert not compiled(fields).any_present(Scope(other, other, {}))


def test_a_state_that_follows_from_a_condition() -> None:
    fields = {"state": {"const": "busy", "when": {"path": "current", "kind": "number"}}}
    assert filled(fields, '{"current": 1.5}') == ({"state": "busy"}, {})
    assert filled(fields, '{"current": null}') == ({}, {})


def test_what_the_device_itself_calls_faulty() -> None:
    # Neuron: values and errors side by side
    fields = {
        "power": {"path": "values.tag0", "faulty_when": {"path": "errors.tag0"}},
        "temp": {"path": "values.tag1", "faulty_when": {"path": "errors.tag1"}},
    }
    payload = '{"timestamp":1650006388943,"values":{"tag0":123},"errors":{"tag1":2014},"metas":{}}'
    assert filled(fields, payload) == ({"power": 123.0}, {"temp": Quality.FAULTY})
    # A value that stands there all the same is none.
    assert filled(fields, '{"values":{"tag1":85},"errors":{"tag1":3}}') == ({}, {"temp": Quality.FAULTY})
    assert filled(fields, '{"values":{"tag1":85}}') == ({"temp": 85.0}, {})


def test_what_is_kept_and_not_trusted() -> None:
    # HJ 212: the flag beside each factor is N where the instrument runs as it should.
    flag = {"path": "a01012.Flag", "one_of": ["C", "D", "T"]}
    fields = {"temp": {"path": "a01012.Rtd", "suspect_when": flag}}
    assert filled(fields, {"a01012": {"Rtd": "10", "Flag": "N"}}) == ({"temp": 10.0}, {})
    assert filled(fields, {"a01012": {"Rtd": "10", "Flag": "C"}}) == ({"temp": 10.0}, {"temp": Quality.SUSPECT})
    assert filled(fields, {"a01012": {"Rtd": "500", "Flag": "C"}}) == ({}, {"temp": Quality.IMPOSSIBLE})
    assert filled(fields, {"a01012": {"Flag": "C"}}) == ({}, {})


def test_conditions_stand_beside_plain_fields() -> None:
    fields = {
        "power": "p",
        "level": {"path": "l", "scale": 0.1},
        "state": {"path": "s", "map": {"1": "busy"}},
        "energy": {"path": "deep.e"},
        "temp": {"path": "t", "faulty_when": {"path": "t", "one_of": [85, -127]}},
    }
    payload = {"p": 1, "l": 20, "s": 1, "deep": {"e": 3}, "t": 85}
    others = {"power": 1.0, "level": 2.0, "state": "busy", "energy": 3.0}
    assert filled(fields, payload) == (others, {"temp": Quality.FAULTY})
    assert filled(fields, {**payload, "t": 21}) == ({**others, "temp": 21.0}, {})


def test_a_condition_inside_parallel_arrays() -> None:
    fields = {"power": {"path": "powers", "faulty_when": {"path": "ports.states", "equals": 9}}}
    made = compiled(fields, zipped=("powers", "ports.states"))
    values: Values = {}
    flags: Flags = {}
    made.fill(Scope({}, {"powers": 10, "ports.states": 9}, {}), values, flags)
    assert (values, flags) == ({}, {"power": Quality.FAULTY})


def test_a_condition_that_looks_at_the_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="when of a field"):
        compiled({"power": {"path": "p", "when": {"prefix": "00"}}})


# --- absence ----------------------------------------------------------------------------------------------------------


def test_what_absence_stands_for() -> None:
    # The Things Stack leaves out what is 0, false or empty.
    fields = {
        "power": {"path": "power", "missing_value": 0},
        "temp": {"path": "decoded.temp", "missing_value": 0, "offset": -5},
        "state": {"path": "running", "map": {"true": "busy", "false": "idle"}, "missing_value": False},
    }
    assert filled(fields, "{}") == ({"power": 0.0, "temp": -5.0, "state": "idle"}, {})
    assert filled(fields, '{"power":1,"decoded":{"temp":20},"running":true}')[0] == {
        "power": 1.0,
        "temp": 15.0,
        "state": "busy",
    }
    assert filled(fields, '{"power":null}')[0]["power"] == 0.0
    assert filled(fields, '{"power":"NaN"}')[0] == {"temp": -5.0, "state": "idle"}


def test_what_is_missing_is_skipped_erased_or_refused() -> None:
    fields: dict[str, Any] = {
        "power": {"path": "p"},
        "temp": {"path": "t", "scale": 0.1, "sentinel": [0]},
        "level": {"path": "l", "linear": [4, 20, 0, 100]},
        "state": {"path": "s", "map": {"1": "busy"}},
        "energy": {"path": "e", "missing_value": 7},
    }
    assert filled(fields, '{"t":0}') == ({"energy": 7.0}, {})
    erasing = {name: {**field, "when_missing": "erase"} for name, field in fields.items()}
    erased = {"power": None, "temp": None, "level": None, "state": None, "energy": 7.0}
    assert filled(erasing, '{"t":0}') == filled(erasing, None) == (erased, {})
    for name in ("power", "temp", "level", "state"):
        with pytest.raises(DecodeError) as caught:
            filled({name: {**fields[name], "when_missing": "reject"}}, '{"t":0}')
        assert (caught.value.code, caught.value.field) == ("missing", name)


# --- odd dress --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "raw", "value"),
    [
        ({"replace": ["_", "."]}, "0_02", 0.02),  # an electrical fire monitor writes its decimals so
        ({"replace": ["_", "."]}, "0", 0.0),
        ({"replace": [",", "."]}, "21,5", 21.5),
        ({"strip": "%"}, "17%", 17.0),  # Frigate: gpu
        ({"strip": " W"}, "12.5 W", 12.5),
        ({"strip": " W"}, "12.5W", 12.5),
        ({"strip": "kWh", "replace": [",", ""]}, "1,234.5 kWh", 1234.5),
        ({"scale": 0.001}, 15800, 15.8),  # OpenEVSE: mA
        ({"scale": 1 / 60}, 13822, 13822 / 60),  # Shelly: watt-minutes
        ({"sentinel": [999]}, "999", None),  # Shelly H&T
        ({"sentinel": ["--"]}, "--", None),
        ({"linear": [4, 20, 0, 10]}, 4.0, 0.0),
        ({"map": {"true": 1, "false": 0}}, True, 1.0),
        ({"map": {"true": 1, "false": 0}}, False, 0.0),
        ({"map": {"on": 1, "off": 0}}, "off", 0.0),
        ({"map": {"3": 75, "2": 50}}, 3.0, 75.0),
        ({"cast": "integer"}, True, 1.0),
        ({"cast": "number"}, False, 0.0),
        ({"path": None, "capture": "n"}, None, 3.0),
    ],
)
def test_a_raw_value_in_odd_dress(field: dict[str, Any], raw: Any, value: float | None) -> None:
    found, flags = filled({"power": {"path": "v", **field}}, {"v": raw})
    assert (found, flags) == ({} if value is None else {"power": pytest.approx(value)}, {})


@pytest.mark.parametrize(
    ("field", "raw", "word"),
    [
        ({"map": {"true": "busy", "false": "idle"}}, True, "busy"),
        ({"map": {"true": "busy", "false": "idle"}}, "false", "idle"),
        ({"map": {"1": "busy", "0": "idle"}}, "1", "busy"),
        ({"map": {"1": "busy"}, "default": "idle"}, 7, "idle"),
        ({"map": {"CLOSED": "idle"}}, " CLOSED\r\n", "idle"),
        ({"map": {"N": "idle"}, "unlisted": "skip"}, "X", None),
        ({}, "busy", "busy"),
    ],
)
def test_a_state_in_odd_dress(field: dict[str, Any], raw: Any, word: str | None) -> None:
    assert filled({"state": {"path": "v", **field}}, {"v": raw})[0] == ({} if word is None else {"state": word})


@pytest.mark.parametrize(
    ("name", "field", "raw", "code"),
    [
        ("power", {}, True, "wrong_type"),
        ("power", {}, "12 W", "wrong_type"),
        ("power", {}, {"value": 1}, "wrong_type"),
        ("power", {}, "9" * 100_000, "too_large"),
        ("power", {"map": {"on": 1}}, "off", "unknown_word"),
        ("state", {}, "asleep", "unknown_word"),
        ("state", {"map": {"true": "busy"}}, False, "unknown_word"),
        ("power", {"when_missing": "reject"}, None, "missing"),
    ],
)
def test_what_is_refused(name: str, field: dict[str, Any], raw: Any, code: str) -> None:
    with pytest.raises(DecodeError) as caught:
        filled({name: {"path": "v", **field}}, {"v": raw})
    assert (caught.value.code, caught.value.field) == (code, name)


@pytest.mark.parametrize(
    ("name", "field", "word"),
    [
        ("power", {"map": {"on": "busy"}}, "numbers in the map"),
        ("power", {"map": {"on": True}}, "numbers in the map"),
        ("state", {"map": {"on": "asleep"}}, "a word of the state"),
        ("power", {"replace": ["", "x"]}, "a text to be replaced"),
        ("power", {"capture": "n"}, "exactly one"),
    ],
)
def test_fields_that_make_no_sense(name: str, field: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        compiled({name: {"path": "v", **field}})


def test_many_fields_over_one_long_text_take_no_time() -> None:
    made = compiled({name: {"path": "$", "strip": "x"} for name in ("power", "temp", "level", "noise", "energy")})
    text = "温" * 350_000

    def attempt() -> None:
        with pytest.raises(DecodeError):
            made.fill(Scope(text, text, {}), {}, {})

    assert least_seconds(attempt) < QUICK_SECONDS
