"""Sparkplug B: births, aliases, deaths, sequence; values of every datatype; whatever else may come."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_profiles.schema import Sparkplug
from gateway.decode import LARGEST_PAYLOAD, DecodeError, sparkplug_births
from gateway.decode.context import NOTHING, Context
from gateway.decode.frames import Suspect
from gateway.decode.memory import Memory
from gateway.decode.sparkplug import LONGEST_NAMES, MOST_METRICS, sparkplug_decoder
from tests.gateway.decode.bounds import MOST_BYTES, QUICK_SECONDS, least_seconds, most_bytes
from tests.gateway.decode.protobuf import double, field, float_, metric, payload

_NAMES = frozenset({"group", "type", "node", "device"})
_NOW = 1_763_741_000_000

# After eclipse/tahu sparkplug_b.proto; built from the format, no literal sample is published.
_NBIRTH = (
    "0880d095ffbc3112120a0562645365711880d095ffbc312008580012250a1350756d702f4f75746c6574507265737375726510011880d095ff"
    "bc312009653d0ad73e121b0a0c50756d702f52756e6e696e6710021880d095ffbc31200b70011800"
)


class Line:
    """A broker's view of one group: says messages, and remembers as the gateway does."""

    def __init__(self, spec: Sparkplug | None = None, captures: frozenset[str] = _NAMES) -> None:
        self.memory = Memory()
        self._decode = sparkplug_decoder(spec or Sparkplug(), captures)

    def says(self, topic: str, raw: bytes, at: int = _NOW) -> Any:
        _, group, type_, node, *device = topic.split("/")
        told = {"group": group, "type": type_, "node": node, "device": device[0] if device else ""}
        return self._decode(raw, Context(told, self.memory, at))

    def restarted(self) -> Line:
        """The same gateway after a restart: its memory went through the journal."""
        other = Line()
        raw = msgspec.msgpack.encode(list(self.memory.changes().items()))
        other.memory = Memory((tuple(key), value) for key, value in msgspec.msgpack.decode(raw))
        return other


def _birth(line: Line, *, session: int = 0, at: int = _NOW) -> Any:
    raw = payload(
        metric("bdSeq", type_="UInt64", long=session),
        metric("Pressure", 1, "Float", float=0.5),
        metric("Level", 2, "Int16", int_=7),
        metric("Running", 3, "Boolean", boolean=True),
        seq=0,
        timestamp=1000 + session,
    )
    return line.says("spBv1.0/yard/NBIRTH/p1", raw, at)


def test_a_birth_of_the_wild_and_data_by_its_aliases() -> None:
    line = Line()
    born = line.says("spBv1.0/yard/NBIRTH/pumphouse1", bytes.fromhex(_NBIRTH))
    assert born["timestamp"] == 1700000000000
    assert born["seq"] == 0
    assert born["values"] == {"bdSeq": 0, "Pump/OutletPressure": pytest.approx(0.42), "Pump/Running": True}
    assert born["metrics"][1] == {
        "name": "Pump/OutletPressure",
        "alias": 1,
        "timestamp": 1700000000000,
        "datatype": 9,
        "is_null": False,
        "is_historical": False,
        "value": pytest.approx(0.42),
    }
    data = payload(metric(alias=1, float=0.25), metric(alias=2, boolean=False), seq=1, timestamp=1700000001000)
    for after in (line, line.restarted()):
        found = after.says("spBv1.0/yard/NDATA/pumphouse1", data)
        assert found["values"] == {"Pump/OutletPressure": 0.25, "Pump/Running": False}
        assert found["metrics"][0]["timestamp"] == 1700000001000
        assert "gap" not in found


