"""Checks over frames and texts: every kind, every way to write it, every place it may stand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_profiles.schema import Integrity
from gateway.decode import DecodeError
from gateway.decode.integrity import LARGEST_LOOPED, checker, put_checks

# HJ 212-2017, the standard's own example of a packet.
_HJ212 = (
    "##0101QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&1C80"
)
# Yimning/Daily-Code, protocol/rtuacq_protocol_cod_GBhjt2017.c: neither its length nor its CRC is right.
_HJ212_WRONG = (
    "##0428QN=20190630144452444;ST=32;CN=2011;PW=123456;MN=888888800000020123456781;Flag=4;CP=&&"
    "DataTime=20190630141200;a21026-Rtd=1.0000,a21026-ZsRtd=2.0000,a21026-Flag=N;a21002-Rtd=3.0000,"
    "a21002-ZsRtd=4.0000,a21002-Flag=N;a34013-Rtd=5.0000,a34013-ZsRtd=6.0000,a34013-Flag=N;a01011-Rtd=7,"
    "a01011-Flag=N;a19001-Rtd=9,a19001-Flag=N;a01012-Rtd=10,a01012-Flag=N;a01013-Rtd=11,a01013-Flag=N;"
    "a00000-Rtd=12,a00000-Flag=N;a01014-Rtd=8,a01014-Flag=N&&0b40"
)


def _check(**given: Any) -> Integrity:
    return Integrity.model_validate(given)


_HJ_CRC = _check(kind="crc16_hj212", written="hex", start=6)
_HJ_LENGTH = _check(kind="length", at=2, written="decimal", counts_from=6, counts_to=4)


@pytest.mark.parametrize("text", [_HJ212, _HJ212 + "\r\n", _HJ212.encode(), _HJ212.replace("1C80", "1c80")])
def test_hj212_as_text_and_as_bytes_with_and_without_its_line_end(text: str | bytes) -> None:
    assert checker(_HJ_CRC)(text)
    assert checker(_HJ_LENGTH)(text)


def test_hj212_whose_length_and_crc_were_published_wrong() -> None:
    with pytest.raises(DecodeError, match="'0428', expected 0431"):
        checker(_HJ_LENGTH)(_HJ212_WRONG)
    with pytest.raises(DecodeError, match="'0b40', expected B8C1"):
        checker(_HJ_CRC)(_HJ212_WRONG)
    assert checker(_HJ_CRC.model_copy(update={"on_failure": "accept_flagged"}))(_HJ212_WRONG) is False


# openvmi/lightpole.device README.md (the first two) and a public script.
@pytest.mark.parametrize("frame", ["02030002000265f8", "0103000900015408", "010600010100d99a"])
def test_modbus_frames_of_the_wild(frame: str) -> None:
    raw = bytes.fromhex(frame)
    assert checker(_check(kind="crc16_modbus"))(raw)
    with pytest.raises(DecodeError, match="integrity"):
        checker(_check(kind="crc16_modbus"))(b"\x09" + raw[1:])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # The catalogue of parametrised CRC algorithms gives these over "123456789".
        ("crc16_modbus", 0x4B37),
        ("crc16_ccitt", 0x29B1),
        ("crc16_xmodem", 0x31C3),
        ("sum8", 0xDD),
        ("sum16", 0x01DD),
        ("xor8", 0x31),
    ],
)
@pytest.mark.parametrize("endian", ["little", "big"])
def test_each_kind_over_the_digits_from_1_to_9(kind: str, expected: int, endian: Any) -> None:
    check = _check(kind=kind, endian=endian)
    frame = b"123456789" + expected.to_bytes(check.width, endian)
    assert checker(check)(frame)
    written = bytearray(frame[: -check.width] + bytes(check.width))
    put_checks([check], written)
    assert written == frame
    for i in range(len(frame)):
        broken = bytearray(frame)
        broken[i] ^= 0x11
        with pytest.raises(DecodeError) as caught:
            checker(check)(bytes(broken))
        assert caught.value.code == "integrity"


def test_a_sum_over_a_part_with_a_terminator_behind_it() -> None:
    # DL/T 645-2007: sum8 from the first 68 on, then 16.
    frame = bytes.fromhex("68aaaaaaaaaaaa681300df16")
    assert checker(_check(kind="sum8", at=-2))(frame)
    # NMEA: exclusive or between $ and *.
    assert checker(_check(kind="xor8", written="hex", start=1, end=-3))("$GPGLL,5300.97914,N,00259.98174,E,125926,A*28")


def test_digits_are_read_from_the_highest_unless_said_otherwise() -> None:
    assert checker(_check(kind="crc16_modbus", written="hex"))("1234567894B37")
    assert checker(_check(kind="crc16_modbus", written="hex", endian="little"))("123456789374B")
    assert checker(_check(kind="sum16", written="decimal"))("1234567890477")


@pytest.mark.parametrize("size", [1, 2, 4])
def test_lengths_of_every_width(size: Any) -> None:
    check = _check(kind="length", at=1, size=size, endian="big", counts_from=1 + size, counts_to=2)
    frame = b"\x7e" + (5).to_bytes(size, "big") + b"hello" + b"\0\0"
    assert checker(check)(frame)
    with pytest.raises(DecodeError, match="expected 0x0004"):
        checker(check)(frame[:-1])


def test_a_length_that_does_not_fit_its_field_is_no_length() -> None:
    check = _check(kind="length", at=0, size=1)
    with pytest.raises(DecodeError):
        checker(check)(bytes([44]) + bytes(299))
    with pytest.raises(ValueError, match="fits 1 bytes"):
        put_checks([check], bytearray(300))
    text = _check(kind="length", at=0, size=1, written="hex", endian="little")
    with pytest.raises(DecodeError):
        checker(text)("2c" + "x" * 298)


def test_checks_are_written_so_that_the_later_ones_cover_the_earlier() -> None:
    checks = [_check(kind="crc16_modbus"), _check(kind="xor8", at=3, end=3), _check(kind="length", at=1, endian="big")]
    frame = bytearray(b"\x68\0\0\0data\0\0")
    put_checks(checks, frame)
    assert all(checker(check)(bytes(frame)) for check in checks)
    assert frame[1:4] == bytes([0, 10, 0x68 ^ 10])


@pytest.mark.parametrize("frame", [b"", b"\x01", "", "0", "12"])
def test_a_frame_without_room_for_its_check_is_cut(frame: bytes | str) -> None:
    check = _check(kind="sum16", written="hex" if isinstance(frame, str) else "binary")
    with pytest.raises(DecodeError) as caught:
        checker(check)(frame)
    assert caught.value.code == "truncated"


def test_what_is_no_frame_and_what_is_too_large() -> None:
    with pytest.raises(DecodeError, match="bytes to check"):
        checker(_check(kind="sum16"))("text")
    nothing: Any = {"a": 1}
    with pytest.raises(DecodeError, match="a text to check"):
        checker(_check(kind="sum16", written="hex"))(nothing)
    with pytest.raises(DecodeError, match="too_large"):
        checker(_check(kind="crc16_modbus"))(bytes(LARGEST_LOOPED + 3))


@pytest.mark.parametrize("given_", [{"kind": "crc16_modbus", "size": 1}, {"kind": "sum8", "start": -1}])
def test_a_check_that_means_nothing_is_refused(given_: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        checker(_check(**given_))


_KINDS = ["sum8", "sum16", "xor8", "crc16_modbus", "crc16_ccitt", "crc16_xmodem", "crc16_hj212", "length"]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(_KINDS),
    st.sampled_from(["binary", "hex", "decimal"]),
    st.sampled_from(["little", "big"]),
    st.one_of(st.none(), st.integers(-12, 12)),
    st.integers(0, 8),
    st.one_of(st.none(), st.integers(-6, 6)),
    st.one_of(st.binary(max_size=40), st.text(max_size=40)),
)
def test_any_check_over_anything(
    kind: str, written: str, endian: str, at: int | None, start: int, end: int | None, frame: bytes | str
) -> None:
    check = _check(kind=kind, written=written, endian=endian, at=at, start=start, end=end)
    try:
        assert checker(check)(frame) is True
    except DecodeError as error:
        assert error.code in ("integrity", "truncated", "wrong_type")
