"""Commands as messages: byte by byte as their sources publish them, and back again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_profiles.library import SHIPPED, load
from device_profiles.schema import Command, DeviceProfile
from gateway.commands import CommandMistake, encode_command
from gateway.commands.recognise import filters_of, recognise
from gateway.decode.topics import parse_topic
from gateway.reading import DeviceEntry, Value
from tests.commands_kit import profile as plug_profile

LIBRARY = load(SHIPPED)
NOW = 1_763_741_000_000


def encoded(
    profile: DeviceProfile, command: str, address: str, child: str = "", nonce: int = 2, **params: Value
) -> tuple[str, bytes]:
    entry = DeviceEntry(id="d", profile=profile.id, address=address, site="yard")
    captures = {"module": "m1"} if "module" in str(profile.commands[command].topic) else {}
    return encode_command(profile, command, entry, child, params, id="c1", nonce=nonce, captures=captures, now=NOW)


def test_a_start_frame_is_the_published_one() -> None:
    """taoyao-code/iot-zinx, AP3000 protocol V8.6, 4.2: server starts port index 1 of station 04AB373B."""
    topic, payload = encoded(
        LIBRARY["ebike_charger_ap3000"],
        "start_charging",
        "04AB373B",
        "port:2",
        balance=356,
        seconds=0,
        order="12345678123456781234567812345678",
        longest_time=28800,
        overload_power=5000,
    )
    assert topic == "ap3000/m1/down"
    assert payload.hex() == ("444e5926003b37ab040200820064010000010100001234567812345678123456781234567880708813f808")


def test_a_write_of_one_coil_is_the_published_one() -> None:
    """FC6 write of register 1, slave 1, with its CRC: from a struct layout with a check."""
    command = {
        "name": {"zh": "开", "en": "On"},
        "topic": "dtu/{address}/down",
        "struct": {
            "layout": {
                "endian": "big",
                "integrity": [{"kind": "crc16_modbus"}],
                "fields": [
                    {"name": "slave", "type": "u8"},
                    {"name": "function", "type": "u8"},
                    {"name": "register", "type": "u16"},
                    {"name": "value", "type": "u16"},
                ],
            },
            "values": {"slave": 1, "function": 6, "register": "{key}", "value": "{value}"},
        },
        "scope": "port",
        "params": {"value": {"type": "integer", "default": 256}},
    }
    profile = plug_profile().model_copy(update={"commands": {"on": Command.model_validate(command)}})
    assert encoded(profile, "on", "x", "port:1")[1].hex() == "010600010100d99a"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"json": {"n": "{nonce}", "t": "{now_ms}", "deep": [{"id": "{id}", "k": "{key-1}"}], "say": "port {key}!"}},
         {"n": 7, "t": NOW, "deep": [{"id": "c1", "k": 1}], "say": "port 2!"}),
        ({"json": {"id": "{nonce_text}"}}, {"id": "7"}),
        ({"json": {"params": {"{word}": "{share}"}, "{key}": 1}}, {"params": {'a"b': 0.5}, "2": 1}),
        ({"json": {"on": "{on}", "share": "{share}", "whole": "{whole}", "word": "{word}"}},
         {"on": True, "share": 0.5, "whole": 3, "word": 'a"b'}),
    ],
)  # fmt: skip
def test_one_slot_alone_keeps_its_type(payload: dict[str, Any], expected: dict[str, Any]) -> None:
    profile = commanding(payload)
    said = encoded(profile, "do", "p1", "port:2", 7, on=True, share=0.5, whole=3, word='a"b')[1]
    assert json.loads(said) == expected


def commanding(payload: dict[str, Any], topic: str = "plugs/{address}/cmd") -> DeviceProfile:
    params = {
        "on": {"type": "boolean", "default": False},
        "share": {"default": 0},
        "whole": {"type": "integer", "default": 0},
        "word": {"type": "text", "default": ""},
    }
    command = {"name": {"zh": "做", "en": "Do"}, "scope": "port", "topic": topic, "params": params, **payload}
    return plug_profile().model_copy(update={"commands": {"do": Command.model_validate(command)}})


def test_a_key_that_a_person_names_is_heard_again() -> None:
    profile = commanding({"json": {"port": "{key}", "set": {"{word}": "{share}", "by": "us"}}})
    topic, payload = encoded(profile, "do", "p1", "port:2", word="level", share=0.5)
    heard = recognise(profile, topic, payload)
    assert heard is not None and (heard.params["word"], heard.params["share"]) == ("level", 0.5)
    assert recognise(profile, topic, b'{"port": "2", "set": {"by": "us"}}') is None
    assert recognise(profile, topic, b'{"port": "2", "set": {"by": "us", "level": 1, "more": 2}}') is None


def test_two_keys_do_not_become_one() -> None:
    with pytest.raises(CommandMistake, match="the same key twice"):
        encoded(commanding({"json": {"{word}": 1, "by": "us"}}), "do", "p1", "port:2", word="by")


def test_text_and_hex() -> None:
    assert encoded(commanding({"text": "AT+PORT={key},{on}"}), "do", "p1", "port:2", on=True)[1] == b"AT+PORT=2,true"
    assert encoded(commanding({"hex": "a0 {word} 0d"}), "do", "p1", "port:2", word="0102")[1].hex() == "a001020d"
    with pytest.raises(CommandMistake, match="hex digits"):
        encoded(commanding({"hex": "a0{word}"}), "do", "p1", "port:2", word="xyz")


@pytest.mark.parametrize("word", ["a/b", "+", "#", "a#", "", "\x00", "a\nb"])
def test_a_persons_word_cannot_lead_to_another_topic(word: str) -> None:
    with pytest.raises(CommandMistake, match="topic"):
        encoded(commanding({"text": "x"}, "plugs/{address}/{word}"), "do", "p1", "port:2", word=word)


def test_what_the_topic_needs_and_the_device_has_never_said_is_told() -> None:
    profile = LIBRARY["ebike_charger_ap3000"]
    entry = DeviceEntry(id="d", profile=profile.id, address="04AB373B", site="yard")
    with pytest.raises(CommandMistake, match=r"\{module\}.*a topic that the device has spoken on"):
        encode_command(profile, "stop_charging", entry, "port:1", {}, id="c", nonce=1, captures={}, now=NOW)


CASES = [(profile, name) for profile in (*LIBRARY.values(), plug_profile()) for name in profile.commands]


@pytest.mark.parametrize(("profile", "name"), CASES, ids=lambda one: getattr(one, "id", one))
def test_every_command_of_the_library_can_be_said_and_is_recognised(profile: DeviceProfile, name: str) -> None:
    command = profile.commands[name]
    child = "" if command.scope is None else f"{command.scope}:2"
    # Eight digits are an address of every kind: some are hex digits, some numbers.
    entry = DeviceEntry(id="d", profile=profile.id, address="41234567", site="yard")
    captures = {one: "7" for binding in profile.bindings for one in parse_topic(binding.topic).captures - {"address"}}
    params = {one: param.default for one, param in command.params.items()}
    topic, payload = encode_command(profile, name, entry, child, params, id="c1", nonce=513, captures=captures, now=NOW)
    heard = recognise(profile, topic, payload)
    assert heard is not None and heard.command == name
    if any("{key" in text for text in command.model_dump_json().split('"')):
        assert heard.child == child
    assert any(fits(one, topic) for one in filters_of(profile, entry.address))


def fits(filter_: str, topic: str) -> bool:
    parts, levels = filter_.split("/"), topic.split("/")
    return len(parts) == len(levels) and all(one in ("+", other) for one, other in zip(parts, levels, strict=True))


@settings(max_examples=200, deadline=None)
@given(topic=st.text(max_size=40), payload=st.binary(max_size=60), known=st.booleans())
def test_any_message_is_a_command_or_none(topic: str, payload: bytes, known: bool) -> None:
    for profile in (LIBRARY["ebike_charger_ap3000"], LIBRARY["access_gate_json"]):
        heard = recognise(profile, "ap3000/m1/down" if known else topic, payload)
        assert heard is None or heard.command in profile.commands
