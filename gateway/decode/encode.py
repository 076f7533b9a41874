"""A binding run backwards: values of a device and its children -> the message its profile decodes into them.

For the simulator and for tests. It is the inverse of the value pipeline as far as there is one: `replace` and lossy
casts have none, and a binary field keeps only its resolution.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import msgspec

from device_profiles.schema import Binding, Codec, DeviceProfile, Each, FieldMap, When
from gateway.decode.compile import DEFAULT_ADDRESS, effective_codecs
from gateway.decode.fields import zipped_path
from gateway.decode.frame_encode import encode_frame
from gateway.decode.paths import Path, parse_path
from gateway.decode.pipeline import UNSAID, factors
from gateway.decode.templates import parse_template
from gateway.decode.topics import Pattern, parse_topic
from gateway.reading import Millis, Presence, Value, child_kind

ChildValues = Mapping[str, Mapping[str, Value]]
"""Child id ("" for the device itself) -> values."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode(
    profile: DeviceProfile,
    binding_id: str,
    address: str,
    child_values: ChildValues,
    *,
    at: Millis,
    zone: tzinfo = UTC,
    captures: Mapping[str, str] | None = None,
    raw: Mapping[str, Any] | None = None,
    presence: Presence = Presence.UNSAID,
) -> list[tuple[str, bytes]]:
    """The messages (topic, payload) that decode to these values; raises ValueError where there is no way back.

    A binding that speaks of one child per message gives one message per child. `raw` holds payload fields that no
    metric or state does; `captures` likewise parts of the topic.
    """
    binding = next((binding for binding in profile.bindings if binding.id == binding_id), None)
    if binding is None:
        raise ValueError(f"expected a binding of {profile.id}, found {binding_id!r}")
    single = next((each for each in binding.each if each.over is None and not each.zip), None)
    if single is None:
        return [_Message(binding, address, captures, at, zone).write(child_values, None, raw, presence)]
    return [
        _Message(binding, address, captures, at, zone).write(child_values, (single, child), raw, presence)
        for child in child_values
        if child_kind(child) == single.child
    ]


class _Message:
    """One message under construction."""

    def __init__(
        self, binding: Binding, address: str, captures: Mapping[str, str] | None, at: Millis, zone: tzinfo
    ) -> None:
        self._binding = binding
        self._pattern: Pattern = parse_topic(binding.topic)
        self._captures = dict(captures or {})
        self._root: Any = None
        self._at = at
        self._zone = zone
        self._codecs = effective_codecs(binding)
        self._fill_slots(binding.address or DEFAULT_ADDRESS, address)
        for name in self._pattern.captures - self._captures.keys():
            self._captures[name] = address  # a bridge's own name for the device: its address serves

    def write(
        self,
        values: ChildValues,
        single: tuple[Each, str] | None,
        raw: Mapping[str, Any] | None,
        presence: Presence,
    ) -> tuple[str, bytes]:
        binding = self._binding
        for when in binding.when[:1]:
            self._satisfy(when)
        for path, value in (raw or {}).items():
            self._put(parse_path(path), value)
        if binding.time is not None:
            self._put(parse_path(binding.time.path or ""), _said_time(binding.time.format, self._at, self._zone))
        self._put_fields(binding.fields, values.get("", {}), Path("", (), False), ())
        for each in binding.each:
            if single is not None and each is single[0]:
                self._put_single(each, single[1], values)
            elif each.over is not None or each.zip:
                self._put_many(each, values)
        if binding.presence and presence is not Presence.UNSAID:
            self._put_presence(presence)
        return self._pattern.fill(self._captures), self._payload()

    # --- parts of a message ------------------------------------------------------------------------------------------

    def _fill_slots(self, template: str, filled: str, base: tuple[str | int, ...] = ()) -> None:
        for name, text in parse_template(template).invert(filled).items():
            if name in self._pattern.captures:
                self._captures[name] = text
            elif name not in ("index", "key"):
                path = parse_path(name)
                segments = path.segments if path.absolute else (*base, *path.segments)
                self._put(Path(name, segments, True), int(text) if text.isascii() and text.isdigit() and base else text)

    def _satisfy(self, when: When) -> None:
        wanted = when.equals if when.equals is not None else when.one_of[0] if when.one_of else None
        if wanted is None:
            return
        if when.capture is not None:
            self._captures[when.capture] = str(wanted)
        elif when.path is not None:
            self._put(parse_path(when.path), wanted)

    def _put_fields(
        self, fields: Mapping[str, FieldMap], values: Mapping[str, Value], base: Path, zipped: tuple[str, ...]
    ) -> None:
        for name, field in fields.items():
            if field.const is not None or name not in values:
                continue
            found = unsettle(name, field, values[name])
            if found is UNSAID:
                continue
            if field.capture is not None:
                self._captures[field.capture] = str(found)
                continue
            path = zipped_path(field.path or "", zipped)
            if zipped and path.segments and path.segments[0] in zipped:
                array = parse_path(str(path.segments[0]))
                self._put(Path("", (*array.segments, *base.segments, *path.segments[1:]), True), found)
            else:
                segments = path.segments if path.absolute else (*base.segments, *path.segments)
                self._put(Path("", segments, True), found)

    def _put_single(self, each: Each, child: str, values: ChildValues) -> None:
        key = child.partition(":")[2]
        slots = parse_template(each.key).invert(key)
        for name, text in slots.items():
            if name in self._pattern.captures:
                self._captures[name] = text
            else:
                self._put(parse_path(name), _number_or_text(text))
        self._put_fields(each.fields, values[child], Path("", (), False), ())

    def _put_many(self, each: Each, values: ChildValues) -> None:
        children = [child for child in values if child_kind(child) == each.child]
        over = parse_path(each.over).segments if each.over is not None else ()
        if not children:
            return
        for position, child in enumerate(children):
            slots = parse_template(each.key).invert(child.partition(":")[2])
            place: tuple[str | int, ...] = (*over, int(slots.get("index", position)))
            if "key" in slots:
                place = (*over, slots["key"])
            for name, text in slots.items():
                if name not in ("index", "key"):
                    path = parse_path(name)
                    self._put(Path("", (*place, *path.segments), True), _number_or_text(text))
            base = Path("", place[len(over) :] if each.zip else place, True)
            self._put_fields(each.fields, values[child], base, each.zip)

    def _put_presence(self, presence: Presence) -> None:
        words = [word for word, meaning in (self._binding.presence or {}).items() if meaning == presence.value]
        if not words:
            raise ValueError(f"expected a word for {presence.value} in {self._binding.id}, found none")
        word = presence.value if presence.value in words else words[0]
        self._put(parse_path(self._binding.presence_path or ""), word)

    def _put(self, path: Path, value: Any) -> None:
        self._root = _placed(self._root, path.segments, value)

    # --- codecs backwards --------------------------------------------------------------------------------------------

    def _payload(self) -> bytes:
        literal = next((when.text for when in self._binding.when if when.text is not None), None)
        if literal is not None:
            return literal.encode()
        value: Any = self._root
        for codec in reversed(self._codecs):
            value = _uncoded(codec, value, next(iter(self._binding.when), None))
        return value if isinstance(value, bytes) else str(value).encode()


