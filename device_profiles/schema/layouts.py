"""Layouts of what is no JSON: binary frames, TLV, Modbus registers, and text in columns, pairs or patterns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from device_profiles.schema.base import Duration, Identifier, Part

Endian = Literal["little", "big", "word_swapped", "byte_swapped"]
"""Order of the bytes of a number. With ABCD as big and DCBA as little, `word_swapped` is CDAB (big words, low word
first) and `byte_swapped` is BADC (little words, high word first)."""

HexKey = str
"""Hex digits of a key; `?` stands for any one digit."""


class Bits(Part):
    """A part of a number: `width` bits from bit `start` (0 is the lowest)."""

    start: int = Field(ge=0, le=63)
    width: int = Field(1, ge=1, le=64)


class StructField(Part):
    """One field of a struct layout.

    `type` is a number (u8 i8 u16 i16 u24 i24 u32 i32 u48 u64 i64 f16 f32 f64), bool (one byte), bcd, ascii, text, hex,
    skip, group or switch.

    `hex` gives upper-case digits in wire order, reversed only where the field itself says `endian: little`. A check at
    the frame's end belongs to no field: fields and optional tails end before it.
    """

    name: str | None = None
    type: str
    size: int | str | None = None
    """Bytes, for bcd, ascii, text, hex and skip: a number, the name of an earlier field that holds it, or "*" for all
    that is left."""
    prefix: Literal["u8", "u16", "u32"] | None = None
    """Instead of `size`: the bytes are preceded by their number."""
    encoding: Literal["ascii", "utf-8", "gbk"] = "utf-8"
    """Of `text`."""
    endian: Endian | None = None
    const: str | int | None = None
    """What must stand here (hex digits for hex, else the value); another value is a DecodeError."""
    count: int | str | None = None
    """Repeat: a number, the name of an earlier field, or "*" until the frame ends. The field then decodes to an
    array."""
    fields: tuple[StructField, ...] = ()
    """The members of a `group`, repeated together."""
    on: str | None = None
    """Of `switch`: the earlier field (of this group or of those around it) that chooses."""
    cases: dict[str, tuple[StructField, ...]] = {}
    """Of `switch`: value of that field, in decimal or as 0x.., or "*" for any other -> the fields that follow. They
    decode into the same object."""
    bits: dict[str, Bits] = {}
    """Names for parts of an unsigned number; each becomes a value beside it."""
    flags: tuple[str | None, ...] = ()
    """Names of its bits from the lowest; null for one that means nothing. Each becomes true or false beside it."""
    optional: bool = False
    """May be absent at the end of the frame, together with all that follows."""


class Integrity(Part):
    """A check over a frame or a text. All of the bytes from `start` up to the check field are covered.

    `sum8`, `sum16`: additive; `xor8`; `crc16_modbus` (0xA001 reflected, from 0xFFFF), `crc16_ccitt` (0x1021 from
    0xFFFF), `crc16_xmodem` (0x1021 from 0), `crc16_hj212` (HJ 212-2017, annex A); `length`: the number of bytes from
    `counts_from` on to the end (or to `counts_to`).
    """

    kind: Literal["sum8", "sum16", "xor8", "crc16_modbus", "crc16_ccitt", "crc16_xmodem", "crc16_hj212", "length"]
    at: int | None = None
    """Offset of the check field; negative counts from the end. Default: at the end."""
    size: Literal[1, 2, 4] | None = None
    """Bytes of the check field. Default: what the kind gives; 2 for length."""
    written: Literal["binary", "hex", "decimal"] = "binary"
    """Whether the check stands in the frame as bytes, or as hex or decimal digits of a text (4 digits for 2 bytes, the
    highest first unless `endian: little` is said). A line end behind such a text counts for nothing."""
    endian: Literal["little", "big"] = "little"
    start: int = 0
    end: int | None = None
    """Where the covered bytes end, negative from the end; default: at the check field."""
    counts_from: int = 0
    counts_to: int = 0
    """For `length`: bytes at the end that are not counted, as a number of them."""
    on_failure: Literal["reject", "accept_flagged"] = "reject"

    @property
    def width(self) -> int:
        """Bytes of the value that is checked (as digits of a text it takes twice as many)."""
        return self.size or (1 if self.kind in ("sum8", "xor8") else 2)

    @property
    def offset(self) -> int:
        """Where the check field stands; negative from the end."""
        if self.at is not None:
            return self.at
        return -self.width * (1 if self.written == "binary" else 2)


class StructLayout(Part):
    endian: Endian = "little"
    integrity: tuple[Integrity, ...] = ()
    fields: tuple[StructField, ...]
    tail: Literal["reject", "ignore"] = "reject"


class TlvEntry(Part):
    """What follows one key. The fields decode into the frame's object; with `into`, into an object of that name."""

    fields: tuple[StructField, ...] = ()
    into: str | None = None
    many: bool = False
    """The key may come again: `into` then holds an array."""
    key_as: str | None = None
    """Where the key has `?` digits: the name under which their value stands in the object."""


class TlvLayout(Part):
    """Key, value, key, value to the end of the frame."""

    key_bytes: int = Field(2, ge=1, le=4)
    length_bytes: Literal[0, 1, 2] = 0
    """A length between key and value; with it, an unknown key can be stepped over."""
    endian: Endian = "little"
    integrity: tuple[Integrity, ...] = ()
    skip: int = 0
    """Bytes before the first key."""
    entries: dict[HexKey, TlvEntry]
    """Key as hex digits -> what follows it, e.g. "0175"."""
    unknown: Literal["flag", "reject", "skip"] = "flag"
    """An unknown key: keep what was read so far and mark the reading suspect, refuse the frame, or (with a length)
    step over it."""