@pytest.mark.parametrize(
    ("type_", "given_", "value"),
    [
        ("Int8", {"int_": 0xFFFFFFFB}, -5),
        ("Int8", {"int_": 0xFB}, -5),
        ("Int16", {"int_": 0xFFFFFED4}, -300),
        ("Int32", {"int_": 0xFFFFFFFE}, -2),
        ("Int32", {"long": 0xFFFFFFFFFFFFFFFE}, -2),
        ("Int64", {"long": (1 << 64) - 3}, -3),
        ("UInt8", {"int_": 200}, 200),
        ("UInt32", {"int_": 0xFFFFFFFE}, 0xFFFFFFFE),
        ("UInt64", {"long": (1 << 64) - 1}, (1 << 64) - 1),
        ("Float", {"float": 1.5}, 1.5),
        ("Float", {"float": float("nan")}, None),
        ("Double", {"double": float("inf")}, None),
        ("Double", {"double": -0.125}, -0.125),
        ("Boolean", {"boolean": False}, False),
        ("String", {"text": "水泵"}, "水泵"),
        ("Text", {"text": ""}, ""),
        ("UUID", {"text": "1b4e28ba-2fa1-11d2-883f-0016d3cca427"}, "1b4e28ba-2fa1-11d2-883f-0016d3cca427"),
        ("DateTime", {"long": 1700000000000}, 1700000000000),
        ("Bytes", {"bytes_": b"\x0a\xff"}, "0AFF"),
        ("Int16", {"null": True}, None),
        ("Int16", {"null": True, "int_": 7}, None),
        ("Int16", {}, None),
        ("Int8Array", {"bytes_": b"\x01\xff"}, [1, -1]),
        ("Int16Array", {"bytes_": struct.pack("<2h", 7, -300)}, [7, -300]),
        ("DoubleArray", {"bytes_": struct.pack("<d", 0.5)}, [0.5]),
        ("BooleanArray", {"bytes_": b"\x0a\0\0\0\xa0\x40"}, [True, False, True, *[False] * 6, True]),
        ("StringArray", {"bytes_": b"a\0\xe6\xb0\xb4\0"}, ["a", "水"]),
    ],
)
def test_values_of_every_datatype(type_: str, given_: dict[str, Any], value: Any) -> None:
    """By the datatype in the message, and by the one that the birth declared."""
    line = Line()
    born = payload(metric("a", 1, type_, **given_), metric("b", None, type_, **given_), seq=0)
    assert line.says("spBv1.0/g/NBIRTH/n", born)["values"] == {"a": value, "b": value}
    data = payload(metric(alias=1, **given_), metric("b", **given_), metric("a", **given_), seq=1)
    found = line.says("spBv1.0/g/NDATA/n", data)
    assert found["values"] == {"a": value, "b": value}
    assert [type(m["value"]) for m in found["metrics"]] == [type(value)] * 3


def test_data_sets_templates_and_properties() -> None:
    data_set = field(1, 2) + field(2, "port") + field(2, "fault") + field(3, 1) + field(3, 12)
    data_set += field(4, field(1, field(1, 0xFFFFFFFF)) + field(1, field(6, "short")))
    inner = field(2, metric("deep", type_="Int8", int_=0xFF))
    template = field(2, metric("rpm", type_="Int32", int_=1450)) + field(
        2, metric("t", type_="Template", template=inner)
    )
    quality = field(1, "Quality") + field(2, field(1, 3) + field(3, 500)) + field(1, "u") + field(2, field(8, "bar"))
    raw = payload(
        metric("faults", type_="DataSet", dataset=data_set),
        metric("motor", type_="Template", template=template),
        metric("p", type_="Float", float=1.0, properties=quality),
    )
    found = Line().says("spBv1.0/g/NDATA/n", raw)
    assert found["values"]["faults"] == [{"port": -1, "fault": "short"}]
    assert found["values"]["motor"] == {"rpm": 1450, "t": {"deep": -1}}
    assert found["metrics"][2]["properties"] == {"Quality": 500, "u": "bar"}


# --- births ----------------------------------------------------------------------------------------------------------


def test_an_alias_that_no_birth_has_named() -> None:
    line = Line()
    data = payload(metric(alias=1, float=0.25), seq=1)
    with pytest.raises(DecodeError) as caught:
        line.says("spBv1.0/yard/NDATA/p1", data)
    assert caught.value.code == "unknown_alias"
    assert "Rebirth" in caught.value.expected
    _birth(line)
    assert line.says("spBv1.0/yard/NDATA/p1", data)["values"] == {"Pressure": 0.25}
    part = line.says("spBv1.0/yard/NDATA/p1", payload(metric(alias=1, float=1.0), metric(alias=99, int_=1), seq=2))
    assert isinstance(part, Suspect)
    assert part.value["values"] == {"Pressure": 1.0}
    assert [m["alias"] for m in part.value["metrics"]] == [1, 99]
    with pytest.raises(DecodeError, match="unknown_alias"):
        line.says("spBv1.0/yard/NDATA/p2", data)
    named = line.says("spBv1.0/yard/NDATA/p2", payload(metric("x", 7, "Int8", int_=1), seq=3))
    assert named["values"] == {"x": 1}


