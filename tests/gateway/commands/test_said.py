"""A profile proves what it says to its devices, as it proves what it hears from them."""

from __future__ import annotations

from typing import Any

import pytest

from device_profiles.library import load_text
from device_profiles.mistakes import ProfileMistakes
from device_profiles.schema import DeviceProfile
from gateway.commands.samples import prove
from tests.gateway.decode.mini import named, profile

OPEN: dict[str, Any] = {
    "name": named("open"),
    "scope": "door",
    "topic": "gates/{address}/{key}/set",
    "params": {"seconds": {"default": 5, "min": 1, "max": 60}},
    "json": {"cmd": "open", "door": "{key-1}", "for": "{seconds}", "id": "{nonce}", "at": "{now_s}"},
}


def made(**said: Any) -> DeviceProfile:
    sample = {
        "name": "door 2 opens",
        "topic": "gates/g1/2/set",
        "text": '{"cmd":"open","door":1,"for":8,"id":77,"at":1900000000}',
        "said": {"command": "open", "address": "g1", "child": "door:2", "params": {"seconds": 8}, "nonce": 77},
    }
    sample.update({key: value for key, value in said.items() if key in sample and key != "said"})
    sample["said"] = {**sample["said"], **said.get("said", {})}  # type: ignore[dict-item]
    return profile(
        {"id": "b", "topic": "gates/{address}/state", "keepalive": True},
        children={"door": {"name": named("door"), "count": 2}},
        commands={"open": OPEN},
        samples=[sample],
    )


def test_a_command_that_becomes_its_message_is_proven() -> None:
    assert prove(made()) == []


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        ({"said": {"nonce": 78}}, '"id":78'),
        ({"topic": "gates/g1/1/set"}, "found the topic 'gates/g1/2/set', expected 'gates/g1/1/set'"),
        ({"said": {"child": ""}}, "found ''"),
    ],
    ids=["another number", "another topic", "no child"],
)
def test_one_that_becomes_another_is_not(said: dict[str, Any], failure: str) -> None:
    [found] = prove(made(**said))
    assert found.startswith("sample 'door 2 opens': ")
    assert failure in found


def test_mistakes_in_it_are_named() -> None:
    text = """
profile: gate_x
family: access_gate
name: {zh: 门, en: Gate}
children: {door: {name: {zh: 门, en: Door}, count: 2}}
availability: {period: 1m}
bindings: [{id: b, topic: "gates/{address}/state", keepalive: true}]
commands:
  open: {name: {zh: 开, en: Open}, scope: door, topic: "g/{address}", text: open}
samples:
  - {name: one, topic: g/a, text: open, said: {command: opne, address: a, child: "door:1"}}
  - {name: two, topic: g/a, text: open, said: {command: open, address: a}}
  - {name: three, topic: g/a, text: open, expect: [{address: a}], said: {command: open, address: a, child: "door:1"}}
"""
    with pytest.raises(ProfileMistakes) as caught:
        load_text(text)
    found = [str(mistake) for mistake in caught.value.mistakes]
    assert any(":11:" in one and "'opne'" in one and "did you mean open?" in one for one in found), found
    assert any(":12:" in one and 'a child such as "door:1"' in one for one in found), found
    assert any(":13:" in one and "it becomes no readings" in one for one in found), found
