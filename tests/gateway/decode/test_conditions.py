"""`when:` in all its tests: of the bytes, of captures, of what is there, what is absent, what kind it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from device_profiles.schema import When
from gateway.decode.conditions import Condition, value_test
from gateway.decode.scope import Scope


def holds(when: dict[str, Any], payload: str | bytes = "{}", **captures: str) -> bool:
    raw = payload.encode() if isinstance(payload, str) else payload
    condition = Condition(When.model_validate(when))
    root = json.loads(raw) if condition.needs_decoding else None
    return condition.holds(raw, Scope(root, root, captures))


# Shelly Gen2+: a full status, a partial one and an event differ in their method alone.
_NOTIFY = (
    '{"src":"shellyplusht-b8d61a8b17cc","method":"NotifyStatus",'
    '"params":{"ts":1680962879.62,"temperature:0":{"tC":19.8}}}'
)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"path": "method", "equals": "NotifyStatus"}, True),
        ({"path": "method", "equals": "NotifyFullStatus"}, False),
        ({"path": "method", "one_of": ["NotifyStatus", "NotifyFullStatus"]}, True),
        ({"path": 'params."temperature:0"'}, True),
        ({"path": 'params."humidity:0"'}, False),
        ({"absent": 'params."humidity:0"'}, True),
        ({"absent": "params.ts"}, False),
        ({"absent": "method.deeper"}, True),
        ({"path": "method", "kind": "text"}, True),
        ({"path": "params", "kind": "object"}, True),
        ({"path": "params.ts", "kind": "number"}, True),
        ({"path": "params", "kind": "array"}, False),
        ({"path": "nothing", "kind": "text"}, False),
        ({"kind": "object"}, True),
        ({"kind": "array"}, False),
        ({"path": "method", "regex": "Notify(Full)?Status"}, True),
        ({"path": "method", "regex": "Notify"}, False),
        ({"path": "params.ts", "regex": ".*"}, False),
        ({"path": "method", "equals": "NotifyStatus", "absent": "params"}, False),
        ({"path": "method", "equals": "NotifyStatus", "all_of": [{"absent": "error"}, {"path": "params.ts"}]}, True),
        ({"path": "method", "equals": "NotifyStatus", "all_of": [{"absent": "error"}, {"path": "error"}]}, False),
        ({"all_of": [{"path": "src", "regex": "shelly.*"}, {"min_length": 10}, {"prefix": "7b"}]}, True),
        ({"all_of": [{"path": "src", "regex": "shelly.*"}, {"length": 10}]}, False),
        ({"all_of": [{"all_of": [{"all_of": [{"path": "src", "equals": "x"}]}]}]}, False),
    ],
)
def test_what_is_told_apart_by_its_values(when: dict[str, Any], expected: bool) -> None:
    assert holds(when, _NOTIFY) is expected


@pytest.mark.parametrize(
    ("kind", "payloads"),
    [
        ("object", ["{}"]),
        ("array", ["[]", "[1]"]),
        ("text", ['"on"', '""']),
        ("number", ["0", "-1.5"]),
        ("boolean", ["true", "false"]),
    ],
)
def test_each_kind_is_no_other(kind: str, payloads: list[str]) -> None:
    everything = ["{}", "[]", "[1]", '"on"', '""', "0", "-1.5", "true", "false", "null"]
    assert [payload for payload in everything if holds({"kind": kind}, payload)] == payloads


def test_patterns_over_the_payload() -> None:
    alarm = {"regex": r"[A-Z]\w+ .+"}  # wmbusmeters: "TYPE MESSAGE"
    assert holds(alarm, "DeviceInactivity the meter is silent")
    assert not holds(alarm, "silence")
    assert not holds(alarm, b"A\xff b")
    assert not holds(alarm, "A " + "x" * 300_000)
    assert holds({"regex": "门禁\\d"}, "门禁1")


def test_patterns_over_a_capture() -> None:
    # Frigate: <camera>/<object> is a count, but not on the retained topics of the service itself.
    label = {"capture": "label", "regex": "person|car|dog"}
    assert holds(label, label="person")
    assert not holds(label, label="persons")
    assert not holds(label)
    assert holds({"capture": "label", "regex": "p.*", "one_of": ["person", "car"]}, label="person")
    assert not holds({"capture": "label", "regex": "c.*", "one_of": ["person", "car"]}, label="person")


def test_only_what_needs_decoding_asks_for_it() -> None:
    def needs(**when: Any) -> bool:
        return Condition(When.model_validate(when)).needs_decoding

    assert not needs(prefix="444e59", regex="x", text="y")
    assert not needs(capture="n", equals=1, all_of=[{"length": 3}])
    assert needs(path="a")
    assert needs(absent="a")
    assert needs(kind="object")
    assert needs(length=3, all_of=[{"absent": "a"}])


@pytest.mark.parametrize(
    ("when", "word"),
    [
        ({"path": "a", "capture": "b", "equals": 1}, "found both"),
        ({"equals": 1}, "beside equals"),
        ({"capture": "b"}, "beside capture"),
        ({"capture": "b", "kind": "text"}, "always a text"),
        ({"path": "a", "regex": "(?=x)"}, "look-around"),
        ({"all_of": [{"at": 3}]}, "at and byte"),
        ({"path": "a[?b]"}, "expected a path"),
    ],
)
def test_conditions_that_make_no_sense(when: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Condition(When.model_validate(when))


def test_a_fields_condition_looks_at_values_alone() -> None:
    test = value_test(When.model_validate({"path": "name", "equals": "pressure", "all_of": [{"absent": "error"}]}))
    assert test(Scope(None, {"name": "pressure"}, {}))
    assert not test(Scope(None, {"name": "pressure", "error": 1}, {}))
    for when in ({"prefix": "00"}, {"regex": "x"}, {"length": 3}, {}):
        with pytest.raises(ValueError, match="when of a field"):
            value_test(When.model_validate(when))
