"""The value pipeline in its documented order, ranges, and what counts as missing."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.reading import Quality
from tests.gateway.decode.mini import error, flat, one, text


@pytest.mark.parametrize(
    ("field", "raw", "value"),
    [
        ({"path": "p"}, "7", 7.0),
        ({"path": "p"}, '"7.5"', 7.5),
        ({"path": "p"}, '" 7.5 "', 7.5),
        ({"path": "p", "scale": 0.1}, "2201", 220.1),
        ({"path": "p", "scale": 0.001, "offset": -1}, "1500", 0.5),
        ({"path": "p", "scale": 60}, "2", 120.0),
        ({"path": "p", "strip": "%"}, '"17%"', 17.0),
        ({"path": "p", "strip": " W"}, '"17 W"', 17.0),
        ({"path": "p", "replace": ["_", "."]}, '"0_02"', 0.02),
        ({"path": "p", "linear": [4, 20, 0, 1.6]}, "12", 0.8),
        ({"path": "p", "map": {"full": 100, "half": 50}}, '"half"', 50.0),
        ({"path": "p", "map": {"1": 10}, "default": 0}, "9", 0.0),
        ({"path": "p", "cast": "number"}, "true", 1.0),
        ({"path": "p", "cast": "integer"}, '"12"', 12.0),
        ({"path": "p", "sentinel": [0], "offset": -65}, "85", 20.0),
        ({"path": "a.b[1]"}, None, 2.0),
        ({"path": 'a."x:0".y'}, None, 3.0),
        ({"path": 'a["x:0"].y'}, None, 3.0),
        ({"path": "$.a.b[-1]"}, None, 2.0),
        ({"path": "a.n[0]"}, None, 4.0),
        ({"const": 9}, "1", 9.0),
    ],
)
def test_a_raw_value_becomes_a_number(field: dict[str, Any], raw: str | None, value: float) -> None:
    payload = f'{{"p": {raw or 0}, "a": {{"b": [1, 2], "x:0": {{"y": 3}}, "n": 4}}}}'
    found = one(flat(power=field), payload)
    assert found.values == {"power": value}
    assert type(found.values["power"]) is float
    assert found.flags == {}


def test_the_sentinel_is_compared_before_the_offset() -> None:
    field = {"path": "p", "sentinel": [0, "--"], "offset": -65}
    for raw in ("0", "0.0", '"--"'):
        assert one(flat(temp=field), f'{{"p": {raw}}}').values == {}
    assert one(flat(temp=field), '{"p": 65}').values == {"temp": 0.0}


@pytest.mark.parametrize("raw", ["null", '""', '"null"', '"NaN"', '"-Infinity"', '" inf "'])
def test_missing_is_not_zero(raw: str) -> None:
    payload = f'{{"p": {raw}}}'
    found = one(flat(power="p", temp={"path": "p", "scale": 0.1}, state="p"), payload)
    assert found.values == {}
    assert one(flat(power={"path": "p", "when_missing": "erase"}), payload).values == {"power": None}
    failed = error(flat(power={"path": "p", "when_missing": "reject"}), payload)
    assert (failed.code, failed.field) == ("missing", "power")


def test_a_number_beyond_all_numbers_is_missing_too() -> None:
    assert one(flat(power="p"), '{"p": "1e400"}').values == {}
    assert error(flat(power="p"), '{"p": 1e400}').code == "malformed"


def test_a_partial_update_says_nothing_of_what_it_omits() -> None:
    assert one(flat(power="p", temp="t", state="s"), '{"t": 3}').values == {"temp": 3.0}


def test_a_message_that_speaks_of_none_of_its_fields_is_another_dialect() -> None:
    assert error(flat(power="p", temp="t"), '{"watts": 3}').code == "nothing_known"
    assert one(flat(power="p", temp="t"), '{"p": null}').values == {}


@pytest.mark.parametrize("raw", ["true", "[1]", "{}", '"many"', '"1_000"', '"0x1f"', '"1 2"', "1" * 400])
def test_what_is_no_number_is_an_error_and_not_a_guess(raw: str) -> None:
    for field in ({"path": "p"}, {"path": "p", "scale": 0.1}, {"path": "p", "linear": [0, 1, 0, 1]}):
        failed = error(flat(power=field), f'{{"p": {raw}}}')
        assert failed.code == "wrong_type"
        assert failed.binding == "telemetry"
        assert len(failed.found) < 100


def test_a_number_that_is_not_whole_is_not_cut_to_one() -> None:
    assert error(flat(power={"path": "p", "cast": "integer"}), '{"p": 1.5}').code == "wrong_type"


def test_an_impossible_value_is_left_out_clamped_or_marked_as_its_metric_says() -> None:
    found = one(flat(temp="t", level="l", noise="n", power="p"), '{"t": 500, "l": 130, "n": 11, "p": 1}')
    assert found.values == {"level": 100.0, "noise": 11.0, "power": 1.0}
    assert found.flags == {"temp": Quality.IMPOSSIBLE, "level": Quality.SUSPECT, "noise": Quality.SUSPECT}
    assert found.quality is Quality.GOOD
    edges = one(flat(temp="t", level="l"), '{"t": 120, "l": 0}')
    assert (edges.values, edges.flags) == ({"temp": 120.0, "level": 0.0}, {})


@pytest.mark.parametrize(
    ("field", "raw", "word"),
    [
        ({"path": "s"}, '"busy"', "busy"),
        ({"path": "s", "map": {"1": "busy", "0": "idle"}}, "1", "busy"),
        ({"path": "s", "map": {"1": "busy", "0": "idle"}}, "0.0", "idle"),
        ({"path": "s", "map": {"1": "busy", "0": "idle"}}, '"1"', "busy"),
        ({"path": "s", "map": {"true": "busy", "false": "idle"}}, "false", "idle"),
        ({"path": "s", "map": {"ON": "busy"}, "default": "broken"}, '"??"', "broken"),
        ({"path": "s", "map": {"on": "busy"}, "strip": "!"}, '"on!"', "busy"),
        ({"path": "s", "cast": "boolean", "map": {"true": "busy"}}, '"yes"', "busy"),
        ({"const": "idle"}, "1", "idle"),
    ],
)
def test_a_raw_value_becomes_a_word(field: dict[str, Any], raw: str, word: str) -> None:
    assert one(flat(state=field), f'{{"s": {raw}}}').values == {"state": word}


def test_true_is_not_one() -> None:
    assert error(flat(state={"path": "s", "map": {"1": "busy"}}), '{"s": true}').code == "unknown_word"


def test_a_word_that_nobody_declared_is_an_error_that_names_those_that_are() -> None:
    failed = error(flat(state={"path": "s", "map": {"1": "busy", "0": "idle"}}), '{"s": 7}')
    assert (failed.code, failed.field, failed.found) == ("unknown_word", "state", "7")
    assert "0, 1" in failed.expected
    assert error(flat(state="s"), '{"s": "weird"}').code == "unknown_word"


def test_a_code_that_says_nothing_here_is_neither_value_nor_error() -> None:
    field = {"path": "s", "map": {"1": "busy"}, "unlisted": "skip", "when_missing": "erase"}
    assert one(flat(power="p", state=field), '{"p": 1, "s": 7}').values == {"power": 1.0}


def test_a_scalar_payload_is_the_value_itself() -> None:
    assert one(text(power="$"), "15800").values == {"power": 15800.0}
    assert one(text(power={"path": "", "scale": 0.001}), "15800\n").values == {"power": 15.8}
    assert one(flat(power="$"), "2.5").values == {"power": 2.5}
    assert one(text(power="$"), "NaN").values == {}
    assert one(text(power={"path": "$", "when_missing": "erase"}), "").values == {"power": None}
    assert one(flat(power={"path": "$", "when_missing": "erase"}), "").values == {"power": None}
    assert error(flat(power="$"), "").code == "malformed"


def test_a_topic_capture_can_hold_a_value() -> None:
    binding = {
        "id": "b",
        "topic": "t/{address}/{what}",
        "decode": [{"text": True}],
        "fields": {"state": {"capture": "what"}, "power": "$"},
    }
    assert one(binding, "5", topic="t/d1/busy").values == {"state": "busy", "power": 5.0}


def test_walking_into_the_wrong_kind_of_thing_is_an_error() -> None:
    assert error(flat(power="a.b"), '{"a": 5}').code == "wrong_type"
    assert error(flat(power="a[1]"), '{"a": {"b": 1}}').code == "wrong_type"
    assert error(flat(power="p"), "[1]").code == "wrong_type"
    assert one(flat(power="a.b", temp="t"), '{"a": null, "t": 1}').values == {"temp": 1.0}
    assert one(flat(power="a[7]", temp="t"), '{"a": [1], "t": 1}').values == {"temp": 1.0}


def test_of_equal_keys_the_last_counts() -> None:
    assert one(flat(power="p"), '{"p": 1, "p": 2}').values == {"power": 2.0}


def test_codecs_in_a_chain() -> None:
    def chained(*codecs: str) -> dict[str, Any]:
        return {**flat(power="p"), "decode": [{codec: True} for codec in codecs]}

    assert one(chained("hex", "json"), b'{"p": 4}'.hex()).values == {"power": 4.0}
    assert one(chained("base64", "json"), "eyJwIjogNH0=").values == {"power": 4.0}
    assert one(chained("text", "json"), '{"p": 4}').values == {"power": 4.0}
    assert error(chained("hex", "json"), "zz").code == "malformed"
    assert error(chained("base64", "json"), "?").code == "malformed"
    assert error({**text(power="$")}, b"\xff\xfe").code == "malformed"


def test_a_byte_order_mark_before_json_does_no_harm() -> None:
    assert one(flat(power="p"), b'\xef\xbb\xbf{"p": 4}').values == {"power": 4.0}


@pytest.mark.parametrize("path", ["a..b", "a[", "a[x]", 'a."b', "a]b"])
def test_a_path_that_means_nothing_is_refused_when_it_is_compiled(path: str) -> None:
    from gateway.decode.paths import parse_path

    with pytest.raises(ValueError, match="expected a path"):
        parse_path(path)
