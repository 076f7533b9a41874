"""Drafts of what makers nobody has heard of send: messages of public descriptions and bug reports."""

from __future__ import annotations

import json
from typing import Any

from gateway.decode.samples import check_samples
from services.authoring.capture import Message
from services.authoring.draft import Draft, Wanted, draft

START = 1_795_316_400_000


def _draft(*said: tuple[str, Any], every: int = 60_000) -> Draft:
    messages = [
        Message(START + i * every, topic, json.dumps(payload).encode()) for i, (topic, payload) in enumerate(said)
    ]
    drafted = draft(messages, Wanted())
    assert check_samples(drafted.profile) == []
    return drafted


def _inverter(device: str, **values: int) -> tuple[str, Any]:
    """Grott, as in its issue #65: https://github.com/johanmeijer/grott/issues/65"""
    said = {"pvstatus": 1, "pvpowerin": 642, "pv1voltage": 1751, "pv2voltage": 1707, "pvfrequentie": 4998}
    more = {"pvenergytotal": 4660, "pvtemperature": 325, **values}
    return (
        "energy/growatt",
        {"device": device, "time": "2026-11-22T03:00:01", "buffered": "no", "values": said | more},
    )


def test_devices_that_share_one_topic_are_told_apart_by_what_they_say() -> None:
    drafted = _draft(_inverter("TEG2A5004P"), _inverter("XTD6A120F5"), _inverter("TEG2A5004P", pvpowerin=700))
    (binding,) = drafted.profile.bindings
    assert (binding.topic, binding.address) == ("energy/growatt", "{device}")
    assert {one.expect[0]["address"] for one in drafted.profile.samples} <= {"TEG2A5004P", "XTD6A120F5"}
    assert "device" not in drafted.profile.states, "a serial number is no word of a state"


def test_words_within_longer_words_and_names_that_tell_apart() -> None:
    metrics = _draft(_inverter("TEG2A5004P"), _inverter("XTD6A120F5")).profile.metrics
    assert (metrics["pvpowerin"].uom, metrics["pvfrequentie"].uom) == ("W", "Hz")
    assert (metrics["pvenergytotal"].uom, metrics["pvenergytotal"].kind) == ("kWh", "counter")
    assert metrics["pv1voltage"].name.zh != metrics["pv2voltage"].name.zh
    assert len({(one.name.zh, one.scope) for one in metrics.values()}) == len(metrics)


def _terminal(device: str, topic: str, operator: str, **info: Any) -> tuple[str, Any]:
    """A terminal of the real-name attendance interface: http://km.jsske.com/x/jAAaAQ"""
    said = {"deviceCode": device, "time": "2026-11-22 11:00:00", **info}
    return f"mqtt/device/face/{device}/{topic}", {"operator": operator, "messageId": "m1", "info": said}


def test_the_level_that_the_payload_names_is_the_device_and_what_stands_below_is_not() -> None:
    drafted = _draft(
        _terminal("KS1001", "basic", "Online", ip="192.168.1.20"),
        _terminal("KS1001", "heartbeat", "HeartBeat"),
        _terminal("KS1002", "heartbeat", "HeartBeat"),
        _terminal("KS1001", "Rec", "RecPush", similarity1="87.125", pic="data:image/jpeg;base64,/9j/4AAQ"),
        _terminal("KS1002", "basic", "Offline"),
        _terminal("KS1001", "Ack", "OpenDoor-Ack", result="ok"),
    )
    topics = {binding.topic for binding in drafted.profile.bindings}
    assert topics == {f"mqtt/device/face/{{address}}/{one}" for one in ("basic", "heartbeat", "Rec", "Ack")}
    (basic,) = (one for one in drafted.profile.bindings if one.presence)
    assert (basic.presence, basic.presence_path) == ({"Online": "online", "Offline": "offline"}, "operator")
    assert "result" in drafted.profile.states, "the wrapper `info` names nothing"
    assert any("info.pic: may name a person" in one for one in drafted.sheet.left_out)


def _lock(lock: int, status: int) -> tuple[str, Any]:
    """A lock of bicycles, after a published description with -1 (tests itself) to 3 (broken)."""
    said = {"siteId": "1015", "lockId": lock, "status": status, "bikeCode": "12345678"}
    return f"device/lock/1015/{lock}/info", said


def test_what_is_asked_of_a_device_does_not_say_that_it_is_there() -> None:
    drafted = _draft(_lock(2, 1), _lock(3, 0), ("device/lock/1015/2/getInfo", {}), _lock(2, 3), _lock(2, -1))
    (binding,) = drafted.profile.bindings
    assert binding.topic == "device/lock/{address}/{part}/info"
    assert any("getInfo" in one for one in drafted.sheet.left_out)
    words = list(drafted.profile.states["status"].values)
    assert words == ["code_minus_1", "code_0", "code_1", "code_3", "other"]
    assert not drafted.profile.metrics, "the code of a bicycle is no quantity"


def test_an_empty_object_on_a_topic_of_heartbeats_says_that_it_is_there() -> None:
    drafted = _draft(("yard/locks/LK-0012/heartbeat", {}), ("yard/locks/LK-0012/heartbeat", {}))
    assert drafted.profile.bindings[0].keepalive


def _distance(text: str) -> tuple[str, Any]:
    """Dragino's LDDS75 through The Things Stack: its published decoder writes `1990 mm`, or `Invalid Reading`."""
    said = {"Bat": 3.249, "Distance": text, "TempC_DS18B20": "21.50"}
    return "v3/yard@ttn/devices/ld1/up", {"uplink_message": {"f_port": 2, "f_cnt": 5, "decoded_payload": said}}


def test_a_word_now_and_then_among_numbers_means_no_value() -> None:
    drafted = _draft(*(_distance(f"{1990 - i} mm") for i in range(5)), _distance("Invalid Reading"), every=1_200_000)
    assert drafted.profile.metrics["distance"].uom == "mm"
    values = [one.expect[0]["values"] for one in drafted.profile.samples]
    assert [one.get("distance") for one in values] == [1990, None]
    assert drafted.understood == 6


def test_numbers_of_parts_and_units_are_no_numbers_of_the_name() -> None:
    metrics = _draft(_distance("1990 mm"), ("v3/yard@ttn/devices/ld2/up", {"log_volume_m3": 5.938})).profile.metrics
    assert metrics["temp_c_ds18_b20"].name.en == "Temperature"
    assert metrics["log_volume_m3"].name.en == "Volume"
    assert not {"f_port", "f_cnt"} & set(metrics), "how the network counts is nobody's measurement"