def test_an_alias_that_one_birth_gives_to_two_says_neither() -> None:
    """The last one would win otherwise, and temperatures would be stored as pressures."""
    line = Line()
    names = (metric("Temperature", 1, "Float", float=20.5), metric("Pressure", 1, "Float", float=1.5))
    line.says("spBv1.0/g/NBIRTH/n", payload(*names, metric("Level", 2, "Int16", int_=7), seq=0, timestamp=1000))
    with pytest.raises(DecodeError, match="or one for two"):
        line.says("spBv1.0/g/NDATA/n", payload(metric("", 1, "Float", float=3.0), seq=1))
    found = line.says("spBv1.0/g/NDATA/n", payload(metric("", 2, "Int16", int_=8), seq=2))
    assert found["values"] == {"Level": 8}
    by_name = line.says("spBv1.0/g/NDATA/n", payload(metric("Pressure", 0, "Float", float=1.6), seq=3))
    assert by_name["values"]["Pressure"] == pytest.approx(1.6)


def test_devices_have_aliases_of_their_own_until_their_node_is_born_anew() -> None:
    line = Line()
    _birth(line)
    born = payload(metric("Level", 1, "Int8", int_=1), seq=1)
    data = payload(metric(alias=1, int_=0xFE), seq=2)
    for device in ("d1", "d2"):
        line.says(f"spBv1.0/yard/DBIRTH/p1/{device}", born)
    assert line.says("spBv1.0/yard/DDATA/p1/d1", data)["values"] == {"Level": -2}
    assert line.says("spBv1.0/yard/NDATA/p1", payload(metric(alias=1, float=2.0), seq=3))["values"] == {"Pressure": 2.0}
    _birth(line)  # delivered once more: the same birth
    assert line.says("spBv1.0/yard/DDATA/p1/d2", data)["values"] == {"Level": -2}
    _birth(line, session=1)
    with pytest.raises(DecodeError, match="unknown_alias"):
        line.says("spBv1.0/yard/DDATA/p1/d1", data)
    line.says("spBv1.0/yard/DBIRTH/p1/d1", born)
    assert line.says("spBv1.0/yard/DDATA/p1/d1", data)["values"] == {"Level": -2}


def test_a_death_counts_for_its_own_session_only() -> None:
    line = Line()
    old, new = (payload(metric("bdSeq", type_="UInt64", long=session)) for session in (0, 1))
    assert line.says("spBv1.0/yard/NDEATH/p1", old)["values"] == {"bdSeq": 0}
    _birth(line, session=1)
    assert line.says("spBv1.0/yard/NDEATH/p1", old) is NOTHING
    assert line.restarted().says("spBv1.0/yard/NDEATH/p1", old) is NOTHING
    assert line.says("spBv1.0/yard/NDEATH/p1", new)["values"] == {"bdSeq": 1}
    assert line.says("spBv1.0/yard/NDEATH/p1", payload())["values"] == {}


def test_gaps_in_the_sequence_of_a_node_and_its_devices() -> None:
    line = Line()
    _birth(line)

    def gap(topic: str, seq: int, at: int = _NOW) -> int:
        found: dict[str, Any] = line.says(topic, payload(metric("x", type_="Int8", int_=1), seq=seq), at)
        return int(found.get("gap", 0))

    assert gap("spBv1.0/yard/DBIRTH/p1/d1", 1) == 0
    assert gap("spBv1.0/yard/NDATA/p1", 2) == 0
    assert gap("spBv1.0/yard/NDATA/p1", 2) == 0  # delivered once more
    assert gap("spBv1.0/yard/DDATA/p1/d1", 5) == 2
    assert gap("spBv1.0/yard/NDATA/p2", 77) == 0  # the first that is heard of it
    assert gap("spBv1.0/yard/NDATA/p1", 255) == 249
    assert gap("spBv1.0/yard/NDATA/p1", 0) == 0
    assert gap("spBv1.0/yard/NDATA/p1", 200, _NOW - 1) == 0  # set aside long ago, replayed
    assert gap("spBv1.0/yard/NDATA/p1", 1) == 0
    assert gap("spBv1.0/yard/NCMD/p1", 9) == 0
    _birth(line, session=1)
    assert gap("spBv1.0/yard/NDATA/p1", 1) == 0


