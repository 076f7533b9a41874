"""Modbus RTU over a line: requests are remembered, replies are matched to them, registers get their names.

What is remembered, in the decoder's memory: ("modbus", line) -> [hex digits of the request without its CRC, when].
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from device_profiles.schema import ModbusLayout, ModbusPoll, Register, StructField
from gateway.decode.context import NOTHING, Context, ContextStep
from gateway.decode.errors import DecodeError, shown
from gateway.decode.frames.steps import Reader, Step, fixed_run
from gateway.decode.frames.values import is_fixed, is_number, packed
from gateway.decode.integrity import crc16_modbus
from gateway.decode.memory import Memory
from gateway.reading import Millis

ANSWERS_WITHIN: Final[Millis] = 60_000
"""A reply that comes later than this after the request is not taken for its answer."""
LONGEST_FRAME: Final = 256
_ANY_SLAVE: Final = 0
"""As the slave of a poll: whichever answers."""
_COILS: Final = (1, 2)
_READS: Final = (1, 2, 3, 4)
_WRITE_COIL: Final = 5
_ON: Final = 0xFF00
_WRITES_ONE: Final = (_WRITE_COIL, 6)
_WRITES_MANY: Final = (15, 16)
_FAILED: Final = 0x80
_HEAD: Final = struct.Struct(">BBHH")
"""Slave, function, first register, and number or value: how every request begins."""
_READ_FOR: Final = {5: 1, 6: 3, 15: 1, 16: 3}
"""Which function reads what one writes."""


def line_of(captures: Mapping[str, str]) -> str:
    """The line that a topic speaks for: what its captures hold, in the order of their names."""
    return "/".join(captures[name] for name in sorted(captures))


def remember_request(memory: Memory, line: str, frame: bytes, at: Millis, *, crc: bool = True) -> None:
    """Note that this request went out on a line, seen or sent by the gateway itself."""
    memory.put(("modbus", line), [(frame[:-2] if crc else frame).hex(), at])


def poll_frame(layout: ModbusLayout, poll: ModbusPoll) -> bytes:
    """The request of a poll, ready to be sent; raises ValueError."""
    if poll.slave == _ANY_SLAVE:
        raise ValueError(f"expected slave: 1 to 247 in the poll {poll.id} that the gateway sends, found 0")
    body = _HEAD.pack(poll.slave, poll.function, poll.start, poll.count)
    return body + crc16_modbus(body).to_bytes(2, "little") if layout.crc else body


def modbus_decoder(layout: ModbusLayout, _captures: frozenset[str] = frozenset()) -> ContextStep:
    """Compile; raises ValueError for polls that cannot be."""
    polls = [_Poll(poll, layout.endian) for poll in layout.polls]
    if not polls:
        raise ValueError("expected at least one poll in modbus")
    line = _Line(polls)
    crc = layout.crc

    def decode(frame: Any, context: Context) -> Any:
        if type(frame) is not bytes:
            raise DecodeError("wrong_type", found=shown(frame), expected="bytes of a Modbus frame")
        return line.take(_body(frame) if crc else _bounded(frame), context)

    return decode


def _bounded(frame: bytes) -> bytes:
    if not 2 < len(frame) <= LONGEST_FRAME:
        raise DecodeError("truncated", found=shown(frame), expected=f"a Modbus frame of 3 to {LONGEST_FRAME} bytes")
    return frame


def _body(frame: bytes) -> bytes:
    """The frame without its CRC, which must be right."""
    if len(frame) < 5:
        raise DecodeError("truncated", found=shown(frame), expected="a Modbus RTU frame of at least 5 bytes")
    body = _bounded(frame)[:-2]
    stated, real = int.from_bytes(frame[-2:], "little"), crc16_modbus(body)
    if stated != real:
        raise DecodeError("integrity", field="crc16_modbus", found=f"{stated:#06x}", expected=f"{real:#06x}")
    return body


class _Request(NamedTuple):
    """A request taken apart. `number` is how many, or the value where one register or coil is written."""

    slave: int
    function: int
    start: int
    number: int
    data: bytes

    @property
    def reply_bytes(self) -> int:
        """Bytes of data in the reply to a read."""
        return _data_bytes(self.function, self.number)


def _data_bytes(function: int, count: int) -> int:
    return (count + 7) // 8 if function in _COILS else 2 * count


def _request(body: bytes) -> _Request | None:
    """A read or a write, if it can be one."""
    if len(body) < _HEAD.size:
        return None
    slave, function, start, count = _HEAD.unpack_from(body)
    data = body[_HEAD.size :]
    if function in _WRITES_MANY:
        return _Request(slave, function, start, count, data[1:]) if data and data[0] == len(data) - 1 else None
    if data or (function in _READS and not 1 <= count <= 2000):
        return None
    return _Request(slave, function, start, count, b"") if function in (*_READS, *_WRITES_ONE) else None


# --- a line ----------------------------------------------------------------------------------------------------------


class _Line:
    """All that may be said on a line that is polled like this."""

    def __init__(self, polls: list[_Poll]) -> None:
        self._polls = polls

    def take(self, body: bytes, context: Context) -> Any:
        memory, line = context.memory, line_of(context.captures)
        last = _last_request(memory, line, context.received_at)
        function = body[1]
        if function & _FAILED:
            return self._exception(body, last)
        if function in _READS:
            return self._read(body, last, memory, line, context.received_at)
        if function in (*_WRITES_ONE, *_WRITES_MANY):
            return self._write(body, last, memory, line, context.received_at)
        raise DecodeError(
            "unknown_word", field="function", found=str(function), expected="a Modbus function of 1 to 6, 15 or 16"
        )

    def _exception(self, body: bytes, last: _Request | None) -> dict[str, Any]:
        if len(body) != 3:
            raise DecodeError("malformed", found=shown(body), expected="one byte in a Modbus exception")
        slave, function = body[0], body[1] & ~_FAILED
        out: dict[str, Any] = {"slave": slave, "function": function, "exception": body[2]}
        if last is not None and (last.slave, last.function) == (slave, function):
            poll = next((poll for poll in self._polls if poll.asks(last)), None)
            out |= {"start": last.start} | ({} if poll is None else {"poll": poll.id})
        return out

    def _read(self, body: bytes, last: _Request | None, memory: Memory, line: str, at: Millis) -> Any:
        request, is_reply = _request(body), len(body) == 3 + body[2]
        if request is not None and is_reply:  # three bytes of coils look like a request, too
            is_reply = _answers(last, body) or not any(poll.asks(request) for poll in self._polls)
        if is_reply:
            return self._reply(body, last)
        if request is None:
            raise DecodeError("malformed", found=shown(body), expected=f"{body[2]} bytes of data in a Modbus reply")
        memory.put(("modbus", line), [body.hex(), at])
        return NOTHING

    def _reply(self, body: bytes, last: _Request | None) -> dict[str, Any]:
        slave, function, size, data = body[0], body[1], body[2], body[3:]
        if last is not None and _answers(last, body):
            for poll in self._polls:
                if poll.asks(last):
                    return poll.registers(slave, data)
            raise _no_poll(f"registers {last.start} to {last.start + last.number - 1} of slave {slave}", self._polls)
        fitting = [poll for poll in self._polls if poll.fits(slave, function, size)]
        if len(fitting) == 1:
            return fitting[0].registers(slave, data)
        if fitting:
            names = ", ".join(poll.id for poll in fitting)
            raise DecodeError(
                "unknown_poll",
                found=f"a reply of slave {slave} to no request that was seen; it fits {names}",
                expected="its request on the same line before it, or one poll that fits",
            )
        raise _no_poll(f"a reply of slave {slave}, function {function}, {size} bytes", self._polls)

    def _write(self, body: bytes, last: _Request | None, memory: Memory, line: str, at: Millis) -> Any:
        """A write, or its answer: of one register the same again, of many the head of the request."""
        seen = memory.get(("modbus", line))
        if last is not None and bytes.fromhex(seen[0])[: _HEAD.size] == body:
            memory.drop(("modbus", line))  # the next one like it is a request again
            return self._written(last)
        request = _request(body)
        if request is not None:
            memory.put(("modbus", line), [body.hex(), at])
            return NOTHING
        if body[1] in _WRITES_MANY and len(body) == _HEAD.size:
            slave, function, start, number = _HEAD.unpack(body)
            return self._written(_Request(slave, function, start, number, b""))
        raise DecodeError("malformed", found=shown(body), expected="a Modbus write or its answer")

    def _written(self, request: _Request) -> dict[str, Any]:
        """The answer to a write; with the registers that it wrote, where a poll names them."""
        many = request.function in _WRITES_MANY
        out: dict[str, Any] = {"slave": request.slave, "function": request.function, "start": request.start}
        if many:
            out["count"], count, data = request.number, request.number, request.data
        elif request.function == _WRITE_COIL:
            out["value"], count, data = request.number == _ON, 1, bytes([request.number == _ON])
        else:
            out["value"], count, data = request.number, 1, request.number.to_bytes(2, "big")
        for poll in self._polls:
            if poll.function == _READ_FOR[request.function] and poll.slave in (_ANY_SLAVE, request.slave):
                poll.fill(out, request.start, count, data)
        return out


def _last_request(memory: Memory, line: str, now: Millis) -> _Request | None:
    seen = memory.get(("modbus", line))
    if seen is None or abs(now - seen[1]) > ANSWERS_WITHIN:
        return None
    return _request(bytes.fromhex(seen[0]))


def _answers(last: _Request | None, body: bytes) -> bool:
    return last is not None and (last.slave, last.function, last.reply_bytes) == (body[0], body[1], body[2])


def _no_poll(found: str, polls: list[_Poll]) -> DecodeError:
    known = "; ".join(poll.described for poll in polls)
    return DecodeError("unknown_poll", found=found, expected=f"an answer to a poll of the profile: {known[:300]}")


# --- a poll ----------------------------------------------------------------------------------------------------------

_Fill = Callable[[dict[str, Any], bytes, int], None]
"""Puts one register's values into the object: (object, data, byte or bit where it begins)"""


