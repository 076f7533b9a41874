"""Frames of keys and values: Milesight, Cayenne LPP, keys with lengths."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_profiles.schema import TlvLayout
from gateway.decode import LARGEST_PAYLOAD, DecodeError
from gateway.decode.frames import Suspect
from gateway.decode.tlv import MOST_KEYS, tlv_decoder
from tests.gateway.decode.bounds import MOST_BYTES, QUICK_SECONDS, least_seconds, most_bytes


def _field(name: str, type_: str = "u8", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, **more}


def _entry(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"fields": list(fields), **more}


def _read(entries: dict[str, Any], frame: str | bytes, **layout: Any) -> Any:
    raw = bytes.fromhex(frame) if isinstance(frame, str) else frame
    return tlv_decoder(TlvLayout.model_validate({"entries": entries, **layout}))(raw)


_MODBUS_VALUE = {
    "type": "switch",
    "on": "kind",
    "cases": {
        "0": [_field("value", "bool")],
        "1": [_field("value")],
        "0x02": [_field("value", "i16")],
        "5": [_field("value", "f32")],
        "*": [_field("raw", "hex", size="size")],
    },
}
# Keys of Milesight sensors as their published decoders list them.
_MILESIGHT: dict[str, Any] = {
    "0175": _entry(_field("battery")),
    "0367": _entry(_field("temperature", "i16")),
    "0468": _entry(_field("humidity")),
    "0500": _entry(_field("leak")),
    "037b": _entry(_field("pressure", "u16")),
    "0377": _entry(_field("depth", "u16")),
    "0382": _entry(_field("distance", "u16")),
    "0400": _entry(_field("tilt")),
    "??c8": _entry(_field("count", "u32"), into="counters", many=True, key_as="channel"),
    "??00": _entry(_field("on", "bool"), into="inputs", many=True, key_as="channel"),
    "??01": _entry(_field("on", "bool"), into="outputs", many=True, key_as="channel"),
    "??02": _entry(_field("current", "u32"), into="analog", many=True, key_as="channel"),
    "ff19": _entry(
        _field("channel"),
        _field("size"),
        _field("type", bits={"kind": {"start": 0, "width": 7}, "signed": {"start": 7}}),
        _MODBUS_VALUE,
        into="modbus",
        many=True,
    ),
    "0498": _entry(_field("amps", "u16")),
    "0870": _entry(_field("relay", flags=["on"])),
    "0581": _entry(_field("power_factor")),
    "07c9": _entry(_field("milliamps", "u16")),
    "0374": _entry(_field("voltage", "u16")),
    "0683": _entry(_field("energy", "u32")),
    "0480": _entry(_field("power", "u32")),
    "20ce": _entry(_field("at", "u32"), _field("temperature", "i16"), _field("humidity"), into="history", many=True),
}


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        # Milesight-IoT/SensorDecoders, the README of each model; the values are the README's own.
        ("01755c03673401046865050000", {"battery": 92, "temperature": 308, "humidity": 101, "leak": 0}),  # em300-zld
        ("017564037b0a00", {"battery": 100, "pressure": 10}),  # em500-pp
        ("01756403770200", {"battery": 100, "depth": 2}),  # em500-swl
        ("01755c03824408040001", {"battery": 92, "distance": 2116, "tilt": 1}),  # em310-udl
        (  # ws523
            "08700105812c07c94a0003743009068309660000048007000000",
            {
                "relay": 1,
                "on": True,
                "power_factor": 44,
                "milliamps": 74,
                "voltage": 2352,
                "energy": 26121,
                "power": 7,
            },
        ),
        (  # uc300
            "03c80a00000004c814000000050000060000070101080101",
            {
                "counters": [{"channel": 3, "count": 10}, {"channel": 4, "count": 20}],
                "leak": 0,
                "inputs": [{"channel": 6, "on": False}],
                "outputs": [{"channel": 7, "on": True}, {"channel": 8, "on": True}],
            },
        ),
        (
            "0b02900100000c0290010000",
            {"analog": [{"channel": 11, "current": 400}, {"channel": 12, "current": 400}]},
        ),
        (
            "ff190002020b00ff190102020200",
            {
                "modbus": [
                    {"channel": 0, "size": 2, "type": 2, "kind": 2, "signed": 0, "value": 11},
                    {"channel": 1, "size": 2, "type": 2, "kind": 2, "signed": 0, "value": 2},
                ]
            },
        ),
    ],
)
def test_milesight(frame: str, expected: dict[str, Any]) -> None:
    assert _read(_MILESIGHT, frame) == expected


def test_history_and_a_modbus_value_of_a_kind_that_is_not_listed() -> None:
    frame = "20ce9e0b8463e80050" + "20ce9f0b8463e70051" + "ff190304091122aabb"
    found = _read(_MILESIGHT, frame)
    assert found["history"] == [
        {"at": 0x63840B9E, "temperature": 232, "humidity": 80},
        {"at": 0x63840B9F, "temperature": 231, "humidity": 81},
    ]
    assert found["modbus"][0] | {"kind": 9, "raw": "1122AABB"} == found["modbus"][0]


# Milesight-IoT/SensorDecoders ct103: four more bytes follow the current.
def test_an_unknown_key_keeps_what_was_read_and_marks_it() -> None:
    found = _read({"0498": _entry(_field("amps", "u16"))}, "0498b80b00000000")
    assert found == Suspect({"amps": 3000})
    with pytest.raises(DecodeError) as caught:
        _read({"0498": _entry(_field("amps", "u16"))}, "0498b80b00000000", unknown="reject")
    assert (caught.value.code, caught.value.field) == ("unknown_key", "0000")
    with pytest.raises(DecodeError, match="unknown_key"):
        _read({"0498": _entry(_field("amps", "u16"))}, "ffff0498b80b")


# Cayenne LPP: the examples of its description.
_CAYENNE = {
    "??67": _entry(_field("value", "i16"), into="temperature", many=True, key_as="channel"),
    "??71": _entry(_field("x", "i16"), _field("y", "i16"), _field("z", "i16"), into="accelerometer", key_as="channel"),
    "??88": _entry(_field("lat", "i24"), _field("lon", "i24"), _field("alt", "i24"), into="gps", key_as="channel"),
}


def test_cayenne_lpp() -> None:
    assert _read(_CAYENNE, "03670110056700ff", endian="big") == {
        "temperature": [{"channel": 3, "value": 272}, {"channel": 5, "value": 255}]
    }
    assert _read(_CAYENNE, "0167ffd7067104d2fb2e0000", endian="big") == {
        "temperature": [{"channel": 1, "value": -41}],
        "accelerometer": {"channel": 6, "x": 1234, "y": -1234, "z": 0},
    }
    assert _read(_CAYENNE, "018806765ff2960a0003e8", endian="big")["gps"] == {
        "channel": 1,
        "lat": 423519,
        "lon": -879094,
        "alt": 1000,
    }


def test_lengths_let_unknown_keys_be_stepped_over() -> None:
    entries = {"01": _entry(_field("a")), "02": _entry(_field("name", "text", size="*"))}
    layout: dict[str, Any] = {"key_bytes": 1, "length_bytes": 1, "skip": 1}
    frame = b"\x00" + b"\x01\x03\x07\xff\xff" + b"\x09\x02zz" + b"\x02\x05Pumpe"
    assert _read(entries, frame, unknown="skip", **layout) == {"a": 7, "name": "Pumpe"}
    assert _read(entries, frame, **layout) == Suspect({"a": 7})
    for cut in (frame[:-1], b"\x00\x01", b"\x00\x01\x00", b"\x00\x09\x05a"):
        with pytest.raises(DecodeError):
            _read(entries, cut, unknown="skip", **layout)
    wide: dict[str, Any] = {"key_bytes": 1, "length_bytes": 2, "endian": "big"}
    assert _read(entries, b"\x02\x00\x02ab", **wide) == {"name": "ab"}


def test_checks_and_digits_in_the_middle_of_a_key() -> None:
    entries = {"a?0?": _entry(_field("v"), key_as="which")}
    check = [{"kind": "sum8"}]
    frame = bytes.fromhex("a50203")
    assert _read(entries, frame + bytes([sum(frame) & 0xFF]), integrity=check) == {"which": 0x52, "v": 3}
    with pytest.raises(DecodeError, match="integrity"):
        _read(entries, frame + b"\x00", integrity=check)
    flagged = [{"kind": "sum8", "on_failure": "accept_flagged"}]
    assert _read(entries, frame + b"\x00", integrity=flagged) == Suspect({"which": 0x52, "v": 3})


def test_cut_frames() -> None:
    for cut in ("0175", "0175640367", "017564036734"):
        with pytest.raises(DecodeError, match="truncated"):
            _read(_MILESIGHT, cut)
    assert _read(_MILESIGHT, "01756403") == Suspect({"battery": 100})
    assert _read(_MILESIGHT, b"") == {}


@pytest.mark.parametrize(
    "layout",
    [
        {"entries": {"01": _entry()}},
        {"entries": {"01zz": _entry()}},
        {"entries": {"0102": _entry(many=True)}},
        {"entries": {"0102": _entry(key_as="x")}},
        {"entries": {"0102": _entry(_field("a", "u25"))}},
        {"entries": {"0102": _entry()}, "unknown": "skip"},
    ],
)
def test_a_layout_that_means_nothing_is_refused(layout: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        tlv_decoder(TlvLayout.model_validate(layout))


def test_a_frame_of_a_million_keys_is_refused() -> None:
    with pytest.raises(DecodeError, match="too_many"):
        _read({"0102": _entry()}, b"\x01\x02" * (MOST_KEYS + 1))
    with pytest.raises(DecodeError, match="bytes for keys"):
        tlv_decoder(TlvLayout.model_validate({"entries": _MILESIGHT}))("text")


_WITH_LENGTHS: dict[str, Any] = {"0?": _entry(_field("v", "text", prefix="u8"))}
_PLAIN = [bytes.fromhex(key) for key in _MILESIGHT if "?" not in key]


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(_PLAIN), max_size=9).map(b"\x01\x02".join)))
def test_any_bytes(frame: bytes) -> None:
    for read in (lambda: _read(_MILESIGHT, frame), lambda: _read(_WITH_LENGTHS, frame, key_bytes=1)):
        try:
            assert isinstance(read(), dict | Suspect)
        except DecodeError as error:
            assert error.code in ("truncated", "unknown_key", "malformed")


_HEAVY: dict[str, tuple[dict[str, Any], bytes]] = {
    "keys": ({"0175": _entry(_field("battery"))}, bytes.fromhex("017564") * 400_000),
    "keys of an array": (
        {"??c8": _entry(_field("count", "u32"), into="counters", many=True, key_as="channel")},
        bytes.fromhex("01c800000001") * 200_000,
    ),
    "every channel another": (
        {"??00": _entry(_field("on", "bool"), into="inputs", many=True, key_as="channel")},
        b"".join(bytes([n & 0xFF, 0, 1]) for n in range(400_000)),
    ),
    "values of one key": ({"0175": _entry(_field("v", count="*"))}, bytes.fromhex("0175") + bytes(1 << 20)),
    "groups without values": (
        {"0175": _entry(_field("g", "group", count=4096, fields=[_field("v", count=0)]))},
        bytes.fromhex("0175") * 500_000,
    ),
    "unknown": ({"0175": _entry(_field("battery"))}, b"\xff" * (1 << 20)),
}


@pytest.mark.parametrize("kind", _HEAVY)
@pytest.mark.parametrize("length_bytes", [0, 1])
def test_a_mebibyte_takes_neither_long_nor_much(kind: str, length_bytes: int) -> None:
    entries, frame = _HEAVY[kind]
    unknown = "skip" if length_bytes else "flag"
    decode = tlv_decoder(
        TlvLayout.model_validate({"entries": entries, "length_bytes": length_bytes, "unknown": unknown})
    )
    frame = frame[:LARGEST_PAYLOAD]

    def attempt() -> None:
        with contextlib.suppress(DecodeError):
            decode(frame)

    assert most_bytes(attempt) < MOST_BYTES
    assert least_seconds(attempt) < QUICK_SECONDS
