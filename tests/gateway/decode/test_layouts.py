"""What a struct layout can say beyond plain fields: odd sizes, swapped words, said lengths, parts, cases, bounds."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_profiles.schema import StructLayout
from gateway.decode import LARGEST_PAYLOAD, DecodeError
from gateway.decode.frame_encode import encode_frame
from gateway.decode.frames import Suspect, frame_decoder
from tests.gateway.decode.bounds import MOST_BYTES, QUICK_SECONDS, least_seconds, most_bytes


def _layout(fields: list[dict[str, Any]], **layout: Any) -> StructLayout:
    return StructLayout.model_validate({"fields": fields, **layout})


def _read(fields: list[dict[str, Any]], raw: str | bytes, **layout: Any) -> Any:
    frame = bytes.fromhex(raw) if isinstance(raw, str) else raw
    return frame_decoder(_layout(fields, **layout))(frame)


def _write(fields: list[dict[str, Any]], given_: dict[str, Any], **layout: Any) -> str:
    return encode_frame(_layout(fields, **layout), given_).hex()


def _refused(fields: list[dict[str, Any]], raw: str | bytes, **layout: Any) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        _read(fields, raw, **layout)
    return caught.value


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "endian", "raw", "value"),
    [
        ("u24", "little", "563412", 0x123456),
        ("u24", "big", "123456", 0x123456),
        ("i24", "little", "feffff", -2),
        ("i24", "big", "fffffe", -2),
        ("u48", "big", "000102030405", 0x000102030405),
        ("u48", "little", "050403020100", 0x000102030405),
        ("u48", "word_swapped", "040502030001", 0x000102030405),
        ("u48", "byte_swapped", "010003020504", 0x000102030405),
        ("u32", "word_swapped", "56781234", 0x12345678),
        ("u32", "byte_swapped", "34127856", 0x12345678),
        ("i32", "word_swapped", "fffeffff", -2),
        ("f32", "big", "3fa00000", 1.25),
        ("f32", "word_swapped", "00003fa0", 1.25),
        ("f32", "byte_swapped", "a03f0000", 1.25),
        ("f64", "word_swapped", "0000000000003ff4", 1.25),
        ("f64", "byte_swapped", "f43f000000000000", 1.25),
        ("u64", "word_swapped", "0708050603040102", 0x0102030405060708),
        ("i64", "byte_swapped", "fffffffffffffeff", -2),
        ("u16", "word_swapped", "0102", 0x0102),
        ("u16", "byte_swapped", "0201", 0x0102),
        ("f16", "little", "003e", 1.5),
        ("bool", "little", "01", True),
        ("bool", "big", "00", False),
    ],
)
def test_every_number_in_every_order_there_and_back(type_: str, endian: str, raw: str, value: float) -> None:
    fields = [{"name": "a", "type": "u8"}, {"name": "v", "type": type_}, {"name": "b", "type": "u8"}]
    found = _read(fields, "07" + raw + "09", endian=endian)
    assert found == {"a": 7, "v": value, "b": 9}
    assert type(found["v"]) is type(value)
    assert _write(fields, found, endian=endian) == "07" + raw + "09"
    own = [fields[0], fields[1] | {"endian": endian}, fields[2]]
    assert _read(own, "07" + raw + "09", endian="big")["v"] == value
    repeated = [{"name": "v", "type": type_, "count": 2}]
    assert _read(repeated, raw * 2, endian=endian) == {"v": [value, value]}


def test_a_number_that_does_not_fit_is_not_written() -> None:
    for type_, value in (("u24", 1 << 24), ("u8", -1), ("u48", -1), ("f16", 1e9), ("u16", "much"), ("i24", 1 << 23)):
        with pytest.raises(ValueError, match=f"fit {type_}"):
            _write([{"name": "v", "type": type_}], {"v": value})


# --- texts whose length the frame says -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "raw", "value"),
    [
        ({"type": "text", "prefix": "u8"}, "05" + "50756d7065", "Pumpe"),
        ({"type": "text", "prefix": "u16", "endian": "little"}, "0600" + "e6b0b4e6b3b5", "水泵"),
        ({"type": "text", "prefix": "u16", "encoding": "gbk"}, "0004" + "cbaeb1c3", "水泵"),
        ({"type": "text", "prefix": "u32"}, "00000000", ""),
        ({"type": "hex", "prefix": "u16", "endian": "little"}, "0002" + "0aff", "FF0A"),
        ({"type": "bcd", "prefix": "u8"}, "02" + "2019", "2019"),
        ({"type": "ascii", "size": 4}, "6f6b0000", "ok"),
        ({"type": "text", "size": 6, "encoding": "gbk"}, "cbaeb1c30000", "水泵"),
        ({"type": "hex", "size": "*"}, "0aff", "0AFF"),
        ({"type": "text", "size": "*"}, "6f6b", "ok"),
    ],
)
def test_texts_there_and_back(field: dict[str, Any], raw: str, value: str) -> None:
    fields = [{"name": "a", "type": "u8"}, {"name": "v", **field}]
    assert _read(fields, "07" + raw, endian="big") == {"a": 7, "v": value}
    assert _write(fields, {"a": 7, "v": value}, endian="big") == "07" + raw
    if field.get("size") != "*":
        for cut in range(2, len(raw) + 2, 2):
            if raw:
                assert _refused(fields, ("07" + raw)[:cut], endian="big").code == "truncated"


def test_a_size_that_an_earlier_field_says() -> None:
    fields = [
        {"name": "n", "type": "u8"},
        {"name": "m", "type": "u8"},
        {"name": "name", "type": "text", "size": "n"},
        {"type": "skip", "size": "m"},
        {"name": "end", "type": "u8"},
    ]
    assert _read(fields, "0203" + "6f6b" + "ffffff" + "09") == {"n": 2, "m": 3, "name": "ok", "end": 9}
    assert _write(fields[:3], {"name": "ok"}) == "02006f6b"
    assert _refused(fields, "ff03" + "6f6b").code == "truncated"
    float_size = [{"name": "n", "type": "f32"}, {"name": "v", "type": "hex", "size": "n"}]
    assert _refused(float_size, struct.pack("<f", 1)).code == "wrong_type"
    assert _refused([{"name": "v", "type": "hex", "size": "n"}], "00").code == "missing"


def test_texts_that_are_none() -> None:
    assert "gbk" in str(_refused([{"name": "v", "type": "text", "size": 1, "encoding": "gbk"}], "ff"))
    assert "utf-8" in str(_refused([{"name": "v", "type": "text", "prefix": "u8"}], "02c328"))
    assert "decimal digits" in str(_refused([{"name": "v", "type": "bcd", "prefix": "u8"}], "010a"))


def test_repeated_texts() -> None:
    fields = [{"name": "n", "type": "u8"}, {"name": "names", "type": "text", "prefix": "u8", "count": "n"}]
    assert _read(fields, "02" + "0161" + "026263") == {"n": 2, "names": ["a", "bc"]}
    assert _write(fields, {"names": ["a", "bc"]}) == "02" + "0161" + "026263"


# --- parts of numbers ------------------------------------------------------------------------------------------------


def test_bits_and_flags_stand_beside_their_number_there_and_back() -> None:
    fields = [
        {
            "name": "status",
            "type": "u16",
            "bits": {"mode": {"start": 0, "width": 3}, "level": {"start": 8, "width": 8}},
        },
        {"name": "alarms", "type": "u8", "flags": ["smoke", None, "door"]},
        {"type": "u24", "bits": {"top": {"start": 23}}},
    ]
    expected = {"status": 0x6405, "mode": 5, "level": 100, "alarms": 4, "smoke": False, "door": True, "top": 1}
    assert _read(fields, "056404" + "000080") == expected
    assert _read(fields, "056404" + "800000", endian="big")["top"] == 1
    assert _write(fields, {"mode": 5, "level": 100, "door": True, "top": 1}) == "056404000080"
    assert _write(fields, expected) == "056404000080"


# --- cases -----------------------------------------------------------------------------------------------------------

_CASES: list[dict[str, Any]] = [
    {"name": "kind", "type": "u8"},
    {
        "type": "switch",
        "on": "kind",
        "cases": {
            "1": [{"name": "power", "type": "u16"}],
            "0x0B": [{"name": "text", "type": "text", "prefix": "u8"}],
            "3": [],
        },
    },
]


def test_a_switch_reads_what_an_earlier_field_says() -> None:
    assert _read(_CASES, "01" + "f401") == {"kind": 1, "power": 500}
    assert _read(_CASES, "0b" + "026f6b") == {"kind": 11, "text": "ok"}
    assert _read(_CASES, "03") == {"kind": 3}
    refused = _refused(_CASES, "04")
    assert (refused.code, refused.field, refused.found) == ("unknown_word", "kind", "4")
    assert _write(_CASES, {"kind": 11, "text": "ok"}) == "0b026f6b"
    with pytest.raises(ValueError, match="one of 1, 0x0B, 3"):
        _write(_CASES, {"kind": 4})


def test_a_switch_on_digits_on_a_field_around_it_and_on_anything_else() -> None:
    fields: list[dict[str, Any]] = [
        {"name": "id", "type": "hex", "size": 1},
        {
            "name": "items",
            "type": "group",
            "count": "*",
            "fields": [
                {
                    "type": "switch",
                    "on": "id",
                    "cases": {"0A": [{"name": "a", "type": "u8"}], "*": [{"name": "b", "type": "u16"}]},
                }
            ],
        },
    ]
    assert _read(fields, "0a0102") == {"id": "0A", "items": [{"a": 1}, {"a": 2}]}
    assert _read(fields, "0b01000200") == {"id": "0B", "items": [{"b": 1}, {"b": 2}]}


def test_an_optional_field_of_a_case_ends_the_frame() -> None:
    fields = [
        {"name": "kind", "type": "u8"},
        {
            "type": "switch",
            "on": "kind",
            "cases": {"*": [{"name": "a", "type": "u8"}, {"name": "b", "type": "u8", "optional": True}]},
        },
        {"name": "c", "type": "u8", "optional": True},
    ]
    assert _read(fields, "0102") == {"kind": 1, "a": 2}
    assert _read(fields, "01020304") == {"kind": 1, "a": 2, "b": 3, "c": 4}


# --- a whole protocol ------------------------------------------------------------------------------------------------

_LENGTH = {"kind": "length", "at": 0, "size": 4, "endian": "big", "counts_from": 4}
_JETLINKS: list[dict[str, Any]] = [
    {"name": "length", "type": "u32"},
    {"name": "type", "type": "u8", "const": 3},
    {"name": "timestamp", "type": "i64"},
    {"name": "message", "type": "u16"},
    {"name": "device", "type": "text", "prefix": "u16"},
    {"name": "count", "type": "u16"},
    {
        "name": "properties",
        "type": "group",
        "count": "count",
        "fields": [
            {"name": "name", "type": "text", "prefix": "u16"},
            {"name": "type", "type": "u8"},
            {
                "type": "switch",
                "on": "type",
                "cases": {
                    "0x00": [],
                    "0x01": [{"name": "value", "type": "bool"}],
                    "0x02": [{"name": "value", "type": "i8"}],
                    "0x04": [{"name": "value", "type": "i16"}],
                    "0x06": [{"name": "value", "type": "i32"}],
                    "0x08": [{"name": "value", "type": "i64"}],
                    "0x09": [{"name": "value", "type": "f32"}],
                    "0x0A": [{"name": "value", "type": "f64"}],
                    "0x0B": [{"name": "value", "type": "text", "prefix": "u16"}],
                },
            },
        ],
    },
    {"name": "user", "type": "text", "prefix": "u16", "optional": True},
]
# jetlinks/jetlinks-official-protocol, binary-protocol.md: the frame says 0x6C bytes and has 54 after its length.
_JETLINKS_FRAME = (
    "0000006c0300000186c567fa7900020013313635313835333431333033323839343436340001000474656d700b000433362e35000561646d69"
    "6e"
)


def test_jetlinks_binary_with_keys_and_values_of_their_own_types() -> None:
    found = _read(_JETLINKS, _JETLINKS_FRAME, endian="big")
    assert found == {
        "length": 0x6C,
        "type": 3,
        "timestamp": 0x0186C567FA79,
        "message": 2,
        "device": "1651853413032894464",
        "count": 1,
        "properties": [{"name": "temp", "type": 11, "value": "36.5"}],
        "user": "admin",
    }
    assert _write(_JETLINKS, found, endian="big") == _JETLINKS_FRAME
    assert _refused(_JETLINKS, _JETLINKS_FRAME, endian="big", integrity=[_LENGTH]).code == "integrity"
    tolerated = _read(_JETLINKS, _JETLINKS_FRAME, endian="big", integrity=[_LENGTH | {"on_failure": "accept_flagged"}])
    assert tolerated == Suspect(found)


# Aliyun, knowledge 89301: raw passthrough as its sample script lays it out.
def test_aliyun_raw() -> None:
    fields = [
        {"name": "method", "type": "u8", "const": 0},
        {"name": "id", "type": "u32"},
        {"name": "a", "type": "i16"},
        {"name": "b", "type": "bool"},
        {"name": "c", "type": "f32"},
    ]
    assert _read(fields, "00002233441232013fa00000", endian="big") == {
        "method": 0,
        "id": 0x223344,
        "a": 0x1232,
        "b": True,
        "c": 1.25,
    }


# --- checks at the end -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sum8", "xor8", "sum16", "crc16_modbus", "crc16_ccitt", "crc16_xmodem"])
def test_a_check_of_any_kind_ends_what_takes_all_that_is_left(kind: str) -> None:
    layout: dict[str, Any] = {"integrity": [{"kind": kind, "endian": "big"}]}
    fields = [{"name": "a", "type": "u8"}, {"name": "rest", "type": "u8", "count": "*"}]
    raw = _write(fields, {"a": 1, "rest": [2, 3, 4]}, **layout)
    assert _read(fields, raw, **layout) == {"a": 1, "rest": [2, 3, 4]}
    assert _read([fields[0], {"name": "rest", "type": "hex", "size": "*"}], raw, **layout)["rest"] == "020304"


def test_a_frame_that_is_too_short_does_not_read_its_check_as_a_value() -> None:
    layout: dict[str, Any] = {"integrity": [{"kind": "sum16"}]}
    short = _write([{"name": "a", "type": "u16"}], {"a": 1}, **layout)
    assert _refused([{"name": "a", "type": "u16"}, {"name": "b", "type": "u16"}], short, **layout).code == "truncated"


def test_a_terminator_behind_a_named_check() -> None:
    # DL/T 645-2007: the request for a meter's address.
    fields: list[dict[str, Any]] = [
        {"type": "u8", "const": 0x68},
        {"name": "address", "type": "hex", "size": 6, "endian": "little"},
        {"type": "u8", "const": 0x68},
        {"name": "control", "type": "u8"},
        {"name": "size", "type": "u8"},
        {"name": "data", "type": "hex", "size": "size"},
        {"name": "checksum", "type": "u8"},
        {"type": "u8", "const": 0x16},
    ]
    layout: dict[str, Any] = {"integrity": [{"kind": "sum8", "at": -2}]}
    found = _read(fields, "68aaaaaaaaaaaa681300df16", **layout)
    assert found == {"address": "AAAAAAAAAAAA", "control": 0x13, "size": 0, "data": "", "checksum": 0xDF}
    assert _write(fields, {"address": "AAAAAAAAAAAA", "control": 0x13}, **layout) == "68aaaaaaaaaaaa681300df16"
    assert _refused(fields, "68aaaaaaaaaaaa681300df17", **layout).code == "constant"


# --- bounds ----------------------------------------------------------------------------------------------------------

_NESTED: list[dict[str, Any]] = [
    {
        "name": "a",
        "type": "group",
        "count": "*",
        "fields": [
            {"name": "n", "type": "u8"},
            {"name": "b", "type": "group", "count": "n", "fields": [{"name": "v", "type": "u8"}]},
        ],
    }
]
_TWICE: list[dict[str, Any]] = [
    {"name": "a", "type": "group", "count": 4096, "fields": [{"name": "v", "type": "hex", "size": 1, "count": 4000}]}
]
_NUMBERS: list[dict[str, Any]] = [
    {"name": "a", "type": "group", "count": 4096, "fields": [{"name": "v", "type": "u8", "count": 4000}]}
]
_EMPTY: list[dict[str, Any]] = [
    {"name": "a", "type": "group", "count": 4096, "fields": [{"name": "v", "type": "u8", "count": 0}]}
]


@pytest.mark.parametrize("fields", [_NESTED, _TWICE, _NUMBERS, [_EMPTY[0] | {"fields": _EMPTY}]])
def test_what_nests_is_bounded_in_all(fields: list[dict[str, Any]]) -> None:
    decode = frame_decoder(_layout(fields))
    frame = b"\xff" * LARGEST_PAYLOAD

    def attempt() -> None:
        with pytest.raises(DecodeError, match="too_many"):
            decode(frame)

    assert most_bytes(attempt) < MOST_BYTES
    assert least_seconds(attempt) < QUICK_SECONDS


@pytest.mark.parametrize(
    "field",
    [
        {"name": "x", "type": "u24", "endian": "word_swapped"},
        {"name": "x", "type": "u16", "size": 4},
        {"name": "x", "type": "u16", "prefix": "u8"},
        {"name": "x", "type": "text"},
        {"name": "x", "type": "text", "size": 2, "prefix": "u8"},
        {"name": "x", "type": "i16", "bits": {"a": {"start": 0}}},
        {"name": "x", "type": "u8", "bits": {"a": {"start": 7, "width": 2}}},
        {"name": "x", "type": "u8", "flags": ["a"] * 9},
        {"name": "x", "type": "u8", "count": 2, "flags": ["a"]},
        {"name": "x", "type": "hex", "size": 1, "flags": ["a"]},
        {"name": "x", "type": "u8", "const": 256},
        {"name": "x", "type": "switch"},
        {"name": "x", "type": "switch", "on": "a", "cases": {"1": [{"type": "nonsense"}]}},
        {"type": "switch", "on": "a", "cases": {"1": []}, "count": 2},
        {"name": "x", "type": "skip", "size": 2, "count": 2},
    ],
)
def test_a_field_that_means_nothing_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        frame_decoder(_layout([{"name": "a", "type": "u8"}, field]))


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from([_JETLINKS, _CASES, _NESTED, _TWICE]), st.sampled_from(["little", "big"]), st.binary(max_size=80)
)
def test_any_bytes(fields: list[dict[str, Any]], endian: str, raw: bytes) -> None:
    for frame in (raw, bytes.fromhex(_JETLINKS_FRAME)[: len(raw)] + raw):
        try:
            assert isinstance(_read(fields, frame, endian=endian), dict)
        except DecodeError as error:
            assert error.code in ("truncated", "malformed", "constant", "unknown_word", "too_many")