class _Named(NamedTuple):
    at: int
    width: int
    """Registers or coils."""
    fill: _Fill


class _Poll:
    """A poll compiled: which request it is, and how its data reads."""

    def __init__(self, poll: ModbusPoll, endian: str) -> None:
        self.id, self.slave, self.function = poll.id, poll.slave, poll.function
        self._start, self._count = poll.start, poll.count
        self._bits = poll.function in _COILS
        self._size = _data_bytes(poll.function, poll.count)
        if self._size > LONGEST_FRAME - 6:
            raise ValueError(f"expected at most 250 bytes in the reply to {poll.id}, found {self._size}")
        self._named = [_named(register, poll, endian) for register in poll.registers]
        self.described = (
            f"{poll.id} (slave {poll.slave or 'any'}, function {poll.function}, {poll.count} from {poll.start})"
        )

    def asks(self, request: _Request) -> bool:
        """Whether this request is this poll."""
        return self.slave in (_ANY_SLAVE, request.slave) and (self.function, self._start, self._count) == (
            request.function,
            request.start,
            request.number,
        )

    def fits(self, slave: int, function: int, size: int) -> bool:
        return self.slave in (_ANY_SLAVE, slave) and (self.function, self._size) == (function, size)

    def registers(self, slave: int, data: bytes) -> dict[str, Any]:
        out: dict[str, Any] = {"poll": self.id, "slave": slave, "function": self.function}
        self.fill(out, self._start, self._count, data)
        return out

    def fill(self, out: dict[str, Any], start: int, count: int, data: bytes) -> None:
        """Put in the registers that lie wholly in this run of them."""
        if len(data) < _data_bytes(self.function, count):
            return
        unit = 1 if self._bits else 2
        for at, width, fill in self._named:
            if start <= at and at + width <= start + count:
                fill(out, data, (at - start) * unit)