def test_an_old_birth_that_is_replayed_does_not_rename_anything() -> None:
    line = Line()
    _birth(line)
    line.says("spBv1.0/yard/NBIRTH/p1", payload(metric("Other", 1, "Float", float=1.0), seq=0), _NOW - 1000)
    assert line.says("spBv1.0/yard/NDATA/p1", payload(metric(alias=1, float=2.0)))["values"] == {"Pressure": 2.0}


def test_history_does_not_stand_for_the_present() -> None:
    now, past = metric("x", type_="Float", float=2.0), metric("x", type_="Float", float=1.0, historical=True, at=5)
    mixed = Line().says("spBv1.0/g/NDATA/n", payload(now, past))
    assert mixed["values"] == {"x": 2.0}
    assert [m["is_historical"] for m in mixed["metrics"]] == [False, True]
    assert "historical" not in mixed
    old = Line().says("spBv1.0/g/NDATA/n", payload(past))
    assert (old["historical"], old["values"], old["metrics"][0]["timestamp"]) == (True, {"x": 1.0}, 5)


# --- topics ----------------------------------------------------------------------------------------------------------


def test_the_names_of_node_device_and_type_come_from_templates() -> None:
    spec = Sparkplug(node="{site}-{n}", device="{address}", type="DDATA")
    decode = sparkplug_decoder(spec, frozenset({"site", "n", "address"}))
    memory = Memory()
    told = {"site": "s", "n": "1", "address": "d"}
    decode(payload(metric("x", type_="Int8", int_=1), seq=4), Context(told, memory, _NOW))
    assert memory.get(("sparkplug_seq", "s-1")) == [4, _NOW]
    for broken in (Sparkplug(type="{kind}"), Sparkplug(node="{group+1}"), Sparkplug(device="{x}")):
        with pytest.raises(ValueError, match="captures of the topic"):
            sparkplug_decoder(broken, _NAMES)
    with pytest.raises(ValueError, match="captures of the topic"):
        sparkplug_decoder(Sparkplug(), frozenset({"address"}))
    with pytest.raises(DecodeError, match="unknown_word"):
        Line().says("spBv1.0/g/NTALK/n", b"")


def test_the_state_of_a_host() -> None:
    line = Line()
    assert line.says("spBv1.0/g/STATE/host", b'{"online":true,"timestamp":5}') == {"online": True, "timestamp": 5}
    assert line.says("spBv1.0/g/STATE/host", b"OFFLINE") == {"online": False}
    with pytest.raises(DecodeError, match="malformed"):
        line.says("spBv1.0/g/STATE/host", b"\x80")


# --- whatever else ---------------------------------------------------------------------------------------------------