def _uncoded(codec: Codec, value: Any, when: When | None) -> Any:
    if codec.json_:
        return msgspec.json.encode(value if value is not None else {})
    if codec.text:
        if value is None:
            return b""
        return (_word(value) if not isinstance(value, bytes) else value.decode()).encode()
    if codec.hex:
        return bytes(value).hex().encode()
    if codec.base64:
        return base64.b64encode(bytes(value))
    if codec.struct is None:
        raise ValueError("expected one key in each codec")
    return encode_frame(codec.struct, value if isinstance(value, dict) else {}, when)


def _placed(node: Any, segments: tuple[str | int, ...], value: Any) -> Any:
    """`node` with `value` at `segments`; objects and arrays on the way are made."""
    if not segments:
        return value
    head, rest = segments[0], segments[1:]
    if isinstance(head, int):
        items = node if isinstance(node, list) else []
        items.extend([None] * (head + 1 - len(items)))
        items[head] = _placed(items[head], rest, value)
        return items
    members = node if isinstance(node, dict) else {}
    members[head] = _placed(members.get(head), rest, value)
    return members


def unsettle(name: str, field: FieldMap, value: Value) -> Any:
    """The raw value that the pipeline turns into `value`; raises ValueError where there is none."""
    if value is None:
        return field.sentinel[0] if field.sentinel else None
    found: Any = value
    if field.map is not None:
        keys = [key for key, target in field.map.items() if target == value]
        if not keys and field.unlisted == "skip":
            return UNSAID
        if not keys:
            raise ValueError(f"expected a value that the map of {name} gives, found {value!r}")
        found = _raw_key(keys[0])
    if isinstance(found, int | float) and not isinstance(found, bool):
        found = _unscaled(field, float(found))
    if field.strip is not None:
        found = f"{_word(found)}{field.strip}"
    return found


def _unscaled(field: FieldMap, number: float) -> float | int:
    if field.linear is not None:
        raw_low, raw_high, low, high = field.linear
        number = raw_low + (number - low) * (raw_high - raw_low) / (high - low)
    multiply, divide = factors(field.scale)
    number = float(f"{(number - field.offset) * divide / multiply:.12g}")
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _raw_key(key: str) -> Any:
    """A map's key as devices send it: true, 3, charging."""
    if key in ("true", "false"):
        return key == "true"
    return _number_or_text(key)


def _number_or_text(text: str) -> int | str:
    number = text.removeprefix("-")
    plain = number.isascii() and number.isdigit() and len(number) < 15 and (number == "0" or number[0] != "0")
    return int(text) if plain else text


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _said_time(format: str, at: Millis, zone: tzinfo) -> Any:
    if format == "unix_ms":
        return at
    if format == "unix_s":
        return at / 1000
    moment = (_EPOCH + timedelta(milliseconds=at)).astimezone(zone)
    return moment.isoformat(timespec="milliseconds") if format == "iso" else moment.strftime(format)