def _named(register: Register, poll: ModbusPoll, endian: str) -> _Named:
    if (register.type == "coil") != (poll.function in _COILS):
        raise ValueError(
            f"expected type: coil of {register.name} with function 1 or 2 and with no other, "
            f"found {register.type} with function {poll.function}"
        )
    width, fill = _coil(register.name) if register.type == "coil" else _register(register, endian)
    if register.at < poll.start or register.at + width > poll.start + poll.count:
        raise ValueError(
            f"expected {register.name} within {poll.start} to {poll.start + poll.count - 1} of the poll {poll.id}, "
            f"found {register.at} to {register.at + width - 1}"
        )
    return _Named(register.at, width, fill)


def _coil(name: str) -> tuple[int, _Fill]:
    def fill(out: dict[str, Any], data: bytes, bit: int) -> None:
        out[name] = bool(data[bit >> 3] >> (bit & 7) & 1)

    return 1, fill


def _switch(name: str) -> tuple[int, _Fill]:
    """A register that is 0 or anything else."""

    def fill(out: dict[str, Any], data: bytes, at: int) -> None:
        out[name] = data[at : at + 2] != b"\0\0"

    return 1, fill


def _register(register: Register, endian: str) -> tuple[int, _Fill]:
    field = StructField(
        name=register.name,
        type=register.type,
        size=register.size,
        endian=register.endian,
        bits=register.bits,
        flags=register.flags,
    )
    if not is_fixed(field):
        raise ValueError(f"expected a number, or a size, for the register {register.name}, found {register.type}")
    if register.type == "bool":
        return _switch(register.name)
    step, size = fixed_run([field], endian), packed(field, endian).size
    # An odd number of bytes leaves the upper half of a register empty.
    skip = size % 2 if is_number(field.type) and (register.endian or endian) in ("big", "word_swapped") else 0
    return (size + 1) // 2, _filled(step, skip)


def _filled(step: Step, skip: int) -> _Fill:
    def fill(out: dict[str, Any], data: bytes, at: int) -> None:
        step(Reader(data, len(data), len(data)), at + skip, out)

    return fill
