"""Checks over frames and texts: sums, CRCs and length fields, verified on the way in and written on the way out.

A check that is written in digits is a number with its highest digit first, unless its `endian: little` is said. A line
end behind such a text belongs to the transport and counts for nothing.
"""

from __future__ import annotations

import binascii
import functools
import operator
import struct
from collections.abc import Callable, Iterable
from typing import Final

from device_profiles.schema import Integrity
from gateway.decode.errors import DecodeError, shown

Checker = Callable[[bytes | str], bool]
"""True where the check holds, False where it does not and the profile accepts that; else raises DecodeError."""

LARGEST_LOOPED: Final = 1 << 16
"""Bytes over which a check is computed in a loop of Python's: more would take tens of milliseconds."""
_LINE_END: Final = b"\r\n"
_CODES: Final = {1: "B", 2: "H", 4: "I"}


def checker(check: Integrity) -> Checker:
    """Compile a check; raises ValueError for one that means nothing."""
    _require_sense(check)
    return _checker_of_bytes(check) if check.written == "binary" else _checker_of_text(check)


def put_checks(checks: Iterable[Integrity], frame: bytearray) -> None:
    """Write every check of a frame into its place; raises ValueError where there is none.

    Lengths first and then from front to back, because a check covers those that stand before it.
    """

    def place(check: Integrity) -> tuple[bool, int]:
        return check.kind != "length", _at(check, len(frame))

    for check in sorted(checks, key=place):
        _require_sense(check)
        at, width = _at(check, len(frame)), _field_width(check)
        if at < 0 or at + width > len(frame):
            raise ValueError(f"expected room for the {check.kind} at {check.offset}, found {len(frame)} bytes")
        said = _said(check, _computed(check)(bytes(frame), at))
        if len(said) != width:
            raise ValueError(f"expected a {check.kind} that fits {width} bytes, found {said!r}")
        frame[at : at + width] = said


def crc16_modbus(data: bytes) -> int:
    """CRC-16/MODBUS: 0xA001 reflected, from 0xFFFF."""
    crc, table = 0xFFFF, _reflected_table()
    for byte in _bounded(data):
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc


def crc16_hj212(data: bytes) -> int:
    """HJ 212-2017, annex A: like CRC-16/MODBUS, but a byte meets the upper half of the register; the lower is lost."""
    crc, table = 0xFFFF, _reflected_table()
    for byte in _bounded(data):
        crc = table[(crc >> 8) ^ byte]
    return crc


def _crc16_ccitt(data: bytes) -> int:
    return binascii.crc_hqx(data, 0xFFFF)


def _crc16_xmodem(data: bytes) -> int:
    return binascii.crc_hqx(data, 0)


def _xor8(data: bytes) -> int:
    return functools.reduce(operator.xor, _bounded(data), 0)


_SUMS: Final[dict[str, Callable[[bytes], int]]] = {
    "sum8": lambda data: sum(data) & 0xFF,
    "sum16": lambda data: sum(data) & 0xFFFF,
    "xor8": _xor8,
    "crc16_modbus": crc16_modbus,
    "crc16_ccitt": _crc16_ccitt,
    "crc16_xmodem": _crc16_xmodem,
    "crc16_hj212": crc16_hj212,
}
_BYTES_GIVEN: Final = {"sum8": 1, "xor8": 1}


@functools.cache
def _reflected_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


def _bounded(data: bytes) -> bytes:
    if len(data) > LARGEST_LOOPED:
        raise DecodeError(
            "too_large", field="integrity", found=f"{len(data)} bytes", expected=f"at most {LARGEST_LOOPED} to check"
        )
    return data


# --- compiled --------------------------------------------------------------------------------------------------------


def _require_sense(check: Integrity) -> None:
    if check.kind.startswith("crc16") and check.width < 2:
        raise ValueError(f"expected size: 2 or 4 for {check.kind}, found {check.width}")
    if check.start < 0 or check.counts_from < 0 or check.counts_to < 0:
        raise ValueError(f"expected start, counts_from and counts_to of at least 0 in {check.kind}, found less")


