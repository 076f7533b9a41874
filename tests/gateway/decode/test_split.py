"""One message that holds many: devices, times, and what happens when an element is bad."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.decode import DecodeError
from gateway.decode.split import joined
from gateway.reading import DeviceEntry, Event, Quality, Reading
from tests.gateway.decode.mini import NOW, decoder

GATEWAY: dict[str, Any] = {
    "id": "telemetry",
    "topic": "v1/gateway/telemetry",
    "address": "{device}",
    "split": [{"over": "", "elements": "keys", "capture": "device"}, {"over": ""}],
    "time": {"path": "ts", "format": "unix_ms", "late_after": "10m"},
    "fields": {"power": "values.power", "temp": "values.temp"},
}
"""ThingsBoard's gateway: {device: [{ts, values}]}."""


def points(binding: dict[str, Any], payload: Any, topic: str = "v1/gateway/telemetry", **more: Any) -> list[Reading]:
    return decoder(binding, **more).decode(topic, json.dumps(payload).encode(), NOW)


def test_an_object_of_devices_with_arrays_of_points() -> None:
    payload = {
        "A": [{"ts": NOW - 1000, "values": {"power": 2}}, {"ts": NOW - 2000, "values": {"power": 1}}],
        "B": [{"ts": NOW - 500, "values": {"power": 3, "temp": 20}}],
    }
    found = [(r.device, r.measured_at - NOW, r.values) for r in points(GATEWAY, payload)]
    assert found == [
        ("mini:A", -2000, {"power": 1}),
        ("mini:A", -1000, {"power": 2}),
        ("mini:B", -500, {"power": 3, "temp": 20}),
    ]


def test_a_batch_of_items_that_each_name_their_device() -> None:
    binding = {
        "id": "telemetry",
        "topic": "up/{box}",
        "address": "{device_id}",
        "split": [{"over": "batch"}],
        "time": {"path": "timestamp"},
        "fields": {"power": "metrics.power.value", "level": "$.level"},
    }
    batch = [{"timestamp": str(NOW - n), "device_id": f"d{n}", "metrics": {"power": {"value": n}}} for n in (1, 2)]
    found = points(binding, {"batch": batch, "level": 50}, "up/box1")
    assert [(r.device, r.measured_at, r.values) for r in found] == [
        ("mini:d1", NOW - 1, {"power": 1, "level": 50}),
        ("mini:d2", NOW - 2, {"power": 2, "level": 50}),
    ]


def test_the_key_of_an_element_stands_for_fields_and_conditions() -> None:
    """A value with its own time per property."""
    binding = {
        "id": "properties",
        "topic": "sys/{address}/post",
        "split": [{"over": "params", "capture": "name"}],
        "time": {"path": "time"},
        "fields": {
            "power": {"path": "value", "when": {"capture": "name", "equals": "Power"}},
            "temp": {"path": "value", "when": {"capture": "name", "equals": "Temp"}},
        },
    }
    same = {"Power": {"value": 5, "time": NOW - 9}, "Temp": {"value": 6, "time": NOW - 9}}
    assert [r.values for r in points(binding, {"params": same}, "sys/d/post")] == [{"power": 5, "temp": 6}]
    apart = {"Power": {"value": 5, "time": NOW - 9}, "Temp": {"value": 6, "time": NOW - 8}}
    assert [r.values for r in points(binding, {"params": apart}, "sys/d/post")] == [{"power": 5}, {"temp": 6}]


def test_all_but_the_newest_of_a_device_are_history_where_the_profile_says_so() -> None:
    binding = {**GATEWAY, "split": [GATEWAY["split"][0], {"over": "", "older_is_history": True}]}
    payload = {
        "A": [{"ts": NOW - n, "values": {"power": n}} for n in (10, 30, 20)],
        "B": [{"ts": NOW - 900, "values": {"power": 1}}],
    }
    found = [(r.device, r.values["power"], r.quality) for r in points(binding, payload)]
    assert found == [
        ("mini:A", 30, Quality.HISTORIC),
        ("mini:A", 20, Quality.HISTORIC),
        ("mini:A", 10, Quality.GOOD),
        ("mini:B", 1, Quality.GOOD),
    ]


def test_elements_without_a_time_do_not_overwrite_each_other() -> None:
    binding = {"id": "b", "topic": "t/{address}", "split": [{"over": "points"}], "fields": {"power": "p"}}
    made = decoder(binding)
    found = made.decode("t/d", b'{"points": [{"p": 1}, {"p": 2}, {"p": 3}]}', NOW)
    assert [(r.measured_at - NOW, r.received_at - NOW, r.values["power"]) for r in found] == [
        (0, 0, 1),
        (1, 1, 2),
        (2, 2, 3),
    ]
    assert made.decode("t/d", b'{"points": [{"p": 4}]}', NOW)[0].received_at == NOW + 3


