"""Binary frames: numbers, text, counts, groups, optional tails, integrity."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from device_profiles.schema import StructLayout
from gateway.decode import DecodeError
from gateway.decode.frame_encode import encode_frame
from gateway.decode.frames import Suspect, frame_decoder
from gateway.reading import Quality
from tests.gateway.decode.mini import decoder, error, frame, one


def _read(fields: list[dict[str, Any]], raw: bytes, **layout: Any) -> Any:
    return frame_decoder(StructLayout.model_validate({"fields": fields, **layout}))(raw)


@pytest.mark.parametrize(
    ("type_", "code", "value"),
    [
        ("u8", "B", 200),
        ("i8", "b", -3),
        ("u16", "H", 65535),
        ("i16", "h", -300),
        ("u32", "I", 1 << 31),
        ("i32", "i", -5),
        ("u64", "Q", 1 << 63),
        ("i64", "q", -(1 << 62)),
        ("f16", "e", 1.5),
        ("f32", "f", 0.25),
        ("f64", "d", 0.1),
    ],
)
def test_numbers_of_both_byte_orders(type_: str, code: str, value: float) -> None:
    for endian, order in (("little", "<"), ("big", ">")):
        fields = [{"name": "a", "type": "u8"}, {"name": "v", "type": type_}]
        raw = struct.pack(f"{order}B{code}", 1, value)
        assert _read(fields, raw, endian=endian) == {"a": 1, "v": value}
        own = [{"name": "a", "type": "u8"}, {"name": "v", "type": type_, "endian": endian}]
        assert _read(own, raw, endian="big" if endian == "little" else "little") == {"a": 1, "v": value}


def test_hex_bcd_and_ascii() -> None:
    fields: list[dict[str, Any]] = [
        {"name": "id", "type": "hex", "size": 4, "endian": "little"},
        {"name": "wire", "type": "hex", "size": 2},
        {"name": "no", "type": "bcd", "size": 2},
        {"type": "skip", "size": 2},
        {"name": "who", "type": "ascii", "size": 5},
    ]
    raw = bytes.fromhex("cd28a204 0aff 2019 0000") + b"ab \0\0"
    assert _read(fields, raw) == {"id": "04A228CD", "wire": "0AFF", "no": "2019", "who": "ab"}
    with pytest.raises(DecodeError, match="decimal digits"):
        _read(fields, raw[:6] + b"\x2a\x19" + raw[8:])


def test_a_constant_must_stand_where_the_layout_says() -> None:
    fields: list[dict[str, Any]] = [
        {"name": "magic", "type": "ascii", "size": 3, "const": "DNY"},
        {"name": "cmd", "type": "u8", "const": 0x21},
        {"name": "end", "type": "hex", "size": 2, "const": "0d0a"},
    ]
    assert _read(fields, b"DNY\x21\r\n")["cmd"] == 0x21
    for raw in (b"DNX\x21\r\n", b"DNY\x22\r\n", b"DNY\x21\n\n"):
        with pytest.raises(DecodeError) as caught:
            _read(fields, raw)
        assert caught.value.code == "constant"


def test_arrays_and_groups_by_a_count() -> None:
    fields: list[dict[str, Any]] = [
        {"name": "n", "type": "u8"},
        {"name": "states", "type": "u8", "count": "n"},
        {"name": "powers", "type": "u16", "count": "n"},
        {"name": "ids", "type": "hex", "size": 2, "count": 2},
        {
            "name": "ports",
            "type": "group",
            "count": "n",
            "fields": [{"name": "k", "type": "u8"}, {"name": "v", "type": "u8", "count": "k"}],
        },
        {"name": "rest", "type": "u16", "count": "*"},
    ]
    raw = bytes([2, 7, 8, 1, 0, 2, 0, 0xAA, 0xBB, 0xCC, 0xDD, 1, 5, 2, 6, 7, 9, 0, 10, 0])
    assert _read(fields, raw) == {
        "n": 2,
        "states": [7, 8],
        "powers": [1, 2],
        "ids": ["AABB", "CCDD"],
        "ports": [{"k": 1, "v": [5]}, {"k": 2, "v": [6, 7]}],
        "rest": [9, 10],
    }
    for cut in range(1, 16):
        with pytest.raises(DecodeError):
            _read(fields, raw[:cut])


def test_a_count_without_end_is_refused() -> None:
    fields: list[dict[str, Any]] = [{"name": "n", "type": "u16"}, {"name": "a", "type": "u8", "count": "n"}]
    with pytest.raises(DecodeError) as caught:
        _read(fields, b"\xff\xff" + bytes(65535))
    assert caught.value.code == "too_many"
    empty: list[dict[str, Any]] = [
        {"name": "g", "type": "group", "count": "*", "fields": [{"name": "v", "type": "u8", "count": 0}]}
    ]
    with pytest.raises(DecodeError):
        _read(empty, b"xx")


def test_an_optional_tail_is_absent_together_with_all_that_follows() -> None:
    fields: list[dict[str, Any]] = [
        {"name": "a", "type": "u8"},
        {"name": "b", "type": "u8", "optional": True},
        {"name": "c", "type": "u16", "optional": True},
    ]
    assert _read(fields, b"\x01") == {"a": 1}
    assert _read(fields, b"\x01\x02") == {"a": 1, "b": 2}
    assert _read(fields, b"\x01\x02\x03\x00") == {"a": 1, "b": 2, "c": 3}
    with pytest.raises(DecodeError):
        _read(fields, b"\x01\x02\x03")
    with pytest.raises(DecodeError):
        _read(fields, b"\x01\x02\x03\x00\x09")
    assert _read(fields, b"\x01\x02\x03\x00\x09", tail="ignore")["c"] == 3


_CHECKED: dict[str, Any] = {
    "integrity": [{"kind": "length", "at": 1, "counts_from": 3}, {"kind": "sum16"}],
    "fields": [
        {"name": "cmd", "type": "u8"},
        {"name": "length", "type": "u16"},
        {"name": "v", "type": "u16"},
        {"name": "w", "type": "u8", "optional": True},
    ],
}


@pytest.mark.parametrize("given", [{"cmd": 7, "v": 500}, {"cmd": 255, "v": 65535, "w": 255}])
def test_length_and_sum_are_written_and_checked(given: dict[str, int]) -> None:
    layout = StructLayout.model_validate(_CHECKED)
    raw = encode_frame(layout, given)
    assert struct.unpack("<H", raw[-2:])[0] == sum(raw[:-2])
    assert frame_decoder(layout)(raw) == {**given, "length": len(raw) - 3}
    for i in range(len(raw)):
        broken = bytearray(raw)
        broken[i] ^= 0x10
        with pytest.raises(DecodeError) as caught:
            frame_decoder(layout)(bytes(broken))
        assert caught.value.code == "integrity"


def test_a_checksum_may_be_named_as_a_field() -> None:
    fields = [*_CHECKED["fields"][:3], {"name": "sum", "type": "u16"}]
    raw = encode_frame(StructLayout.model_validate(_CHECKED), {"cmd": 1, "v": 2})
    assert _read(fields, raw, integrity=_CHECKED["integrity"])["sum"] == sum(raw[:-2])


def test_a_failed_check_may_be_accepted_and_is_marked() -> None:
    layout = {**_CHECKED, "integrity": [{"kind": "sum16", "on_failure": "accept_flagged"}]}
    raw = encode_frame(StructLayout.model_validate(layout), {"cmd": 7, "v": 500})
    broken = raw[:-1] + b"\xee"
    assert isinstance(frame_decoder(StructLayout.model_validate(layout))(broken), Suspect)
    binding = frame(layout["fields"], into={"power": "v"}, integrity=layout["integrity"])
    assert one(binding, raw).quality is Quality.GOOD
    assert (one(binding, broken).quality, one(binding, broken).values) == (Quality.SUSPECT, {"power": 500.0})


def test_a_frame_through_a_binding() -> None:
    fields = [{"name": "t", "type": "u8"}, {"name": "v", "type": "f32"}]
    binding = frame(fields, into={"temp": {"path": "t", "sentinel": [0], "offset": -65}, "power": "v"})
    assert one(binding, struct.pack("<Bf", 85, 2.5)).values == {"temp": 20.0, "power": 2.5}
    assert one(binding, struct.pack("<Bf", 0, float("nan"))).values == {}
    failed = error(binding, b"\x01")
    assert (failed.code, failed.binding, failed.topic) == ("truncated", "frame", "t/d1")


@pytest.mark.parametrize(
    "field",
    [
        {"name": "x", "type": "u25"},
        {"name": "x", "type": "ascii"},
        {"name": "x", "type": "group"},
        {"type": "u8", "count": 2},
        {"name": "x", "type": "u8", "count": -1},
        {"name": "x", "type": "u8", "const": "ff"},
        {"name": "x", "type": "hex", "size": 2, "const": "ff"},
    ],
)
def test_a_layout_that_means_nothing_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        decoder(frame([field], into={"power": "x"}))
