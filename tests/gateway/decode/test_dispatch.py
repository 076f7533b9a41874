"""Many bindings on one topic: the table spares questions, and never a binding that would have said yes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_profiles.library import SHIPPED, load_text
from device_profiles.schema import When
from gateway.decode import DecodeError
from gateway.decode.conditions import Condition
from gateway.decode.dispatch import byte_table
from tests.gateway.decode.mini import NOW, decoder

_DIGITS = st.text(alphabet="0146aF?", min_size=1, max_size=8)
_WHENS = st.recursive(
    st.builds(
        lambda given_: When.model_validate({key: value for key, value in given_.items() if value is not None}),
        st.fixed_dictionaries(
            {},
            optional={
                "prefix": _DIGITS,
                "text": st.sampled_from(["", "on", "link"]),
                "length": st.integers(0, 5),
                "min_length": st.integers(0, 5),
                "regex": st.sampled_from(["o.*", ".*"]),
            },
        ),
    )
    | st.builds(lambda at, byte: When(at=at, byte=byte), st.integers(-3, 4), st.sampled_from([0, 0x14, 0x6F, 0xA1])),
    lambda inner: st.builds(lambda parts: When(all_of=tuple(parts)), st.lists(inner, max_size=3)),
    max_leaves=4,
)
_PAYLOADS = st.one_of(
    st.binary(max_size=6),
    st.lists(st.sampled_from([0, 0x14, 0x6F, 0xA1, 0xAF]), max_size=5).map(bytes),
    st.sampled_from([b"on", b"link", b""]),
)


@settings(max_examples=600, deadline=None)
@given(st.lists(st.lists(_WHENS, max_size=2).map(tuple), max_size=5), st.lists(_PAYLOADS, max_size=6))
def test_whoever_would_take_a_payload_is_still_asked(bindings: list[tuple[When, ...]], payloads: list[bytes]) -> None:
    table = byte_table(bindings)
    if table is None:
        return
    for payload in payloads:
        asked = table.by_byte[payload[table.offset]] if len(payload) > table.offset else table.shorter
        for i, whens in enumerate(bindings):
            tests = [Condition(when).raw for when in whens]
            takes = not tests or any(test is None or test(payload) for test in tests)
            assert i in asked or not takes


def test_the_shipped_charger_is_told_apart_by_its_command() -> None:
    charger = load_text((SHIPPED / "ebike_charger" / "ap3000.yaml").read_text(encoding="utf-8"))
    frames = [binding for binding in charger.bindings if binding.topic.endswith("/up")]
    table = byte_table([binding.when for binding in frames])
    assert table is not None
    assert table.offset == 11
    for command, name in ((0x21, "heartbeat"), (0x06, "port_power"), (0x01, "old_heartbeat")):
        assert name in [frames[i].id for i in table.by_byte[command]]
        assert len(table.by_byte[command]) <= 2
    assert [frames[i].id for i in table.shorter] == ["link"]


def test_nothing_is_gained_where_no_byte_tells() -> None:
    assert byte_table([]) is None
    assert byte_table([(When(prefix="01"),)]) is None
    assert byte_table([(), ()]) is None
    assert byte_table([(When(min_length=1),), (When(path="a"),)]) is None
    assert byte_table([(When(prefix="01"),), (When(prefix="0102"),)]) is None
    assert byte_table([(When(prefix="01"),), (When(prefix="02"),)]) is not None


def _binding(id: str, value: str, *whens: dict[str, Any]) -> dict[str, Any]:
    fields = {"state": {"const": value}}
    return {"id": id, "topic": "t/{address}", "decode": [{"hex": True}], "when": list(whens), "fields": fields}


def test_the_first_binding_that_takes_a_message_still_wins() -> None:
    made = decoder(
        _binding("a", "idle", {"prefix": "3031"}, {"text": "off"}),
        _binding("b", "busy", {"prefix": "30"}),
        _binding("c", "broken", {"min_length": 4}),
    )
    for payload, binding in ((b"0102", "a"), (b"0a02", "b"), (b"aa02", "c"), (b"0a", "b")):
        assert [reading.binding for reading in made.decode("t/d1", payload, NOW)] == [binding]
    with pytest.raises(DecodeError) as caught:
        made.decode("t/d1", b"aa", NOW)
    assert (caught.value.code, caught.value.binding) == ("no_match", "a,b,c")