class Register(Part):
    """One value in a run of Modbus registers (16 bits each) or of coils (1 bit each)."""

    name: str
    at: int = Field(ge=0, le=65535)
    """Address of its first register or coil, as requests name it (from 0)."""
    type: str = "u16"
    """As of a StructField; `coil` for one bit."""
    size: int | None = None
    """Bytes, for bcd, ascii, text and hex."""
    endian: Endian | None = None
    bits: dict[str, Bits] = {}
    flags: tuple[str | None, ...] = ()


class ModbusPoll(Part):
    """One request and how its reply reads."""

    id: Identifier
    slave: int = Field(1, ge=0, le=247)
    """0: whichever answers, where somebody else polls."""
    function: Literal[1, 2, 3, 4] = 3
    start: int = Field(ge=0, le=65535)
    count: int = Field(ge=1, le=2000)
    every: Duration | None = None
    """How often the gateway asks. None: somebody else does (a DTU that polls by itself)."""
    registers: tuple[Register, ...]


class ModbusLayout(Part):
    """Modbus RTU frames: address, function, data, CRC.

    A reply says neither which registers it holds nor who asked. It is matched by slave, function and byte count to the
    last request seen on this line or sent by the gateway; where one poll alone fits, to that one. The decoded object
    has `poll` (its id), `slave`, `function`, and the registers by name; an exception reply has `exception` (its code).
    A request is recognised as such and says nothing.
    """

    endian: Endian = "big"
    polls: tuple[ModbusPoll, ...]
    request_topic: str | None = None
    """Where the gateway sends its requests: a template over the captures, for polls with `every`."""
    crc: bool = True
    """False where the DTU has already taken the CRC off."""


class Column(Part):
    """One value in a line of fixed columns: characters `start` up to, and not including, `end`."""

    name: str
    start: int
    end: int | None = None


class Csv(Part):
    """Text with a separator."""

    separator: str = Field(",", min_length=1, max_length=8)
    columns: tuple[str | None, ...] = ()
    """Names, in order; null for one that means nothing. Without names, an array."""
    rows: bool = False
    """Every line is a row: the result is an array of them."""
    header: bool = False
    """The first line names the columns."""
    quote: str | None = None
    """The character that encloses values with separators inside."""


class Pairs(Part):
    """Text of `key=value` pairs."""

    between: str = Field(",", min_length=1, max_length=8)
    """Any of these characters ends a pair."""
    equals: str = Field("=", min_length=1, max_length=4)
    nest: str | None = None
    """A separator inside keys: with "-", `a-Rtd=1,a-Flag=N` becomes {a: {Rtd: 1, Flag: N}}."""


class Xml(Part):
    """XML as an object with the root element as its one key: namespaces stripped, attributes as "@name", text beside
    attributes or children as "#text"."""

    lists: tuple[str, ...] = ()
    """Elements that are an array even where there is only one."""


class Pivot(Part):
    """An array of {name, value} objects (or a single one) becomes one object: the first value of a name counts unless
    `last`. `name` and `value` are paths of the element."""

    name: str = "name"
    value: str = "value"
    last: bool = True


class Match(Part):
    """A regular expression (RE2: linear time, no look-around, no back references) with named groups. The whole text
    must match unless `search`."""

    pattern: str = Field(min_length=1, max_length=1000)
    search: bool = False


class Sparkplug(Part):
    """Sparkplug B payloads. `node` names the edge node whose births give aliases their names: a template over the
    topic's captures.

    The decoded object has `timestamp`, `seq`, `metrics` (an array of name, value, timestamp, datatype, is_null,
    is_historical, and properties where it has some) and `values` (name -> value; what is no history counts first),
    `type`, `gap` (how many messages of the node are missing before this one) where there is one, and `historical`
    where all metrics are. A data message none of whose aliases has been named is refused; where some are, it is kept
    and suspect. A death of an earlier session than the last birth's says nothing.
    """

    node: str = "{group}/{node}"
    device: str = ""
    """Template that names the device below the node, on D-messages."""
    type: str = "{type}"
    """Template that gives the message type: NBIRTH, NDEATH, DBIRTH, DDEATH, NDATA, DDATA, NCMD, DCMD, STATE."""


class Codec(Part):
    """One step of a codec chain; exactly one kind is given, and `at` where it works inside what is decoded so far.

    `json`, `text`, `hex`, `base64`, `json_string`: as named (`json_string` reads a text that holds JSON).
    `json_scalar`: a bare number, true, false, null or quoted text; any other text is a word.
    """

    json_: bool | None = Field(None, alias="json")
    json_scalar: bool | None = None
    json_string: bool | None = None
    text: bool | None = None
    hex: bool | None = None
    base64: bool | None = None
    xml: Xml | bool | None = None
    csv: Csv | None = None
    fixed: tuple[Column, ...] | None = None
    pairs: Pairs | None = None
    regex: Match | None = None
    pivot: Pivot | None = None
    check: Integrity | None = None
    """Looks at bytes or text and hands them on unchanged."""
    struct: StructLayout | None = None
    tlv: TlvLayout | None = None
    modbus: ModbusLayout | None = None
    sparkplug_b: Sparkplug | bool | None = None
    at: str | None = None
    """Path of the value that this step reads and replaces; what is missing there stays missing. Default: everything."""