def _checker_of_bytes(check: Integrity) -> Checker:
    """As it runs for every frame: no more calls than needed."""
    read = struct.Struct(("<" if check.endian == "little" else ">") + _CODES[check.width]).unpack_from
    compute, offset, width, kind = _computed(check), check.offset, check.width, check.kind
    reject = check.on_failure == "reject"
    summed = kind == "sum16" and check.end is None
    start, uncounted = check.start, check.counts_from + check.counts_to if kind == "length" else -1

    def holds(frame: bytes | str) -> bool:
        if type(frame) is not bytes:
            raise DecodeError("wrong_type", field=kind, found=shown(frame), expected="bytes to check")
        size = len(frame)
        at = offset if offset >= 0 else size + offset
        if at < 0 or at + width > size:
            raise DecodeError("truncated", field=kind, found=f"{size} bytes", expected=f"a {kind} at {offset}")
        (stated,) = read(frame, at)
        if summed:
            real = sum(frame[start:at]) & 0xFFFF
        elif uncounted >= 0:
            real = size - uncounted
        else:
            real = compute(frame, at)
        if stated == real:
            return True
        if reject:
            raise DecodeError("integrity", field=kind, found=f"{stated:#06x}", expected=f"{real:#06x}")
        return False

    return holds


def _checker_of_text(check: Integrity) -> Checker:
    compute, width, kind = _computed(check), _field_width(check), check.kind
    reject = check.on_failure == "reject"

    def holds(text: bytes | str) -> bool:
        raw = _as_bytes(text, kind).rstrip(_LINE_END)
        at = _at(check, len(raw))
        if at < 0 or at + width > len(raw):
            raise DecodeError("truncated", field=kind, found=shown(text), expected=f"a {kind} at {check.offset}")
        stated, real = raw[at : at + width], _said(check, compute(raw, at))
        if stated.upper() == real:
            return True
        if reject:
            raise DecodeError("integrity", field=kind, found=shown(stated.decode("latin-1")), expected=real.decode())
        return False

    return holds


def _as_bytes(text: bytes | str, kind: str) -> bytes:
    if isinstance(text, bytes):
        return text
    if isinstance(text, str):
        return text.encode("utf-8", "surrogatepass")
    raise DecodeError("wrong_type", field=kind, found=shown(text), expected="a text to check")


def _computed(check: Integrity) -> Callable[[bytes, int], int]:
    """What the check field at this offset must hold."""
    if check.kind == "length":
        uncounted = check.counts_from + check.counts_to
        return lambda frame, _: len(frame) - uncounted
    start, end, summed = check.start, check.end, _SUMS[check.kind]
    mask = (1 << 8 * min(check.width, _BYTES_GIVEN.get(check.kind, 2))) - 1
    if check.kind in ("sum8", "sum16") and end is None:
        return lambda frame, at: sum(frame[start:at]) & mask
    return lambda frame, at: summed(frame[start : at if end is None else end]) & mask


def _at(check: Integrity, size: int) -> int:
    return check.offset if check.offset >= 0 else size + check.offset


def _field_width(check: Integrity) -> int:
    return check.width * (1 if check.written == "binary" else 2)


def _said(check: Integrity, value: int) -> bytes:
    """The check field that says this value; digits in upper case, and more of them where it does not fit."""
    width = check.width
    if check.written == "decimal":
        return f"{value:0{2 * width}}".encode()
    if check.written == "binary":
        return value.to_bytes(max(width, (value.bit_length() + 7) // 8), check.endian)
    digits = f"{value:0{2 * width}X}"
    if "endian" in check.model_fields_set and check.endian == "little" and len(digits) == 2 * width:
        digits = bytes.fromhex(digits)[::-1].hex().upper()
    return digits.encode()