def test_points_of_one_time_become_one_reading_unless_they_contradict() -> None:
    payload = {
        "A": [
            {"ts": NOW - 5, "values": {"power": 1}},
            {"ts": NOW - 5, "values": {"temp": 2}},
            {"ts": NOW - 5, "values": {"temp": 3}},
        ]
    }
    found = [(r.measured_at - NOW, r.values) for r in points(GATEWAY, payload)]
    assert found == [(-5, {"power": 1, "temp": 2}), (-4, {"temp": 3})]


def test_a_bad_element_refuses_the_whole_message_and_leaves_nothing() -> None:
    edge = {"event": "alarm", "edge": {"path": "values.door", "to": ["open"]}}
    made = decoder({**GATEWAY, "events": [edge]})
    good = {"ts": NOW - 5, "values": {"power": 1, "door": "shut"}}
    with pytest.raises(DecodeError) as caught:
        made.decode("v1/gateway/telemetry", json.dumps({"A": [good, {"ts": "soon", "values": {}}]}).encode(), NOW)
    assert caught.value.code == "bad_time"
    assert len(made.memory) == 0
    assert made.memory.changes() == {}


def test_devices_that_stand_nowhere_are_left_out_of_a_batch_for_registered_ones() -> None:
    entry = DeviceEntry("meter-a", "mini", "A", "yard")
    payload = {name: [{"ts": NOW, "values": {"power": 1}}] for name in "AB"}
    found = points({**GATEWAY, "registered_only": True}, payload, entries=(entry,))
    assert [r.device for r in found] == ["meter-a"]
    with pytest.raises(DecodeError, match=r"not_registered.*'B'.*site file"):
        points({**GATEWAY, "registered_only": True}, {"B": payload["B"]}, entries=(entry,))


def test_an_empty_batch_is_a_sign_of_life_of_the_device_in_the_topic() -> None:
    binding = {"id": "b", "topic": "t/{address}", "split": [{"over": "points"}], "fields": {"power": "p"}}
    assert [r.values for r in points(binding, {"points": []}, "t/d")] == [{}]
    assert points(GATEWAY, {}) == []
    assert [r.values for r in points(binding, {"points": [None, {"p": 1}]}, "t/d")] == [{"power": 1}]


def test_children_of_an_element() -> None:
    binding = {
        "id": "b",
        "topic": "box",
        "address": "{id}",
        "split": [{"over": "stations"}],
        "each": [{"child": "port", "over": "ports", "key": "{index+1}", "fields": {"port_temp": "t"}}],
    }
    stations = [{"id": "s1", "ports": [{"t": 1}, {"t": 2}]}, {"id": "s2", "ports": [{"t": 3}]}]
    found = [(r.device, r.child, r.values) for r in points(binding, {"stations": stations}, "box")]
    assert found == [
        ("mini:s1", "port:1", {"port_temp": 1}),
        ("mini:s1", "port:2", {"port_temp": 2}),
        ("mini:s2", "port:1", {"port_temp": 3}),
    ]


@pytest.mark.parametrize(
    "payload",
    [
        {"points": [{"p": 1}] * 5000},
        {"points": [{"p": n} for n in range(300)]},
    ],
)
def test_a_fan_out_has_bounds(payload: Any) -> None:
    binding = {
        "id": "b",
        "topic": "t/{address}",
        "split": [{"over": "points"}],
        "time": {"path": "$.ts"},
        "fields": {"power": "p"},
    }
    with pytest.raises(DecodeError, match="too_many"):
        points(binding, {**payload, "ts": NOW - 5}, "t/d")


READINGS = st.builds(
    lambda child, at, power, temp: Reading(
        "d",
        child,
        NOW + at,
        NOW,
        "b",
        {name: value for name, value in (("power", power), ("temp", temp)) if value is not None},
        (Event("e", {"n": at}),),
    ),
    st.sampled_from(["", "port:1"]),
    st.integers(0, 3),
    st.one_of(st.none(), st.integers(0, 2)),
    st.one_of(st.none(), st.integers(0, 2)),
)


@given(st.lists(READINGS, max_size=8))
def test_no_value_and_no_event_is_lost_and_no_two_readings_are_one(readings: list[Reading]) -> None:
    out = joined(readings)
    identities = [(r.child, r.measured_at) for r in out]
    assert len(set(identities)) == len(identities)
    assert sum(len(r.events) for r in out) == len(readings)
    for reading in readings:
        assert any(
            r.child == reading.child
            and r.measured_at >= reading.measured_at
            and reading.values.items() <= r.values.items()
            for r in out
        )
