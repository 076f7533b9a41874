"""Modbus RTU: requests, replies matched to them, writes and their answers, registers of every type."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_profiles.schema import ModbusLayout
from gateway.decode import DecodeError
from gateway.decode.context import NOTHING, Context
from gateway.decode.integrity import crc16_modbus
from gateway.decode.memory import Memory
from gateway.decode.modbus import ANSWERS_WITHIN, line_of, modbus_decoder, poll_frame, remember_request

_NOW = 1_763_741_000_000


def _poll(id: str, *registers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": id, "start": 0, "count": 2, "registers": list(registers), **more}


def _register(name: str, at: int = 0, type_: str = "u16", **more: Any) -> dict[str, Any]:
    return {"name": name, "at": at, "type": type_, **more}


class Line:
    def __init__(self, *polls: dict[str, Any], **layout: Any) -> None:
        self.layout = ModbusLayout.model_validate({"polls": list(polls), **layout})
        self.memory = Memory()
        self.captures = {"dtu": "d1"}
        self._decode = modbus_decoder(self.layout, frozenset({"dtu"}))

    def says(self, hex_: str, at: int = _NOW) -> Any:
        return self._decode(bytes.fromhex(hex_), Context(self.captures, self.memory, at))

    def sends(self, body: str, at: int = _NOW) -> Any:
        """With its CRC."""
        raw = bytes.fromhex(body)
        return self.says((raw + crc16_modbus(raw).to_bytes(2, "little")).hex(), at)

    def refuses(self, body: str, at: int = _NOW) -> DecodeError:
        with pytest.raises(DecodeError) as caught:
            self.sends(body, at)
        return caught.value


# openvmi/lightpole.device README.md: illuminance in 0x0002 of slave 2, wind speed in 0x0009 of slave 1.
_LIGHT = _poll("light", _register("lux", 2, "u32"), slave=2, start=2)
_WIND = _poll("wind", _register("speed", 9), slave=1, start=9, count=1)


def test_requests_of_the_wild_say_nothing_and_are_what_we_would_send() -> None:
    line = Line(_LIGHT, _WIND)
    for frame, poll in zip(("02030002000265f8", "0103000900015408"), line.layout.polls, strict=True):
        assert line.says(frame) is NOTHING
        assert poll_frame(line.layout, poll).hex() == frame
    assert line.says("010600010100d99a") is NOTHING  # a public script: a relay is switched


def test_a_reply_is_matched_to_the_request_before_it() -> None:
    line = Line(_LIGHT, _LIGHT | {"id": "dark", "start": 6, "registers": [_register("dark", 6, "u32")]})
    assert line.says("02030002000265f8") is NOTHING
    expected = {"poll": "light", "slave": 2, "function": 3, "lux": 0x00012345}
    assert line.sends("020304" + "00012345") == expected
    assert line.sends("020304" + "00012345") == expected
    remember_request(line.memory, line_of(line.captures), poll_frame(line.layout, line.layout.polls[1]), _NOW)
    assert line.sends("020304" + "00000007") == {"poll": "dark", "slave": 2, "function": 3, "dark": 7}


def test_a_reply_without_its_request_is_taken_where_one_poll_alone_fits() -> None:
    line = Line(_LIGHT, _WIND)
    assert line.sends("010302" + "0019")["speed"] == 25
    two = Line(_LIGHT, _LIGHT | {"id": "dark", "start": 6, "registers": []})
    refused = two.refuses("020304" + "00012345")
    assert refused.code == "unknown_poll"
    assert "light, dark" in refused.found
    two.says("02030002000265f8")
    assert two.refuses("020304" + "00012345", _NOW + ANSWERS_WITHIN + 1).code == "unknown_poll"
    assert two.sends("020304" + "00012345", _NOW + ANSWERS_WITHIN)["poll"] == "light"
    assert "light (slave 2" in line.refuses("030302" + "0019").expected


def test_a_reply_to_registers_that_no_poll_knows_is_not_taken_for_another() -> None:
    line = Line(_LIGHT)
    line.sends("020300100002")
    assert "registers 16 to 17" in line.refuses("020304" + "00012345").found


def test_lines_are_kept_apart() -> None:
    line = Line(_LIGHT, _LIGHT | {"id": "dark", "start": 6, "registers": []})
    line.says("02030002000265f8")
    line.captures = {"dtu": "d2"}
    assert line.refuses("020304" + "00012345").code == "unknown_poll"
    assert line_of({"b": "2", "a": "1"}) == "1/2"


def test_any_slave() -> None:
    line = Line(_WIND | {"slave": 0})
    assert line.sends("070302" + "0019") == {"poll": "wind", "slave": 7, "function": 3, "speed": 25}
    with pytest.raises(ValueError, match="slave: 1 to 247"):
        poll_frame(line.layout, line.layout.polls[0])


def test_registers_of_every_type() -> None:
    floats = struct.pack(">f", 1.25)
    data = [
        (_register("u", 0, "u16", flags=["run", None, "fault"], bits={"mode": {"start": 8, "width": 8}}), "0205"),
        (_register("i", 1, "i16"), "fffe"),
        (_register("f", 2, "f32"), floats.hex()),
        (_register("fw", 4, "f32", endian="word_swapped"), (floats[2:] + floats[:2]).hex()),
        (_register("s", 6, "ascii", size=4), "6f6b0000"),
        (_register("n", 8, "bcd", size=2), "2019"),
        (_register("b", 9, "u8"), "ff07"),
        (_register("on", 10, "bool"), "0100"),
        (_register("t", 11, "u24"), "00123456"),
        (_register("d", 13, "f64"), struct.pack(">d", -0.5).hex()),
        (_register("le", 17, "u32", endian="little"), "78563412"),
    ]
    line = Line(_poll("all", *[register for register, _ in data], count=19))
    found = line.sends("010326" + "".join(raw for _, raw in data))
    assert found == {"poll": "all", "slave": 1, "function": 3} | {
        "u": 0x0205,
        "run": True,
        "fault": True,
        "mode": 2,
        "i": -2,
        "f": 1.25,
        "fw": 1.25,
        "s": "ok",
        "n": "2019",
        "b": 7,
        "on": True,
        "t": 0x123456,
        "d": -0.5,
        "le": 0x12345678,
    }


def test_coils() -> None:
    coils = [_register("pump", 3, "coil"), _register("door", 11, "coil"), _register("fan", 19, "coil")]
    line = Line(_poll("coils", *coils, function=1, start=3, count=20))
    # Three bytes of coils: as long as a request.
    for request in (None, "010100030014"):
        if request is not None:
            assert line.sends(request) is NOTHING
        found = line.sends("010103" + "010001")
        assert (found["pump"], found["door"], found["fan"]) == (True, False, True)


def test_an_exception_says_its_code_and_to_what() -> None:
    line = Line(_LIGHT)
    assert line.sends("028302") == {"slave": 2, "function": 3, "exception": 2}
    line.says("02030002000265f8")
    assert line.sends("028302") == {"slave": 2, "function": 3, "exception": 2, "start": 2, "poll": "light"}
    assert line.refuses("02830202").code == "malformed"


def test_a_write_is_a_request_first_and_then_its_answer() -> None:
    relays = _poll("relays", _register("relay", 1), start=0, count=4)
    coils = _poll("coils", _register("valve", 2, "coil"), function=1, start=0, count=8)
    line = Line(relays, coils)
    for _ in range(2):
        assert line.says("010600010100d99a") is NOTHING
        answer = {"slave": 1, "function": 6, "start": 1, "value": 0x0100, "relay": 0x0100}
        assert line.says("010600010100d99a") == answer
    assert line.sends("01050002ff00") is NOTHING
    assert line.sends("01050002ff00") == {"slave": 1, "function": 5, "start": 2, "value": True, "valve": True}
    assert line.sends("0110000000020400010002") is NOTHING
    assert line.sends("011000000002") == {"slave": 1, "function": 16, "start": 0, "count": 2, "relay": 2}
    assert line.sends("010f0000000801ff") is NOTHING
    assert line.sends("010f00000008") == {"slave": 1, "function": 15, "start": 0, "count": 8, "valve": True}
    assert line.sends("011000070001") == {"slave": 1, "function": 16, "start": 7, "count": 1}


def test_a_write_that_the_gateway_sent_itself_is_answered_at_once() -> None:
    line = Line(_poll("relays", _register("relay", 1), start=0, count=4))
    remember_request(line.memory, line_of(line.captures), bytes.fromhex("010600010100d99a"), _NOW)
    assert line.says("010600010100d99a")["relay"] == 0x0100


def test_frames_without_crc() -> None:
    line = Line(_WIND, crc=False)
    assert poll_frame(line.layout, line.layout.polls[0]).hex() == "010300090001"
    assert line.says("010300090001") is NOTHING
    assert line.says("0103020019")["speed"] == 25
    remember_request(line.memory, "d1", bytes.fromhex("010300090001"), _NOW, crc=False)
    assert line.says("0103020019")["speed"] == 25


@pytest.mark.parametrize(
    "frame", ["", "01", "01030200", "0103020019ffff", "00" * 300, "0141", "01410000c1e8", "010302001900" * 3]
)
def test_what_is_no_frame(frame: str) -> None:
    with pytest.raises(DecodeError):
        Line(_WIND).says(frame)
    for body in ("014101", "010305001900", "0106000101", "010300090000", "01100000000205000100"):
        assert Line(_WIND).refuses(body).code in ("malformed", "unknown_word", "unknown_poll")


@pytest.mark.parametrize(
    "poll",
    [
        _poll("p", _register("a", 2)),
        _poll("p", _register("a", 1, "u32")),
        _poll("p", _register("a", 0, "coil")),
        _poll("p", _register("a", 0), function=1),
        _poll("p", _register("a", 0, "ascii")),
        _poll("p", _register("a", 0, "group")),
        _poll("p", count=200),
    ],
)
def test_a_poll_that_means_nothing_is_refused(poll: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        modbus_decoder(ModbusLayout.model_validate({"polls": [poll]}))


def test_a_line_without_polls_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one poll"):
        modbus_decoder(ModbusLayout.model_validate({"polls": []}))


_BODIES = st.one_of(
    st.binary(min_size=3, max_size=40),
    st.builds(struct.pack, st.just(">BBHH"), st.just(1), st.integers(0, 20), st.integers(0, 9), st.integers(0, 3)),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(_BODIES.map(bytes.hex), st.sampled_from(["010302", "01030204", "018302"])), max_size=6))
def test_any_conversation(bodies: list[str]) -> None:
    coils = _poll("coils", _register("c", 1, "coil"), function=1, start=0, count=8)
    line = Line(_WIND, _poll("other", _register("x", 0), start=0, count=1), coils)
    for body in bodies:
        try:
            found = line.sends(body)
            assert found is NOTHING or found["slave"] == bytes.fromhex(body)[0]
        except DecodeError as error:
            assert error.code in ("malformed", "truncated", "unknown_word", "unknown_poll")
