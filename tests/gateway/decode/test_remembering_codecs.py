"""Codecs that remember, in a whole decoder: over restarts, beside other bindings, and when a message says nothing."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.decode import DecodeError, Decoder
from gateway.decode.integrity import crc16_modbus
from gateway.decode.memory import Memory
from gateway.reading import DeviceEntry, Reading, Registry
from tests.gateway.decode.mini import NOW, flat, profile
from tests.gateway.decode.protobuf import metric, payload

POLL = {"id": "p", "slave": 1, "start": 0, "count": 1, "registers": [{"name": "t", "at": 0, "type": "i16"}]}
OTHER = {"id": "q", "slave": 1, "start": 8, "count": 1, "registers": [{"name": "w", "at": 8}]}


def line(**more: Any) -> dict[str, Any]:
    modbus = {"polls": [POLL, OTHER]}
    return {
        "id": "line",
        "topic": "line/{address}",
        "decode": [{"modbus": modbus}],
        "fields": {"temp": "t", "power": "w"},
        **more,
    }


def frame(body: str) -> bytes:
    raw = bytes.fromhex(body)
    return raw + crc16_modbus(raw).to_bytes(2, "little")


ASK_TEMP, ASK_POWER = frame("010300000001"), frame("010300080001")
ANSWER_7, ANSWER_9 = frame("0103020007"), frame("0103020009")


def say(to: Decoder, payload: bytes, at: int = 0, topic: str = "line/d") -> list[Reading]:
    return to.decode(topic, payload, NOW + at)


def test_a_request_says_nothing_and_its_answer_is_understood_after_a_restart() -> None:
    first = Decoder([profile(line())], Registry("1", []))
    assert say(first, ASK_POWER) == []
    stored = first.memory.changes()
    second = Decoder([profile(line())], Registry("1", []), memory=Memory(stored.items()))
    assert [r.values for r in say(second, ANSWER_9, 100)] == [{"power": 9}]


def test_what_one_of_several_bindings_remembers_is_not_lost_to_the_others() -> None:
    text = {
        "id": "text",
        "topic": "line/{address}",
        "when": [{"text": "hello"}],
        "decode": [{"text": True}],
        "keepalive": True,
    }
    to = Decoder([profile(text, line()), profile(flat(power="p"), id="more")], Registry("1", []))
    say(to, ASK_TEMP)
    assert [r.binding for r in say(to, b"hello", 50)] == ["text"]
    assert [r.values for r in say(to, ANSWER_7, 100)] == [{"temp": 7}]
    with pytest.raises(DecodeError):
        say(to, b"nonsense", 150)


def test_two_profiles_on_one_line_both_hear_the_request() -> None:
    """The registered one takes the answer, and what the other made of it is taken back."""
    theirs, ours = profile(line(), id="theirs"), profile(line(), id="ours")
    entry = DeviceEntry("probe", "ours", "d", "yard")
    to = Decoder([theirs, ours], Registry("1", [entry]))
    assert say(to, ASK_TEMP) == []
    to.memory.commit()
    assert [(r.device, r.values) for r in say(to, ANSWER_7, 100)] == [("probe", {"temp": 7})]


def test_who_speaks_in_the_payload_on_a_line_of_two_profiles() -> None:
    """Both decode it to know who speaks; only what the chosen one learnt stays."""
    bus = line(topic="bus", address="{slave}")
    entry = DeviceEntry("probe", "ours", "1", "yard")
    to = Decoder([profile(bus, id="theirs"), profile(bus, id="ours")], Registry("1", [entry]))
    assert say(to, ASK_TEMP, topic="bus") == []
    assert [(r.device, r.values) for r in say(to, ANSWER_7, 100, "bus")] == [("probe", {"temp": 7})]


def test_a_device_of_the_payload_is_found_behind_a_codec_that_remembers() -> None:
    to = Decoder([profile(line(topic="bus", address="{slave}"))], Registry("1", []))
    assert say(to, ASK_TEMP, topic="bus") == []
    assert [(r.device, r.values) for r in say(to, ANSWER_7, 100, "bus")] == [("mini:1", {"temp": 7})]


def test_what_a_stranger_s_profile_learnt_is_not_seen_by_the_next_one() -> None:
    """Both decode it to know who speaks: the sequence that the first one has counted on is told to the second anew."""

    def node(**more: Any) -> dict[str, Any]:
        step = {"sparkplug_b": {"node": "{group}", "type": "NDATA"}}
        return flat(power="values.power", temp="gap") | {
            "topic": "sp/{group}",
            "address": "n-{seq}",
            "decode": [step],
            **more,
        }

    theirs, ours = profile(node(), id="theirs"), profile(node(when=[{"path": "gap"}]), id="ours")
    to = Decoder([theirs, ours], Registry("1", [DeviceEntry("probe", "ours", "n-9", "yard")]))

    def data(seq: int) -> bytes:
        return payload(metric("power", type_="Double", double=seq), seq=seq)

    assert [(r.device, r.values) for r in say(to, data(6), topic="sp/a")] == [("theirs:n-6", {"power": 6})]
    assert [(r.device, r.values) for r in say(to, data(9), topic="sp/a")] == [("probe", {"power": 9, "temp": 2})]
    assert [(r.device, r.values) for r in say(to, data(10), topic="sp/a")] == [("theirs:n-10", {"power": 10})]
    assert to.memory.get(("sparkplug_seq", "a"))[0] == 10
