"""Fan-out to children, events, presence words, keepalive, ignore, retained messages."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.decode import DecodeError
from gateway.decode.elements import MOST_ELEMENTS
from gateway.reading import Event, Presence, Quality, Reading
from tests.gateway.decode.mini import NOW, decoder, error, flat, one


def _each(**each: Any) -> dict[str, Any]:
    return {"id": "b", "topic": "t/{address}", "each": [{"child": "port", **each}]}


def _children(binding: dict[str, Any], payload: str, topic: str = "t/d1") -> dict[str, dict[str, Any]]:
    return {r.child: dict(r.values) for r in decoder(binding).decode(topic, payload.encode(), NOW)}


def test_an_array_of_objects() -> None:
    binding = _each(over="ports", key="{no+1}", fields={"port_temp": "t", "port_power": "w"})
    payload = '{"ports": [{"no": 0, "t": 30, "w": 5}, {"no": 1, "t": 500}]}'
    found = decoder(binding).decode("t/d1", payload.encode(), NOW)
    assert {r.child: r.values for r in found} == {"port:1": {"port_temp": 30.0, "port_power": 5.0}, "port:2": {}}
    assert found[1].flags == {"port_temp": Quality.IMPOSSIBLE}
    assert {r.measured_at for r in found} == {NOW}


def test_an_array_of_numbers_by_position() -> None:
    for path in ("$", ""):
        binding = _each(over="p", key="{index+1}", fields={"port_power": path})
        assert _children(binding, '{"p": [1, 2]}') == {"port:1": {"port_power": 1.0}, "port:2": {"port_power": 2.0}}


def test_an_object_by_its_keys() -> None:
    binding = _each(over="ports", key="{key}", fields={"port_power": "w", "port_temp": "$.t"})
    assert _children(binding, '{"t": 20, "ports": {"a": {"w": 1}, "b": {"w": 2}}}') == {
        "port:a": {"port_power": 1.0, "port_temp": 20.0},
        "port:b": {"port_power": 2.0, "port_temp": 20.0},
    }


def test_parallel_arrays() -> None:
    binding = _each(zip=["d.s", "w"], key="{index+1}", fields={"port_state": "d.s", "port_power": "w"})
    assert _children(binding, '{"d": {"s": ["idle", "busy"]}, "w": [0, 7]}') == {
        "port:1": {"port_state": "idle", "port_power": 0.0},
        "port:2": {"port_state": "busy", "port_power": 7.0},
    }
    assert error(binding, '{"d": {"s": ["idle"]}, "w": [0, 7]}').code == "wrong_type"


def test_a_single_child_named_by_the_payload_or_by_the_topic() -> None:
    assert _children(_each(key="{n+1}", fields={"port_power": "w"}), '{"n": 1, "w": 3}') == {
        "port:2": {"port_power": 3.0}
    }
    binding = {**_each(key="{n}", fields={"port_power": "$"}), "topic": "t/{address}/port/{n}"}
    assert _children(binding, "4", "t/d1/port/7") == {"port:7": {"port_power": 4.0}}


def test_a_number_where_others_send_an_array_is_an_array_of_one() -> None:
    binding = _each(over="p", key="{index+1}", fields={"port_power": "$"})
    assert _children(binding, '{"p": 5}') == {"port:1": {"port_power": 5.0}}
    assert error(binding, '{"p": "5"}').code == "wrong_type"


def test_the_device_speaks_first_and_only_when_it_has_something_to_say() -> None:
    binding = {**_each(over="ports", key="{index+1}", fields={"port_power": "$"}), "fields": {"power": "p"}}
    assert list(_children(binding, '{"p": 1, "ports": [2]}')) == ["", "port:1"]
    assert list(_children(binding, '{"ports": [2]}')) == ["port:1"]
    assert list(_children(binding, '{"ports": []}')) == [""]


def test_elements_of_the_same_child_become_one_reading() -> None:
    binding = _each(over="x", key="{n}", fields={"port_power": "w", "port_temp": "t"}, events=[{"event": "alarm"}])
    found = decoder(binding).decode("t/d1", b'{"x": [{"n": 1, "w": 2}, {"n": 1, "t": 3}]}', NOW)
    assert len(found) == 1
    assert found[0].values == {"port_power": 2.0, "port_temp": 3.0}
    assert found[0].events == (Event("alarm", {}), Event("alarm", {}))


def test_a_fan_out_without_end_is_refused() -> None:
    binding = _each(over="p", key="{index}", fields={"port_power": "$"})
    assert len(_children(binding, '{"p": [' + ",".join(["1"] * MOST_ELEMENTS) + "]}")) == MOST_ELEMENTS
    assert error(binding, '{"p": [' + ",".join(["1"] * (MOST_ELEMENTS + 1)) + "]}").code == "too_many"


def test_a_name_with_levels_has_dots_instead() -> None:
    binding = _each(over="p", key="{k}", fields={"port_power": "w"})
    found = _children(binding, '{"p": [{"k": "Pump/Outlet/Pressure", "w": 1}]}')
    assert found == {"port:Pump.Outlet.Pressure": {"port_power": 1.0}}


@pytest.mark.parametrize("key", ['"#"', '""', "null", "[]", "true", "1.5", '"' + "k" * 41 + '"', '"a\\u0000"'])
def test_a_key_that_could_escape_is_refused(key: str) -> None:
    binding = _each(over="p", key="{k}", fields={"port_power": "w"})
    assert error(binding, f'{{"p": [{{"k": {key}, "w": 1}}]}}').code in {"bad_address", "missing", "wrong_type"}


# --- events and presence ---------------------------------------------------------------------------------------------


def _door() -> dict[str, Any]:
    return {
        "id": "door",
        "topic": "t/{address}",
        "fields": {"state": {"path": "s", "map": {"1": "busy", "0": "idle"}}},
        "events": [
            {"event": "passed", "when": {"path": "type", "equals": "pass"}, "fields": {"who": "card", "n": "n"}},
            {"event": "alarm", "when": {"path": "code", "one_of": [3, 4]}},
        ],
    }


def test_events_fire_when_their_condition_holds() -> None:
    found = one(_door(), '{"type": "pass", "card": "p-7", "n": 3, "code": 4}')
    assert found.events == (Event("passed", {"who": "p-7", "n": 3}), Event("alarm", {}))
    assert one(_door(), '{"type": "other", "s": 1}').events == ()


def test_event_data_stays_small_and_plain() -> None:
    assert error(_door(), '{"type": "pass", "card": {"deep": 1}}').code == "wrong_type"
    assert error(_door(), '{"type": "pass", "card": "' + "x" * 2000 + '"}').code == "too_large"
    assert error(_door(), '{"type": "pass", "n": ' + "9" * 30 + "}").code == "too_large"


def test_event_data_that_is_scaled_is_a_number() -> None:
    scaled = {"event": "passed", "fields": {"pressure": {"path": "p", "scale": 0.01}, "raw": "p"}}
    found = one({**_door(), "events": [scaled]}, '{"p": "0028"}')
    assert found.events == (Event("passed", {"pressure": 0.28, "raw": "0028"}),)


def test_a_retained_message_sets_state_and_fires_nothing() -> None:
    made = decoder(_door())
    payload = b'{"type": "pass", "s": 1, "code": 3}'
    found = made.decode("t/d1", payload, NOW, True)[0]
    assert (found.values, found.events, found.retained) == ({"state": "busy"}, (), True)
    assert len(made.decode("t/d1", payload, NOW, False)[0].events) == 2


def _status(**more: Any) -> dict[str, Any]:
    words = {"online": "online", "offline": "offline", "stopped": "offline", "true": "online"}
    return {"id": "status", "topic": "t/{address}", "presence": words, **more}


@pytest.mark.parametrize(
    ("payload", "said"), [("online", Presence.ONLINE), ("stopped", Presence.OFFLINE), (" offline\n", Presence.OFFLINE)]
)
def test_presence_words(payload: str, said: Presence) -> None:
    assert one(_status(), payload).presence is said


def test_presence_in_a_payload() -> None:
    binding = _status(presence_path="state", decode=[{"json": True}])
    assert one(binding, '{"state": "offline"}').presence is Presence.OFFLINE
    assert one(binding, '{"state": true}').presence is Presence.ONLINE
    assert error(binding, '{"state": "maybe"}').code == "unknown_word"
    assert error(_status(), "maybe").code == "unknown_word"


def test_a_keepalive_is_a_sign_of_life_and_an_ignored_message_is_nothing() -> None:
    alive = one({"id": "link", "topic": "t/{address}", "keepalive": True}, b"\xff\x00")
    assert (alive.values, alive.events, alive.presence) == ({}, (), Presence.UNSAID)
    made = decoder({"id": "log", "topic": "t/{address}", "ignore": True}, flat(power="p"))
    assert made.decode("t/d1", b"\xff\x00", NOW) == []


def test_a_broken_frame_is_no_sign_of_life() -> None:
    fields = [{"name": "slave", "type": "u8"}, {"name": "function", "type": "u8"}]
    crc: dict[str, Any] = {"kind": "crc16_modbus"}
    link = {"id": "link", "topic": "t/{address}", "keepalive": True}
    framed = {**link, "decode": [{"struct": {"fields": fields, "tail": "ignore", "integrity": [crc]}}]}
    assert one(framed, bytes.fromhex("010741e2")).presence is Presence.UNSAID
    assert error(framed, bytes.fromhex("010741e3")).code == "integrity"
    crc["on_failure"] = "accept_flagged"
    assert one(framed, bytes.fromhex("010741e3")).quality is Quality.SUSPECT
    assert error({**link, "decode": [{"json": True}]}, "alive{").code == "malformed"
    assert one({**link, "decode": [{"text": True}]}, b"\xff\x00").presence is Presence.UNSAID, "any text will do"


def test_a_payload_of_more_than_a_mebibyte_is_refused_unread() -> None:
    with pytest.raises(DecodeError) as caught:
        decoder(flat(power="p")).decode("t/d1", b"1" * ((1 << 20) + 1), NOW)
    assert caught.value.code == "too_large"


def test_a_reading_can_be_journalled() -> None:
    import msgspec

    found = one(_door(), '{"type": "pass", "card": "p-7", "n": 3, "s": 0}')
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Reading) == found
