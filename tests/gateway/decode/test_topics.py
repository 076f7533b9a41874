"""Binding topics: filters to subscribe to, captures, which binding and which device a message belongs to."""

from __future__ import annotations

import pytest

from gateway.decode import DecodeError, Decoder
from gateway.decode.topics import TopicTree, covers, fewest_filters, parse_topic
from gateway.reading import DeviceEntry, Registry
from tests.gateway.decode.bounds import least_seconds
from tests.gateway.decode.mini import NOW, decoder, flat, profile


@pytest.mark.parametrize(
    ("topic", "filter_"),
    [
        ("a/{address}/b", "a/+/b"),
        ("a/{address+}", "a/#"),
        ("a/{address+}/set", "a/#"),
        ("/lead/{address}", "/lead/+"),
        ("$SYS/{address}", "$SYS/+"),
        ("openevse-{address}/amp", "+/amp"),
        ("a/+/{address}", "a/+/+"),
        ("a/{address}/#", "a/+/#"),
        ("{address}/status/{kind}:{n}", "+/status/+"),
    ],
)
def test_filter_of_a_topic(topic: str, filter_: str) -> None:
    assert parse_topic(topic).filter == filter_


@pytest.mark.parametrize("topic", ["", "a/{x}{y}", "a/b+", "{a+}/{b+}", "a/{Bad}", "{x}/{x}", "a/#b", "x{many+}"])
def test_a_topic_that_means_nothing_is_refused(topic: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_topic(topic)


@pytest.mark.parametrize(
    ("pattern", "topic", "captures"),
    [
        ("a/{x}/b", "a/1/b", {"x": "1"}),
        ("a/{x}/b", "a/1/c", None),
        ("a/{x}", "a/1/2", None),
        ("a/{x+}", "a/1/2/3", {"x": "1/2/3"}),
        ("a/{x+}", "a", None),
        ("a/{x+}/set", "a/1/2/set", {"x": "1/2"}),
        ("a/{x+}/set", "a/1/2/get", None),
        ("{x+}/state", "a/b/state", {"x": "a/b"}),
        ("/{x}", "/1", {"x": "1"}),
        ("/{x}", "1", None),
        ("{x}/load", "$SYS/load", None),
        ("$SYS/{x}", "$SYS/load", {"x": "load"}),
        ("openevse-{x}/amp", "openevse-55ad/amp", {"x": "55ad"}),
        ("openevse-{x}/amp", "openevse-/amp", None),
        (
            "{x}/status/switch:{n}",
            "shelly1pmminig3-48f6ee8d12dc/status/switch:0",
            {"x": "shelly1pmminig3-48f6ee8d12dc", "n": "0"},
        ),
        ("{x}/status/switch:{n}", "shelly1/status/switch:", None),
        ("{x}/status/{kind}:{n}", "shelly1/status/em1data:2", {"x": "shelly1", "kind": "em1data", "n": "2"}),
        ("{x}/status/{kind}:{n}", "shelly1/status/sys", None),
        ("{x}/status/{kind}:{n}", "shelly1/status/:1", None),
        ("a/{x}-{y}_{z}!", "a/1-2-3_4_5!", {"x": "1", "y": "2-3", "z": "4_5"}),
        ("a/{x}-{y}", "a/--b", {"x": "-", "y": "b"}),
        ("a/x{n}x", "a/xx", None),
        ("$oc/devices/{x}/sys/properties/report", "$oc/devices/d_1/sys/properties/report", {"x": "d_1"}),
        ("+/devices/{x}", "$oc/devices/d_1", None),
        ("{p}:{x}/a", "$oc:1/a", None),
        ("$oc/{kind+}/report", "$oc/devices/d/sys/report", {"kind": "devices/d/sys"}),
        (
            "/sys/{pk}/{dn}/thing/event/{event}/post",
            "/sys/k1/d1/thing/event/HardwareError/post",
            {"pk": "k1", "dn": "d1", "event": "HardwareError"},
        ),
        (
            "axis/{x}/event/{what+}/$source/port/{n}",
            "axis/AC1/event/tns:onvif/Device/$source/port/1",
            {"x": "AC1", "what": "tns:onvif/Device", "n": "1"},
        ),
        ("a/+/{x}", "a/b/c", {"x": "c"}),
    ],
)
def test_captures(pattern: str, topic: str, captures: dict[str, str] | None) -> None:
    found = TopicTree([(parse_topic(pattern), 1)]).find(topic)
    assert [match.captures for match in found] == ([] if captures is None else [captures])


@pytest.mark.parametrize("pattern", ["/lead/{a}", "{a}/status/{kind}:{n}", "a/{a+}/x{n}", "v1/{a}-{b}/$source"])
def test_a_topic_filled_with_its_captures_is_found_again(pattern: str) -> None:
    parsed = parse_topic(pattern)
    captures = {name: f"v{name}" for name in parsed.captures}
    topic = parsed.fill(captures)
    assert [match.captures for match in TopicTree([(parsed, 1)]).find(topic)] == [captures]
    with pytest.raises(KeyError):
        parsed.fill({})


def test_every_pattern_of_a_topic_is_found_in_the_order_given() -> None:
    patterns = ["{x+}", "a/{x}", "a/b", "a/{x+}", "+/b"]
    found = TopicTree([(parse_topic(pattern), pattern) for pattern in patterns]).find("a/b")
    assert [match.item for match in found] == patterns


def test_filters_that_another_one_covers_are_not_subscribed_twice() -> None:
    topics = ["a/{x}/b", "a/{x+}", "a/1/b", "$SYS/{x}", "c/{x}"]
    assert fewest_filters(parse_topic(topic) for topic in topics) == ("$SYS/+", "a/#", "c/+")
    assert covers("#", "a/b")
    assert not covers("#", "$SYS/b")
    assert not covers("a/+", "a/#")


def test_finding_a_topic_does_not_depend_on_how_many_patterns_there_are() -> None:
    def best(n: int) -> float:
        tree = TopicTree([(parse_topic(f"maker{i}/{{address}}/state"), i) for i in range(n)])

        def find_many() -> None:
            for i in range(200):
                assert tree.find(f"maker{i % n}/d/state")

        return least_seconds(find_many, enough=0, runs=20)

    assert best(4000) < best(10) * 10  # a linear scan would take 400 times as long


# --- which device ----------------------------------------------------------------------------------------------------


def _entry(id: str, profile_id: str, address: str) -> DeviceEntry:
    return DeviceEntry(id, profile_id, address, "yard", "Asia/Shanghai")


def test_a_registered_device_has_its_own_id_and_a_stranger_one_of_its_profile_and_address() -> None:
    made = decoder(flat(power="p"), entries=(_entry("pump-1", "mini", "d1"),))
    assert made.decode("t/d1", b'{"p": 1}', NOW)[0].device == "pump-1"
    assert made.decode("t/d2", b'{"p": 1}', NOW)[0].device == "mini:d2"


def test_the_profile_that_a_device_is_registered_with_comes_before_others_on_the_same_topic() -> None:
    first, second = profile(flat(power="p"), id="first"), profile(flat(power="p"), id="second")
    made = Decoder([first, second], Registry("1", [_entry("mine", "second", "d2")]))
    assert made.decode("t/d2", b'{"p": 1}', NOW)[0].profile == "second"
    assert made.decode("t/d1", b'{"p": 1}', NOW)[0].profile == "first"


def test_the_same_holds_where_the_payload_names_the_device() -> None:
    def binding(path: str) -> dict[str, object]:
        return {"id": "b", "topic": "all", "address": f"{{{path}}}", "fields": {"power": "p"}}

    first, second = profile(binding("sn"), id="first"), profile(binding("id"), id="second")
    made = Decoder([first, second], Registry("1", [_entry("mine", "second", "x7")]))
    assert made.decode("all", b'{"id": "x7", "p": 1}', NOW)[0].device == "mine"
    assert made.decode("all", b'{"id": "x7", "sn": "s", "p": 1}', NOW)[0].device == "mine"
    assert made.decode("all", b'{"sn": "s", "p": 1}', NOW)[0].device == "first:s"


@pytest.mark.parametrize("address", ["+", "#", "a+b", "x#", "", "a\\u0000b", "a\\nb", "x" * 101, "a/b"])
def test_an_address_that_could_escape_is_refused(address: str) -> None:
    made = decoder({"id": "b", "topic": "all", "address": "{id}", "fields": {"power": "p"}})
    with pytest.raises(DecodeError) as caught:
        made.decode("all", f'{{"id": "{address}", "p": 1}}'.encode(), NOW)
    assert caught.value.code in {"bad_address", "missing"}


def test_a_capture_of_several_levels_names_a_device_without_slashes_in_its_id() -> None:
    made = decoder(
        {"id": "b", "topic": "z/{address+}", "fields": {"power": "p"}}, entries=(_entry("l", "mini", "x/y"),)
    )
    assert made.decode("z/x/y", b'{"p": 1}', NOW)[0].device == "l"
    assert made.decode("z/x/q", b'{"p": 1}', NOW)[0].device == "mini:x~1q"


def test_an_address_of_several_parts() -> None:
    made = decoder({"id": "b", "topic": "{plant}/{n}", "address": "{plant}-{n}-{sub.no+1}", "fields": {"power": "p"}})
    assert made.decode("yard/7", b'{"p": 1, "sub": {"no": 4}}', NOW)[0].device == "mini:yard-7-5"


def test_an_unknown_topic_is_an_error_and_never_dropped() -> None:
    with pytest.raises(DecodeError) as caught:
        decoder(flat(power="p")).decode("other/d1", b"{}", NOW)
    assert caught.value.code == "no_binding"
    assert caught.value.topic == "other/d1"


def test_a_topic_of_a_thousand_levels_does_no_harm() -> None:
    with pytest.raises(DecodeError):
        decoder({"id": "b", "topic": "{address+}/x", "fields": {"power": "p"}}).decode("a/" * 30000 + "x", b"{}", NOW)


# --- when ----------------------------------------------------------------------------------------------------------


def test_bindings_that_share_a_topic_are_told_apart_and_the_first_that_takes_it_wins() -> None:
    def binding(id: str, *when: dict[str, object], **more: object) -> dict[str, object]:
        return {"id": id, "topic": "t/{address}/{part}", "when": list(when), "keepalive": True, **more}

    made = decoder(
        binding("link", {"text": "link"}),
        binding("heartbeat", {"prefix": "444e59", "at": 11, "byte": 0x21}),
        binding("any_command", {"prefix": "444e59??????????????????"}),
        binding("long", {"min_length": 30}),
        binding("two", {"length": 2}, {"length": 4}),
        binding("typed", {"path": "type", "one_of": ["a", "b"]}),
        binding("flag", {"path": "on", "equals": True}),
        binding("has_path", {"path": "x.y"}),
        binding("by_part", {"capture": "part", "equals": "info"}),
    )

    def taken(payload: bytes, part: str = "p") -> str:
        return made.decode(f"t/d1/{part}", payload, NOW)[0].binding

    assert taken(b"link") == "link"
    assert taken(b"DNY" + bytes(8) + b"\x21") == "heartbeat"
    assert taken(b"DNY" + bytes(8) + b"\x22") == "any_command"
    assert taken(b" " * 30) == "long"
    assert taken(b"ab") == taken(b"abcd") == "two"
    assert taken(b'{"type": "b"}') == "typed"
    assert taken(b'{"on": true}') == "flag"
    assert taken(b'{"x": {"y": 0}}') == "has_path"
    assert taken(b'{"x": {"y": null}}', "info") == "by_part"
    for nothing in (b'{"on": 1}', b'{"type": 5}', b"{not json"):
        with pytest.raises(DecodeError):
            taken(nothing)


def test_malformed_json_is_called_so_even_where_only_when_looked_at_it() -> None:
    binding = {**flat(power="p"), "when": [{"path": "type", "equals": "a"}]}
    with pytest.raises(DecodeError) as caught:
        decoder(binding).decode("t/d1", b'{"type": "a"', NOW)
    assert caught.value.code == "malformed"
    with pytest.raises(DecodeError) as caught:
        decoder(binding).decode("t/d1", b'{"type": "b"}', NOW)
    assert caught.value.code == "no_match"


def test_a_profile_that_cannot_be_compiled_says_where() -> None:
    with pytest.raises(ValueError, match=r"mini: bindings\[0\] \(telemetry\): expected a metric or a state"):
        decoder(flat(nonsense="p"))
