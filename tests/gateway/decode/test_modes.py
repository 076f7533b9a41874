"""Full reports and partial ones, mere events, empty payloads, messages that say what they are, who may speak."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from gateway.decode import DecodeError, Decoder
from gateway.reading import DeviceEntry, Presence, Quality, Reading, Registry
from tests.gateway.decode.mini import NOW, decoder, flat, profile


def say(made: Decoder, payload: Any, topic: str = "t/d", **more: Any) -> list[Reading]:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return made.decode(topic, raw, NOW, **more)


class TestFull:
    FULL: ClassVar[dict[str, Any]] = {
        **flat(power="p", temp="t", state={"path": "s", "when_missing": "skip"}),
        "mode": "full",
    }

    def test_what_a_full_report_does_not_say_is_gone(self) -> None:
        (reading,) = say(decoder(self.FULL), {"p": 1})
        assert reading.values == {"power": 1, "temp": None}, "the state's field says otherwise"

    def test_another_dialect_erases_nothing(self) -> None:
        with pytest.raises(DecodeError, match="nothing_known"):
            say(decoder(self.FULL), {"other": 1})

    def test_an_empty_payload_erases_all_of_it(self) -> None:
        assert say(decoder(self.FULL), b"")[0].values == {"power": None, "temp": None}

    def test_children_that_are_named_lose_what_is_not_said(self) -> None:
        each = {"child": "port", "over": "ports", "key": "{index+1}", "fields": {"port_temp": "t", "port_power": "w"}}
        made = decoder({**flat(), "mode": "full", "each": [each]})
        assert [r.values for r in say(made, {"ports": [{"t": 5}]})] == [{"port_temp": 5, "port_power": None}]

    def test_partial_leaves_it_as_it_was(self) -> None:
        assert say(decoder({**self.FULL, "mode": "partial"}), {"p": 1})[0].values == {"power": 1}


class TestEvent:
    BINDING: ClassVar[dict[str, Any]] = {
        "id": "b",
        "topic": "t/{address}",
        "mode": "event",
        "events": [{"event": "passed"}],
    }

    def test_a_retained_copy_of_what_happened_is_past(self) -> None:
        assert [e.id for e in say(decoder(self.BINDING), {})[0].events] == ["passed"]
        assert say(decoder(self.BINDING), {}, retained=True) == []

    def test_in_other_modes_a_retained_message_sets_values_and_fires_nothing(self) -> None:
        made = decoder({**self.BINDING, "mode": "partial", "fields": {"power": "p"}})
        (reading,) = say(made, {"p": 1}, retained=True)
        assert (reading.values, reading.events, reading.retained) == ({"power": 1}, (), True)


class TestEmpty:
    @pytest.mark.parametrize(
        ("empty", "expected"),
        [
            ("erase", [({"power": None, "temp": None}, Presence.UNSAID)]),
            ("ignore", []),
            ("offline", [({}, Presence.OFFLINE)]),
        ],
    )
    def test_it_means_what_the_profile_says(self, empty: str, expected: Any) -> None:
        made = decoder({**flat(power="p", temp="t"), "empty": empty})
        assert [(r.values, r.presence) for r in say(made, b"")] == expected
        assert say(made, {"p": 1})[0].values == {"power": 1}

    def test_it_can_be_refused(self) -> None:
        with pytest.raises(DecodeError, match="an empty payload"):
            say(decoder({**flat(power="p"), "empty": "reject"}), b"")

    def test_unsaid_it_is_what_the_codec_makes_of_it(self) -> None:
        with pytest.raises(DecodeError, match="malformed"):
            say(decoder(flat(power="p")), b"")

    def test_it_erases_the_child_that_the_topic_names(self) -> None:
        each = {"child": "port", "key": "{n}", "fields": {"port_temp": "t"}}
        made = decoder({"id": "b", "topic": "t/{address}/{n}", "empty": "erase", "each": [each]})
        assert [(r.child, r.values) for r in say(made, b"", "t/d/3")] == [("port:3", {"port_temp": None})]


class TestSays:
    def test_a_message_that_says_online_by_what_it_is(self) -> None:
        birth = {"id": "birth", "topic": "{address}/birth", "says": "online", "fields": {"power": "p"}}
        (reading,) = say(decoder(birth), {"p": 5}, "d/birth")
        assert (reading.presence, reading.values) == (Presence.ONLINE, {"power": 5})

    def test_a_death_certificate_need_not_be_decodable(self) -> None:
        death = {"id": "death", "topic": "{address}/death", "says": "offline"}
        (reading,) = say(decoder(death), b"\xff\x00", "d/death")
        assert (reading.presence, reading.values) == (Presence.OFFLINE, {})

    def test_of_a_child(self) -> None:
        each = {
            "child": "port",
            "over": "ports",
            "key": "{id}",
            "when": {"path": "used", "equals": True},
            "presence": {"up": "online", "down": "offline"},
            "presence_path": "link",
            "fields": {"port_temp": "t"},
        }
        ports = [
            {"id": 1, "used": True, "link": "up", "t": 1},
            {"id": 2, "used": False, "link": "down"},
            {"id": 3, "used": True, "link": "down"},
            {"id": 4, "used": True, "t": 4},
        ]
        found = [(r.child, r.presence.value) for r in say(decoder({**flat(), "each": [each]}), {"ports": ports})]
        assert found == [("port:1", "online"), ("port:3", "offline"), ("port:4", "")]

    def test_of_a_child_by_what_the_message_is(self) -> None:
        each = {"child": "port", "key": "{n}", "says": "offline"}
        made = decoder({"id": "b", "topic": "t/{address}/{n}/gone", "each": [each]})
        assert [(r.child, r.presence.value) for r in say(made, {}, "t/d/3/gone")] == [("port:3", "offline")]


class TestElements:
    def each(self, **more: Any) -> Decoder:
        each = {"child": "port", "over": "ports", "key": "{id}", "fields": {"port_temp": "t"}, **more}
        return decoder({**flat(), "each": [each]})

    def test_an_object_may_be_an_array_of_one_without_its_brackets(self) -> None:
        for ports in ({"id": 7, "t": 1}, [{"id": 7, "t": 1}]):
            readings = say(self.each(elements="one"), {"ports": ports})
            assert [(r.child, r.values) for r in readings] == [("port:7", {"port_temp": 1})]

    def test_or_one_child_per_key(self) -> None:
        made = self.each(elements="keys", key="{key}")
        assert [r.child for r in say(made, {"ports": {"a": {"t": 1}, "b": {"t": 2}}})] == ["port:a", "port:b"]
        with pytest.raises(DecodeError, match="expected an object"):
            say(made, {"ports": [{"t": 1}]})


def test_two_arrays_about_the_same_children_become_one_reading_each() -> None:
    each = [
        {"child": "port", "over": "temps", "key": "{index+1}", "fields": {"port_temp": "t"}},
        {"child": "port", "over": "powers", "key": "{index+1}", "fields": {"port_power": "w"}},
    ]
    readings = say(decoder({**flat(), "each": each}), {"temps": [{"t": 1}, {"t": 2}], "powers": [{"w": 3}]})
    assert [(r.child, r.values) for r in readings] == [
        ("port:1", {"port_temp": 1, "port_power": 3}),
        ("port:2", {"port_temp": 2}),
    ]


def test_history_is_said_by_the_binding_or_by_the_message() -> None:
    made = decoder({**flat(power="p"), "history": {"path": "old", "equals": True}})
    assert [say(made, {"p": 1, "old": old})[0].quality for old in (True, False)] == [Quality.HISTORIC, Quality.GOOD]
    assert say(decoder({**flat(power="p"), "history": True}), {"p": 1})[0].quality is Quality.HISTORIC


class TestWhoMaySpeak:
    OURS: ClassVar[dict[str, Any]] = {
        "id": "ours",
        "topic": "t/{address}",
        "fields": {"power": "p"},
        "registered_only": True,
    }
    ALL: ClassVar[dict[str, Any]] = {"id": "all", "topic": "t/{address}", "fields": {"temp": "p"}}
    ENTRY = DeviceEntry("meter", "mini", "d", "yard")

    def test_strangers_fall_to_the_next_binding(self) -> None:
        made = decoder(self.OURS, self.ALL, entries=(self.ENTRY,))
        assert [(r.device, r.binding) for r in say(made, {"p": 1})] == [("meter", "ours")]
        assert [r.binding for r in say(made, {"p": 1}, "t/other")] == ["all"]

    def test_with_none_left_the_error_says_what_to_do(self) -> None:
        with pytest.raises(DecodeError, match=r"not_registered .*found 'other', expected .*site file"):
            say(decoder(self.OURS, entries=(self.ENTRY,)), {"p": 1}, "t/other")

    def test_whom_the_payload_names_likewise(self) -> None:
        ours = {**self.OURS, "topic": "up", "address": "{id}"}
        made = decoder(ours, {**self.ALL, "topic": "up", "address": "{id}"}, entries=(self.ENTRY,))
        assert [r.binding for r in say(made, {"id": "d", "p": 1}, "up")] == ["ours"]
        assert [r.binding for r in say(made, {"id": "x", "p": 1}, "up")] == ["all"]

    def test_only_topics_that_are_wanted_are_heard(self) -> None:
        known = profile(self.ALL, id="known")
        hidden = profile({**self.ALL, "topic": "+/{address}/state"}, id="hidden", discovery=False)
        ours = profile({**self.OURS, "topic": "ours/{address}"}, id="ours")
        profiles = [hidden, known, ours]
        assert Decoder(profiles, Registry("1", [])).filters == ("t/+",)
        entries = [DeviceEntry("h", "hidden", "h", "yard"), DeviceEntry("o", "ours", "o", "yard")]
        assert Decoder(profiles, Registry("1", entries[:1])).filters == ("+/h/state", "t/+")
        assert Decoder(profiles, Registry("1", entries)).filters == ("+/h/state", "ours/o", "t/+")

    def test_of_registered_devices_only_the_wildcards_are_narrow_while_they_are_few(self) -> None:
        deep = profile({**self.OURS, "topic": "{address+}/tele/{what}"}, id="deep", discovery=False)
        inside = profile({**self.OURS, "topic": "x/dev-{address}"}, id="inside")
        named = profile({**self.OURS, "topic": "{box}/up", "address": "{id}"}, id="named")

        def heard(*entries: DeviceEntry) -> tuple[str, ...]:
            return Decoder([deep, inside, named], Registry("1", list(entries))).filters

        assert heard(DeviceEntry("a", "deep", "block 3/plug", "yard")) == ("block 3/plug/tele/+",)
        assert heard(DeviceEntry("a", "inside", "7", "yard")) == ("x/+",)
        assert heard(DeviceEntry("a", "named", "7", "yard")) == ("+/up",)
        assert heard(*(DeviceEntry(f"d{n}", "deep", f"d{n}", "yard") for n in range(21))) == ("#",)

    def test_a_profile_without_discovery_takes_no_stranger_from_one_with(self) -> None:
        hidden = profile({**self.ALL, "topic": "{kind}/{address}"}, id="hidden", discovery=False)
        (reading,) = Decoder([hidden, profile(self.ALL)], Registry("1", [])).decode("t/d", b'{"p": 1}', NOW)
        assert reading.profile == "mini"
