"""The same thing in several places, in several dresses: paths in turn, conditions that hold one way or another, values
that cannot be read, and points that share one time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from device_profiles.schema import FieldMap, When
from gateway.decode import DecodeError
from gateway.decode.conditions import Condition, value_test
from gateway.decode.dispatch import byte_table
from gateway.decode.encode import encode
from gateway.decode.scope import Scope
from gateway.reading import Presence, Quality, Reading
from tests.gateway.decode.mini import NOW, decoder, flat, named, one, profile

LASTING = {"alarm": {"name": named("alarm"), "lasting": True}, "passed": {"name": named("passed")}}


def decoded(binding: dict[str, Any], payload: Any, topic: str = "t/d1", **more: Any) -> list[Reading]:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return decoder(binding, **more).decode(topic, raw, NOW)


# --- several paths ---------------------------------------------------------------------------------------------------


def test_the_first_path_at_which_something_stands() -> None:
    binding = flat(power=["power", "ENERGY.Power", "$.p"], temp={"path": ["t", "temp"], "scale": 0.1})
    assert one(binding, '{"power": 0, "ENERGY": {"Power": 7}, "temp": 215}').values == {"power": 0, "temp": 21.5}
    assert one(binding, '{"power": null, "ENERGY": {"Power": 7}, "t": 1}').values == {"power": 7, "temp": 0.1}
    assert one(binding, '{"ENERGY": "off", "p": 3}').values == {"power": 3}, (
        "another shape is nothing, but for the last"
    )
    assert FieldMap.model_validate({"path": ["a"]}).path == ("a",)


def test_what_no_path_leads_to_is_missing() -> None:
    binding = flat(power={"path": ["a", "b"], "when_missing": "reject"}, temp="temp")
    with pytest.raises(DecodeError, match="missing"):
        decoded(binding, {"temp": 1})
    last = flat(power=["a.x", "b.x"], temp="temp")
    assert one(last, '{"a": 5, "temp": 1}').values == {"temp": 1}
    with pytest.raises(DecodeError, match="wrong_type"):
        decoded(last, {"b": 5, "temp": 1})


def test_an_uplink_with_the_time_of_one_network_or_the_other() -> None:
    # The Things Stack: the gateway's own time where it has one, else that of the network server.
    paths = ["uplink_message.rx_metadata[0].time", "uplink_message.settings.time", "received_at"]
    binding = flat(power="uplink_message.decoded_payload.power") | {"time": {"path": paths, "format": "iso"}}
    uplink = {
        "received_at": "2025-11-21T16:03:19.9Z",
        "uplink_message": {
            "decoded_payload": {"power": 4},
            "rx_metadata": [{"rssi": -35}],
            "settings": {"time": "2025-11-21T16:03:19.5Z"},
        },
    }
    assert decoded(binding, uplink)[0].measured_at == NOW - 500
    del uplink["uplink_message"]["settings"]  # type: ignore[attr-defined]
    assert decoded(binding, uplink)[0].measured_at == NOW - 100


def test_words_of_presence_edges_and_phases_in_either_place() -> None:
    binding = flat() | {
        "presence": {"online": "online", "offline": "offline"},
        "presence_path": ["status", "state.conn"],
        "events": [
            {"event": "passed", "edge": {"path": ["door", "gate"], "to": ["open"]}},
            {"event": "alarm", "phase_path": ["alarm", "alm"], "phases": {"1": "begin", "0": "end"}},
        ],
    }
    listening = decoder(binding, events=LASTING)

    def heard(**payload: Any) -> Reading:
        return listening.decode("t/d1", json.dumps(payload).encode(), NOW)[0]

    assert heard(state={"conn": "offline"}, alm=0, gate="shut").presence is Presence.OFFLINE
    found = heard(status="online", alarm=1, door="open")
    assert (found.presence, [event.id for event in found.events]) == (Presence.ONLINE, ["passed", "alarm"])
    assert found.values == {"alarm": True}


# --- any_of, not -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "payload", "holds"),
    [
        ({"any_of": [{"path": "a"}, {"path": "b", "equals": 2}]}, {"b": 2}, True),
        ({"any_of": [{"path": "a"}, {"path": "b", "equals": 2}]}, {"b": 3}, False),
        ({"any_of": [{"path": "a"}, {"path": "b"}], "path": "c"}, {"a": 1}, False),
        ({"not": {"path": "a"}}, {"b": 1}, True),
        ({"not": {"path": "a"}}, {"a": 1}, False),
        ({"not": {"path": "a.b", "equals": 1}}, {"a": 5}, True),
        ({"not": {"any_of": [{"path": "a"}, {"not": {"path": "b"}}]}}, {"b": 1}, True),
        ({"not": {"any_of": [{"path": "a"}, {"not": {"path": "b"}}]}}, {"c": 1}, False),
        ({"all_of": [{"any_of": [{"path": "a"}, {"path": "b"}]}, {"not": {"path": "c"}}]}, {"a": 1, "c": 1}, False),
        ({"any_of": [{"prefix": "7b"}, {"length": 3}]}, {"a": 1}, True),
        ({"any_of": [{"prefix": "5b"}, {"min_length": 100}]}, {"a": 1}, False),
        ({"not": {"prefix": "7b"}}, {"a": 1}, False),
        ({"any_of": [{"prefix": "5b"}, {"path": "a"}]}, {"a": 1}, True),
        ({"any_of": [{"prefix": "5b"}, {"path": "a"}]}, {"b": 1}, False),
        ({"not": {"prefix": "7b", "path": "a"}}, {"a": 1}, False),
        ({"not": {"prefix": "7b", "path": "a"}}, {"b": 1}, True),
        ({"path": ["a", "b"], "equals": 1}, {"b": 1}, True),
        ({"path": ["a", "b"], "equals": 1}, {"a": 2, "b": 1}, False),
        ({"path": ["a", "b"], "kind": "number"}, {"a": None, "b": 1}, True),
        ({"path": ["a.x", "b.x"]}, {"a": 1, "b": 1}, False),
        ({"any_of": [{"capture": "address", "equals": "d1"}, {"path": "never"}]}, {}, True),
    ],
)
def test_one_way_or_another(when: dict[str, Any], payload: dict[str, Any], holds: bool) -> None:
    raw = json.dumps(payload).encode()
    condition = Condition(When.model_validate(when))
    assert condition.holds(raw, Scope(payload, payload, {"address": "d1"})) is holds
    # And so a binding takes the message, beside another one that takes what is left.
    rest = flat() | {"id": "rest", "keepalive": True}
    first = flat() | {"id": "first", "when": [when], "keepalive": True}
    assert [reading.binding for reading in decoder(first, rest).decode("t/d1", raw, NOW)] == [
        "first" if holds else "rest"
    ]


def test_the_bytes_of_alternatives_are_in_the_table() -> None:
    frames = [{"any_of": [{"prefix": f"aa{n:02x}"}, {"prefix": f"bb{n:02x}"}]} for n in range(4)]
    table = byte_table([(When.model_validate(when),) for when in frames])
    assert table is not None and table.offset == 1 and table.by_byte[2] == (2,)
    opposite = When.model_validate({"not": {"prefix": "aa"}, "prefix": "??01"})
    table = byte_table([(opposite,), (When.model_validate({"prefix": "aa02"}),)])
    assert table is not None and table.by_byte[1] == (0,)


def test_values_may_not_ask_for_bytes() -> None:
    for when in ({"not": {"prefix": "aa"}}, {"any_of": [{"length": 1}, {"path": "a"}]}):
        with pytest.raises(ValueError, match="found a test of the whole payload"):
            value_test(When.model_validate(when))


# --- the place of an element -----------------------------------------------------------------------------------------

READINGS = {"Voltage": 221.4, "Current": 1.2, "Fault": 3, "Version": "1.2"}


def test_elements_chosen_and_named_by_their_key() -> None:
    each = {
        "child": "port",
        "over": "data",
        "key": "{key}",
        "when": {"not": {"capture": "key", "one_of": ["Version", "Fault"]}},
        "fields": {
            "port_temp": {"path": "$", "when": {"capture": "key", "equals": "Voltage"}},
            "port_power": {"path": "$", "when": {"capture": "key", "regex": "C.*"}},
        },
    }
    faults = each | {
        "when": {"capture": "key", "equals": "Fault"},
        "fields": {},
        "events": [{"event": "alarm", "fields": {"what": {"capture": "key"}, "n": {"capture": "index"}}}],
    }
    events = {"alarm": {"name": named("alarm"), "scope": "port"}, "passed": {"name": named("passed")}}
    found = decoded(flat() | {"each": [each, faults]}, {"data": {**READINGS, "Voltage": 21}}, events=events)
    assert [(r.child, r.values) for r in found] == [
        ("port:Voltage", {"port_temp": 21}),
        ("port:Current", {"port_power": 1.2}),
        ("port:Fault", {}),
    ]
    assert found[2].events[0].data == {"what": "Fault", "n": 2}


def test_elements_chosen_by_their_position() -> None:
    each = {"child": "port", "over": "t", "key": "{index+1}", "when": {"capture": "index", "one_of": [0, 2]}}
    found = decoded(flat() | {"each": [each | {"fields": {"port_temp": "$"}}]}, {"t": [20, 21, 22]})
    assert [(r.child, r.values) for r in found] == [("port:1", {"port_temp": 20}), ("port:3", {"port_temp": 22})]


def test_a_single_child_is_named_by_a_capture_that_is_called_key() -> None:
    binding = flat() | {"topic": "t/{address}/{key}", "each": [{"child": "port", "key": "{key}"}]}
    binding["each"][0] |= {"fields": {"port_temp": "t"}, "when": {"capture": "key", "equals": "A"}}
    found = decoded(binding, {"t": 20}, "t/d1/A")
    assert [(r.child, r.values) for r in found] == [("port:A", {"port_temp": 20})]


def test_conditions_of_parallel_arrays_look_at_the_element() -> None:
    each = {
        "child": "port",
        "zip": ["E.T", "E.P"],
        "key": "{index}",
        "when": {"path": "E.P", "kind": "number"},
        "fields": {"port_temp": {"path": "E.T", "when": {"not": {"path": "E.P", "equals": 0}}}},
    }
    found = decoded(flat() | {"each": [each]}, {"E": {"T": [20, 21, 22], "P": [5, None, 0]}})
    assert [(r.child, r.values) for r in found] == [("port:0", {"port_temp": 20}), ("port:2", {})]


# --- values that cannot be read --------------------------------------------------------------------------------------


def test_what_cannot_be_read_is_left_out() -> None:
    binding = flat(power={"path": "p", "unreadable": "skip"}, temp="temp", state={"path": "s", "unreadable": "skip"})
    binding["fields"]["state"] |= {"map": {"0": "idle"}, "unlisted": "skip"}
    for odd in ("n/a", {"v": 1}, [1, 2], True, "x" * 70_000):
        found = decoded(binding, {"p": odd, "temp": 20, "s": {}})[0]
        assert (found.values, found.flags) == ({"temp": 20}, {"power": Quality.SUSPECT, "state": Quality.SUSPECT})
    # Nothing is nothing, an impossible value impossible, a word that is not listed a matter of `unlisted`.
    assert one(binding, '{"p": "", "temp": 20, "s": 7}').flags == {}
    assert one(binding, '{"p": 3, "temp": 999}').flags == {"temp": Quality.IMPOSSIBLE}
    strict = flat(state={"path": "s", "map": {"0": "idle"}, "unreadable": "skip"})
    with pytest.raises(DecodeError, match="unknown_word"):
        decoded(strict, {"s": 7})
    with pytest.raises(DecodeError, match="wrong_type"):
        decoded(flat(power="p"), {"p": "n/a"})


def test_a_path_through_a_text_is_unreadable_too() -> None:
    binding = flat(power={"path": "a.p", "unreadable": "skip"}, temp="temp")
    assert one(binding, '{"a": "absent", "temp": 20}').flags == {"power": Quality.SUSPECT}


# --- points with one time --------------------------------------------------------------------------------------------


def test_the_last_three_minutes_the_newest_first() -> None:
    # Shelly, aenergy: mWh of the last three whole minutes, and the time at which the newest of them began.
    binding = flat(power={"path": "$", "scale": 0.06}) | {
        "split": [{"over": "aenergy.by_minute"}],
        "time": {"path": "$.aenergy.minute_ts", "format": "unix_s", "step": "-60s", "late_after": "10m"},
    }
    payload = {"aenergy": {"total": 1.5, "by_minute": [100, 200, 50], "minute_ts": NOW // 1000 - 20}}
    found = decoded(binding, payload)
    assert [(r.measured_at - NOW // 1000 * 1000, r.values) for r in found] == [
        (-140_000, {"power": 3}),
        (-80_000, {"power": 12}),
        (-20_000, {"power": 6}),
    ]


def test_a_day_of_quarter_hours() -> None:
    binding = flat(power="$", level="$.battery") | {
        "split": [{"over": "load", "older_is_history": True}],
        "time": {"path": "$.day", "format": "%Y-%m-%d", "step": "15m"},
    }
    found = decoded(binding, {"day": "2025-11-20", "battery": 80, "load": [n / 10 for n in range(96)]})
    midnight = 1_763_596_800_000
    assert [r.measured_at for r in found] == [midnight + n * 900_000 for n in range(96)]
    assert [r.quality for r in found] == [Quality.HISTORIC] * 95 + [Quality.LATE]
    assert found[95].values == {"power": 9.5, "level": 80}


def test_a_time_that_is_missing_or_not_wanted() -> None:
    # Alibaba: wrapped with its time, or bare, in one message.
    binding = flat(power={"path": ["value", "$"]}) | {
        "split": [{"over": "params", "elements": "keys", "capture": "what"}],
        "time": {"path": "time", "when": {"kind": "object"}},
    }
    found = decoded(binding, {"params": {"a": {"value": 1, "time": NOW - 5000}, "b": 2}})
    assert [(r.measured_at, r.values) for r in found] == [(NOW - 5000, {"power": 1}), (NOW, {"power": 2})]
    with pytest.raises(DecodeError, match="bad_time"):
        decoded(binding, {"params": {"a": {"value": 1, "time": "soon"}}})


def test_parallel_arrays_of_times_and_values() -> None:
    binding = flat(power="data.values", level="$.battery") | {
        "split": [{"zip": ["data.times", "data.values"], "capture": "n"}],
        "time": {"path": "data.times"},
    }
    payload = {"data": {"times": [NOW - 2000, NOW - 1000], "values": [5, 6]}, "battery": 70}
    found = decoded(binding, payload)
    assert [(r.measured_at - NOW, r.values) for r in found] == [
        (-2000, {"power": 5, "level": 70}),
        (-1000, {"power": 6, "level": 70}),
    ]
    payload["data"]["values"].append(7)  # type: ignore[index]
    with pytest.raises(DecodeError, match="as many elements as"):
        decoded(binding, payload)
    assert [r.values for r in decoded(binding, {"battery": 70})] == [{}]


def test_arrays_that_cannot_be_put_into_elements() -> None:
    for split in ({"zip": ["a[0]", "b"]}, {"zip": ["$", "b"]}, {"zip": ["a"], "over": "b"}, {}):
        with pytest.raises(ValueError, match="expected"):
            decoder(flat(power="$") | {"split": [split]})


# --- backwards -------------------------------------------------------------------------------------------------------


def test_backwards_the_first_way_is_taken() -> None:
    binding = flat(power=["p.value", "p"], state={"path": "s", "when": {"any_of": [{"path": "k", "equals": 1}]}})
    binding |= {"when": [{"not": {"path": "error"}}], "time": {"path": ["ts", "t"]}}
    made = profile(binding)
    [(topic, payload)] = encode(made, "telemetry", "d1", {"": {"power": 4, "state": "busy"}}, at=NOW)
    assert json.loads(payload) == {"ts": NOW, "p": {"value": 4}, "k": 1, "s": "busy"}
    zipped = flat(power="d.v") | {"split": [{"zip": ["d.t", "d.v"]}], "time": {"path": "d.t"}}
    [(topic, payload)] = encode(profile(zipped), "telemetry", "d1", {"": {"power": 4}}, at=NOW)
    assert json.loads(payload) == {"d": {"t": [NOW], "v": [4]}}
    assert decoded(zipped, json.loads(payload), topic)[0].values == {"power": 4}