_HOSTILE = [
    b"\x12\x00" * (LARGEST_PAYLOAD // 2),
    b"\x12\x02\x4a\x00" * (LARGEST_PAYLOAD // 4),
    payload(*[metric("x", type_="Int16Array", bytes_=bytes(4096))] * 250),
    payload(*[metric("x", type_="StringArray", bytes_=bytes(60_000))] * 16),
    payload(*[metric("x", type_="DataSet", dataset=b"\x22\x00" * 32_000)] * 16),
    payload(*[metric("x", type_="Template", template=b"\x12\x00" * 32_000)] * 16),
    payload(*[metric("x", type_="Int8", int_=1, properties=b"\x12\x00" * 32_000)] * 16),
    payload(metric("x" * 1_000_000, type_="Int8", int_=1)),
    payload(metric("x", type_="BooleanArray", bytes_=b"\xff\xff\xff\x7f" + bytes(1000))),
    payload(*[metric("name" * 100 + str(i), i, "Int8", int_=1) for i in range(2000)]),
    b"\x08" + b"\x80" * (LARGEST_PAYLOAD - 1),
    b"\x0b" * LARGEST_PAYLOAD,
    b"\x08\x01" * (LARGEST_PAYLOAD // 2),
]


@pytest.mark.parametrize("raw", _HOSTILE, ids=range(len(_HOSTILE)))
def test_hostile_payloads_are_refused_in_little_time_and_room(raw: bytes) -> None:
    def attempt() -> None:
        with pytest.raises(DecodeError):
            Line().says("spBv1.0/g/NBIRTH/n", raw[:LARGEST_PAYLOAD])

    assert most_bytes(attempt) < MOST_BYTES
    assert least_seconds(attempt) < QUICK_SECONDS


def test_a_large_birth_is_taken_and_what_is_remembered_is_bounded() -> None:
    line = Line()
    born = payload(*[metric(f"Line {i}/Metric", i, "Int32", int_=i) for i in range(MOST_METRICS)], seq=0)
    assert len(line.says("spBv1.0/g/NBIRTH/n", born)["values"]) == MOST_METRICS
    assert len(msgspec.msgpack.encode(list(line.memory.changes().values()))) < LONGEST_NAMES


@pytest.mark.parametrize(
    "raw",
    [
        field(2, field(1, b"\xff\xfe")),
        field(2, metric("x") + field(15, b"\xff\xfe")),
        field(2, metric("x") + field(17, field(2, b"\xff"))),
        field(2, metric("x", properties=field(1, b"\xff") + field(2, b""))),
        b"\x12\x7f",
        b"text",
    ],
)
def test_what_is_no_payload(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        Line().says("spBv1.0/g/NDATA/n", raw)
    nothing: Any = "text"
    with pytest.raises(DecodeError, match="bytes of a Sparkplug B payload"):
        Line().says("spBv1.0/g/NDATA/n", nothing)


_METRICS = st.builds(
    lambda name, alias, type_, body: field(1, name) + field(2, alias) + field(4, type_) + body,
    st.one_of(st.none(), st.text(max_size=4), st.binary(max_size=4)),
    st.one_of(st.none(), st.integers(0, 3)),
    st.one_of(st.none(), st.integers(0, 40)),
    st.one_of(
        st.binary(max_size=12),
        st.builds(field, st.integers(5, 18), st.one_of(st.integers(0, 1 << 64), st.binary(max_size=20))),
        st.floats(width=32).map(lambda value: float_(12, value)),
        st.floats().map(lambda value: double(13, value)),
    ),
)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["NBIRTH/n", "DBIRTH/n/d", "NDATA/n", "DDATA/n/d", "NDEATH/n", "DDEATH/n/d", "STATE/h"]),
            st.one_of(
                st.binary(max_size=60),
                st.builds(
                    lambda metrics, seq: payload(*metrics, seq=seq),
                    st.lists(_METRICS, max_size=4),
                    st.one_of(st.none(), st.integers(0, 300)),
                ),
            ),
        ),
        max_size=6,
    )
)
def test_any_conversation(messages: list[tuple[str, bytes]]) -> None:
    line = Line()
    for topic, raw in messages:
        try:
            line.says(f"spBv1.0/g/{topic}", raw)
        except DecodeError as error:
            assert error.code != "internal"
    msgspec.msgpack.encode(list(line.memory.changes().items()))


def _made_up(line: Line, node: int, metrics: int = 1000, at: int = _NOW) -> None:
    raw = payload(*[metric(f"{node:06}/{n:06}" + "x" * 200, n, "Float", float=0) for n in range(metrics)], seq=0)
    line.says(f"spBv1.0/yard/NBIRTH/{node}", raw, at)


def test_nodes_that_are_made_up_do_not_fill_the_memory() -> None:
    line = Line()
    for node in range(200):
        _made_up(line, node, at=_NOW + node)
    held = line.memory.of_kind(sparkplug_births.KIND)
    total = sum(sparkplug_births.size_of(born) for _, born in held)
    assert total <= sparkplug_births.MOST_BYTES
    assert len(held) > 50
    assert {key[1] for key, _ in held} == {f"yard/{node}" for node in range(200 - len(held), 200)}, "the newest stay"
    assert line.memory.get(("sparkplug_size",)) == [total, len(held)]


def test_births_are_counted_anew_where_the_memory_has_changed_otherwise() -> None:
    line = Line()
    for node in range(3):
        _made_up(line, node, 10)
    each = sparkplug_births.size_of(line.memory.get(("sparkplug", "yard/1")))
    line.memory.drop(("sparkplug", "yard/1"))
    old = dict(line.memory.get(("sparkplug", "yard/2")))
    del old["size"]  # remembered by an earlier version
    line.memory.put(("sparkplug", "yard/2"), old)
    _made_up(line, 3, 10)
    assert line.memory.get(("sparkplug_size",)) == [3 * each, 3]
    _made_up(line, 3, 10)
    assert line.memory.get(("sparkplug_size",)) == [3 * each, 3], "born again it takes no more"
