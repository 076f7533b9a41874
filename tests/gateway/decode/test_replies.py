"""Answers to commands, and what topics tell about how to reach a device."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.decode import DecodeError, Decoder
from gateway.reading import Reading, Reply
from tests.gateway.decode.mini import NOW, decoder, named

COMMANDS = {
    "cut": {"name": named("cut"), "scope": "port", "topic": "do/{area}/{address}", "json": {"id": "{nonce}"}},
    "restart": {"name": named("restart"), "topic": "do/{area}/{address}", "json": {"cmd": "restart"}},
}


def made(reply: dict[str, Any], **more: Any) -> Decoder:
    binding = {"id": "answer", "topic": "ack/{area}/{address}", "reply": reply, **more}
    return decoder(binding, commands=COMMANDS)


def answer(to: Decoder, payload: Any, **more: Any) -> list[Reading]:
    return to.decode("ack/north/d", json.dumps(payload).encode(), NOW, **more)


def test_who_is_answered_and_how() -> None:
    reply = {"command": "restart", "correlation": "{id}", "result": "code", "ok": [0], "reasons": {"1": named("busy")}}
    to = made(reply)
    assert [r.replies for r in answer(to, {"id": 77, "code": 0})] == [(Reply("restart", "77", True, "0"),)]
    assert [r.replies for r in answer(to, {"id": 78, "code": 1})] == [(Reply("restart", "78", False, "1"),)]
    assert [r.replies for r in answer(to, {"id": 79, "code": 5})] == [(Reply("restart", "79", False, "5"),)]


def test_every_answer_is_good_where_nothing_else_is_said() -> None:
    assert answer(made({"command": "restart"}), {})[0].replies == (Reply("restart"),)
    reply = {"command": "restart", "result": "status", "reasons": {"error": named("error")}}
    assert [answer(made(reply), {"status": word})[0].replies[0].ok for word in ("ok", "error")] == [True, False]


def test_the_child_that_answers_has_the_reply_and_its_values() -> None:
    each = {"child": "port", "key": "{port}", "fields": {"port_state": {"path": "s", "map": {"0": "idle"}}}}
    to = made({"command": "cut", "child": "{port}", "correlation": "{n}"}, each=[each], fields={"power": "p"})
    readings = answer(to, {"port": 2, "n": 5, "s": 0, "p": 0})
    assert [(r.child, r.values, r.replies) for r in readings] == [
        ("", {"power": 0}, ()),
        ("port:2", {"port_state": "idle"}, (Reply("cut", "5"),)),
    ]
    readings = answer(made({"command": "cut", "child": "{port}"}), {"port": 2})
    assert [(r.child, r.values, r.replies) for r in readings] == [("port:2", {}, (Reply("cut"),))]


def test_one_message_may_answer_several_commands() -> None:
    reply = {"command": "restart", "also": ["cut"], "correlation": "{id}"}
    assert answer(made(reply), {"id": 1})[0].replies == (Reply("restart", "1"), Reply("cut", "1"))


def test_a_retained_answer_is_past() -> None:
    assert [r.replies for r in answer(made({"command": "restart"}), {}, retained=True)] == [()]


@pytest.mark.parametrize("payload", [{"id": 1}, {"id": 1, "code": [0]}, {"code": 0}])
def test_an_answer_that_does_not_say_enough_is_an_error(payload: Any) -> None:
    with pytest.raises(DecodeError):
        answer(made({"command": "restart", "correlation": "{id}", "result": "code"}), payload)


@pytest.mark.parametrize(
    ("reply", "problem"),
    [({"command": "fly"}, "expected a command"), ({"command": "restart", "child": "{n}"}, "expected no child")],
)
def test_a_reply_to_what_is_no_command_is_refused(reply: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        made(reply)


def test_the_captures_that_commands_need_are_remembered() -> None:
    to = made({"command": "restart"})
    assert to.captures_of("mini:d") == {}
    answer(to, {})
    assert to.captures_of("mini:d") == {"area": "north"}
    to.memory.commit()
    answer(to, {})
    assert to.memory.changes() == {}, "nothing new, nothing to store"
    to.decode("ack/south/d", b"{}", NOW)
    assert to.captures_of("mini:d") == {"area": "south"}


def test_where_no_command_needs_them_nothing_is_remembered() -> None:
    to = decoder({"id": "b", "topic": "t/{area}/{address}", "fields": {"power": "p"}})
    to.decode("t/north/d", b'{"p": 1}', NOW)
    assert len(to.memory) == 0
