"""Edges, lasting events, repeats and gaps: what is remembered, and what retained messages and history may do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.decode import DecodeError, Decoder
from gateway.decode.memory import Memory
from gateway.reading import Event, Reading, Registry
from tests.gateway.decode.mini import NOW, decoder, named, profile

EVENTS: dict[str, Any] = {
    "passed": {"name": named("passed")},
    "leak": {"name": named("leak"), "lasting": True},
    "motion": {"name": named("motion"), "lasting": True, "auto_clear": "10s"},
    "settled": {"name": named("settled"), "dedupe": "1h"},
    "port_hot": {"name": named("hot"), "lasting": True, "scope": "port"},
    "gap": {"name": named("gap")},
    "named": {"name": named("named"), "standing": True},
}
SECOND = 1000


def binding(*events: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "b", "topic": "t/{address}", "events": events, **more}


def made(*events: dict[str, Any], **more: Any) -> Decoder:
    return decoder(binding(*events, **more), events=EVENTS)


def say(to: Decoder, payload: Any, at: int = 0, *, retained: bool = False, device: str = "d") -> list[Reading]:
    return to.decode(f"t/{device}", json.dumps(payload).encode(), NOW + at, retained)


def fired(readings: list[Reading]) -> list[tuple[str, str, str]]:
    return [(event.id, event.phase, event.key) for reading in readings for event in reading.events]


class TestEdge:
    def test_the_first_value_is_no_edge_and_a_change_is(self) -> None:
        to = made({"event": "passed", "edge": {"path": "n"}})
        assert [bool(fired(say(to, {"n": n}))) for n in (1, 1, 2, 2, 1)] == [False, False, True, False, True]

    def test_from_and_to_say_which_change(self) -> None:
        to = made({"event": "passed", "edge": {"path": "door", "from": ["shut"], "to": ["open"]}})
        words = ("open", "shut", "open", "ajar", "open", "shut")
        assert [bool(fired(say(to, {"door": word}))) for word in words] == [False, False, True, False, False, False]

    def test_what_is_not_said_is_no_change(self) -> None:
        to = made({"event": "passed", "edge": {"path": "n"}}, fields={"power": "p"})
        said: tuple[dict[str, Any], ...] = ({"n": 1, "p": 1}, {"p": 2}, {"n": None, "p": 1}, {"n": 1, "p": 1})
        assert [fired(say(to, one)) for one in said] == [[], [], [], []]

    def test_devices_and_children_are_told_apart(self) -> None:
        each = {
            "child": "port",
            "over": "ports",
            "key": "{index+1}",
            "events": [{"event": "passed", "edge": {"path": "n"}}],
        }
        to = made(each=[each])
        say(to, {"ports": [{"n": 1}, {"n": 1}]})
        say(to, {"ports": [{"n": 5}, {"n": 5}]}, device="other")
        readings = say(to, {"ports": [{"n": 1}, {"n": 2}]})
        assert [(r.child, len(r.events)) for r in readings] == [("port:1", 0), ("port:2", 1)]

    def test_it_survives_a_restart(self) -> None:
        to = made({"event": "passed", "edge": {"path": "n"}})
        say(to, {"n": 1})
        stored = to.memory.changes()
        again = Decoder(
            [profile(binding({"event": "passed", "edge": {"path": "n"}}), events=EVENTS)],
            Registry("2", []),
            memory=Memory(stored.items()),
        )
        assert fired(say(again, {"n": 2})) == [("passed", "", "")]

    def test_a_retained_value_is_remembered_and_fires_nothing(self) -> None:
        to = made({"event": "passed", "edge": {"path": "n"}})
        say(to, {"n": 1})
        assert fired(say(to, {"n": 2}, retained=True)) == []
        assert fired(say(to, {"n": 2})) == []
        assert fired(say(to, {"n": 3})) == [("passed", "", "")]

    def test_history_neither_fires_nor_is_remembered(self) -> None:
        to = made({"event": "passed", "edge": {"path": "n"}}, history={"path": "old", "equals": True})
        say(to, {"n": 1})
        assert fired(say(to, {"n": 9, "old": True})) == []
        assert fired(say(to, {"n": 1})) == []

    def test_an_object_is_no_value(self) -> None:
        to = made({"event": "passed", "edge": {"path": "n"}})
        with pytest.raises(DecodeError, match="wrong_type"):
            say(to, {"n": {"x": 1}})


ON = {"event": "leak", "when": {"path": "leak", "equals": 1}, "phase": "begin"}
OFF = {"event": "leak", "when": {"path": "leak", "equals": 0}, "phase": "end"}


class TestLasting:
    def test_it_begins_lasts_and_ends_once(self) -> None:
        to = made(ON, OFF)
        said = [say(to, {"leak": word}) for word in (0, 1, 1, 0, 0, 1)]
        assert [fired(one) for one in said] == [
            [],
            [("leak", "begin", "")],
            [],
            [("leak", "end", "")],
            [],
            [("leak", "begin", "")],
        ]
        assert [one[0].values["leak"] for one in said] == [False, True, True, False, False, True]

    def test_it_lasts_until_the_last_of_several_ends(self) -> None:
        words = {"new": "begin", "update": "update", "end": "end"}
        to = made({"event": "leak", "key": "{id}", "phase_path": "type", "phases": words, "fields": {"score": "s"}})
        said = [
            say(to, {"type": word, "id": key, "s": n})
            for n, (word, key) in enumerate([("new", "a"), ("new", "b"), ("update", "a"), ("end", "a"), ("end", "b")])
        ]
        assert [fired(one)[0][1:] for one in said] == [
            ("begin", "a"),
            ("begin", "b"),
            ("update", "a"),
            ("end", "a"),
            ("end", "b"),
        ]
        assert [one[0].values["leak"] for one in said] == [True, True, True, True, False]
        assert said[2][0].events[0].data == {"score": 2}

    def test_an_update_of_what_began_before_our_time_is_its_begin(self) -> None:
        to = made({"event": "leak", "key": "{id}", "phase_path": "t", "phases": {"u": "update"}})
        assert fired(say(to, {"t": "u", "id": 7})) == [("leak", "begin", "7")]
        assert fired(say(to, {"t": "u", "id": 7})) == [("leak", "update", "7")]

    @pytest.mark.parametrize(("word", "code"), [("paused", "unknown_word"), (None, "missing")])
    def test_a_word_that_is_not_listed_is_an_error(self, word: Any, code: str) -> None:
        to = made({"event": "leak", "phase_path": "t", "phases": {"u": "update"}})
        with pytest.raises(DecodeError) as caught:
            say(to, {"t": word})
        assert caught.value.code == code

    def test_a_retained_message_sets_that_it_lasts_and_fires_nothing(self) -> None:
        to = made(ON, OFF)
        (reading,) = say(to, {"leak": 1}, retained=True)
        assert (reading.values, reading.events) == ({"leak": True}, ())
        assert fired(say(to, {"leak": 1})) == []
        assert fired(say(to, {"leak": 0})) == [("leak", "end", "")]

    def test_history_tells_and_changes_nothing(self) -> None:
        to = made(ON, OFF, history={"path": "old", "equals": True})
        (past,) = say(to, {"leak": 1, "old": True})
        assert (past.values, past.events) == ({}, (Event("leak", {}, "begin"),))
        assert say(to, {"leak": 0})[0].events == ()

    def test_it_stands_in_the_reading_of_the_child(self) -> None:
        each = {
            "child": "port",
            "over": "ports",
            "key": "{index+1}",
            "events": [
                {"event": "port_hot", "when": {"path": "hot", "equals": True}, "phase": "begin"},
                {"event": "port_hot", "when": {"path": "hot", "equals": False}, "phase": "end"},
            ],
        }
        readings = say(made(each=[each]), {"ports": [{"hot": True}, {"hot": False}]})
        assert [(r.child, r.values) for r in readings] == [
            ("port:1", {"port_hot": True}),
            ("port:2", {"port_hot": False}),
        ]

    def test_how_many_may_last_at_once_is_bounded_and_none_is_forgotten_silently(self) -> None:
        to = made({"event": "leak", "key": "{id}", "phase": "begin"})
        ended = [key for n in range(70) for _, phase, key in fired(say(to, {"id": n})) if phase == "end"]
        assert ended == [str(n) for n in range(6)]

    def test_a_key_that_never_ends_is_refused(self) -> None:
        to = made({"event": "leak", "key": "{id}", "phase": "begin"})
        with pytest.raises(DecodeError, match="too_large"):
            say(to, {"id": "x" * 101})

    def test_a_phase_needs_a_lasting_event(self) -> None:
        with pytest.raises(ValueError, match=r"expected lasting: true on the event passed"):
            made({"event": "passed", "phase": "begin"})

    @given(st.lists(st.tuples(st.sampled_from(["begin", "update", "end"]), st.sampled_from("abc")), max_size=30))
    def test_begins_and_ends_alternate_whatever_the_device_says(self, said: list[tuple[str, str]]) -> None:
        words = {word: word for word in ("begin", "update", "end")}
        to = made({"event": "leak", "key": "{id}", "phase_path": "t", "phases": words})
        is_open: set[str] = set()
        for word, key in said:
            (reading,) = say(to, {"t": word, "id": key})
            for event in reading.events:
                assert (event.phase == "begin") == (event.key not in is_open)
                (is_open.discard if event.phase == "end" else is_open.add)(event.key)
            assert reading.values["leak"] is bool(is_open)


class TestAutoClear:
    MOTION = ({"event": "motion", "when": {"path": "motion", "equals": 1}},)

    def test_it_ends_when_it_is_not_repeated(self) -> None:
        to = made(*self.MOTION, time={"path": "ts"})
        assert fired(say(to, {"motion": 1, "ts": NOW - 2000})) == [("motion", "begin", "")]
        assert fired(say(to, {"motion": 1, "ts": NOW + 3000}, at=5 * SECOND)) == []
        assert to.tick(NOW + 14_999) == []
        (ended,) = to.tick(NOW + 15_000)
        assert (ended.device, ended.child, ended.values) == ("mini:d", "", {"motion": False})
        assert ended.events == (Event("motion", {}, "end"),)
        assert ended.measured_at == NOW + 13_000, "as long after it was last said as the profile waits"
        assert to.tick(NOW + 60_000) == []
        assert fired(say(to, {"motion": 1, "ts": NOW + 61_000}, at=61 * SECOND)) == [("motion", "begin", "")]

    def test_it_ends_after_a_restart_too(self) -> None:
        to = made(*self.MOTION)
        say(to, {"motion": 1})
        again = Decoder(
            [profile(binding(*self.MOTION), events=EVENTS)],
            Registry("2", []),
            memory=Memory(to.memory.changes().items()),
        )
        assert [r.values for r in again.tick(NOW + 10 * SECOND)] == [{"motion": False}]
        assert again.memory.changes()["lasting", "mini:d", "", "motion"] is None

    def test_each_key_ends_for_itself(self) -> None:
        to = made({"event": "motion", "key": "{id}"})
        say(to, {"id": "a"})
        say(to, {"id": "b"}, at=6 * SECOND)
        assert [(r.values, fired([r])) for r in to.tick(NOW + 10 * SECOND)] == [
            ({"motion": True}, [("motion", "end", "a")])
        ]
        assert [(r.values, fired([r])) for r in to.tick(NOW + 16 * SECOND)] == [
            ({"motion": False}, [("motion", "end", "b")])
        ]

    def test_what_was_not_committed_ends_again(self) -> None:
        to = made(*self.MOTION)
        say(to, {"motion": 1})
        to.memory.commit()
        assert len(to.tick(NOW + 20 * SECOND)) == 1
        to.memory.rollback()
        assert len(to.tick(NOW + 20 * SECOND)) == 1

    def test_its_end_overwrites_no_message(self) -> None:
        to = made(*self.MOTION, fields={"power": "p"})
        say(to, {"motion": 1, "p": 1})
        (quiet,) = say(to, {"motion": 0, "p": 2}, at=10 * SECOND)
        (ended,) = to.tick(NOW + 10 * SECOND)
        assert (ended.measured_at, ended.binding) != (quiet.measured_at, quiet.binding)
        assert ended.received_at > quiet.received_at


class TestRepeats:
    def test_the_same_one_within_the_window_is_the_same(self) -> None:
        to = made({"event": "settled", "key": "{order}"})
        orders = [(1, 0), (1, 60), (2, 70), (1, 3599), (1, 3600), (2, 3601)]
        seen = [bool(fired(say(to, {"order": order}, at=at * SECOND))) for order, at in orders]
        assert seen == [True, False, True, False, True, False]

    def test_a_repeat_is_still_a_sign_of_life(self) -> None:
        to = made({"event": "settled", "key": "{order}"})
        say(to, {"order": 1})
        assert [r.values for r in say(to, {"order": 1}, at=1000)] == [{}]

    def test_what_is_remembered_is_bounded(self) -> None:
        to = made({"event": "settled", "key": "{order}"})
        for n in range(500):
            say(to, {"order": n}, at=n)
        assert len(to.memory.get(("dedupe", "mini:d", "", "settled"))) <= 64


class TestGaps:
    def gaps(self, numbers: list[Any], **more: Any) -> list[dict[str, Any]]:
        to = made(sequence={"path": "seq", "event": "gap"}, fields={"power": "p"}, **more)
        return [dict(event.data) for n in numbers for r in say(to, {"seq": n, "p": 1}) for event in r.events]

    def test_a_gap_says_what_was_expected_found_and_missed(self) -> None:
        assert self.gaps([254, 255, 0, 1, 4, 5]) == [{"expected": 2, "found": 4, "missed": 2}]
        assert self.gaps([250, 2]) == [{"expected": 251, "found": 2, "missed": 7}]

    def test_the_same_number_again_is_no_gap(self) -> None:
        assert self.gaps([7, 7, 8, 8]) == []

    def test_a_message_without_a_number_changes_nothing(self) -> None:
        assert self.gaps([7, None, 8]) == []

    def test_a_birth_begins_anew(self) -> None:
        sequence = {"path": "seq", "event": "gap"}
        to = decoder(
            {"id": "birth", "topic": "birth/{address}", "says": "online", "sequence": sequence},
            {"id": "data", "topic": "t/{address}", "fields": {"power": "p"}, "sequence": sequence},
            events=EVENTS,
        )
        say(to, {"seq": 57, "p": 1})
        assert fired(to.decode("birth/d", b'{"seq": 0}', NOW)) == []
        assert fired(say(to, {"seq": 1, "p": 1})) == []
        assert fired(say(to, {"seq": 3, "p": 1})) == [("gap", "", "")]

    def test_a_number_beyond_the_modulo_is_refused(self) -> None:
        with pytest.raises(DecodeError, match="below 256"):
            self.gaps([256])


def test_a_message_that_fails_leaves_nothing_of_what_it_changed() -> None:
    to = made({"event": "passed", "edge": {"path": "n"}}, fields={"power": "p"})
    each = {"child": "port", "over": "ports", "key": "{n}", "events": [{"event": "passed", "edge": {"path": "n"}}]}
    to = made({"event": "passed", "edge": {"path": "n"}}, each=[each])
    say(to, {"n": 1, "ports": [{"n": 1}]})
    to.memory.commit()
    with pytest.raises(DecodeError):
        say(to, {"n": 2, "ports": [{"n": "a+b"}]})
    assert to.memory.changes() == {}
    assert [r.child for r in say(to, {"n": 2, "ports": [{"n": 1}]}) if r.events] == [""]


class TestStanding:
    """A device's own name holds until it is said anew, and is mostly said retained."""

    def test_a_retained_announcement_fires_once_and_again_when_it_changes(self) -> None:
        to = made({"event": "named", "fields": {"name": "n"}})
        assert [event.data for r in say(to, {"n": "Pump"}, retained=True) for event in r.events] == [{"name": "Pump"}]
        assert fired(say(to, {"n": "Pump"}, 60, retained=True)) == []
        assert fired(say(to, {"n": "Pump"}, 120)) == []
        assert [event.data for r in say(to, {"n": "Old pump"}, 180) for event in r.events] == [{"name": "Old pump"}]

    def test_each_device_for_itself(self) -> None:
        to = made({"event": "named", "fields": {"name": "n"}})
        assert fired(say(to, {"n": "Pump"})) == fired(say(to, {"n": "Pump"}, device="e")) != []
