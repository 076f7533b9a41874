"""A binding run backwards: values of a device and its children -> the message its profile decodes into them.

For the simulator and for tests. It is the inverse of the value pipeline as far as there is one: `replace` and lossy
casts have none, and a binary field keeps only its resolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from device_profiles.schema import Binding, DeviceProfile, Each, FieldMap, Split, Time, When, paths_of
from gateway.decode.compile import DEFAULT_ADDRESS, effective_codecs
from gateway.decode.encode_codecs import uncoded, word
from gateway.decode.fields import zipped_path
from gateway.decode.paths import Filter, Path, Segment, lenient_getter, literal, parse_path
from gateway.decode.pipeline import UNSAID, factors
from gateway.decode.templates import POSITIONS, parse_template
from gateway.decode.topics import Pattern, parse_topic
from gateway.reading import Millis, Presence, Value, child_kind

ChildValues = Mapping[str, Mapping[str, Value]]
"""Child id ("" for the device itself) -> values."""
Segments = tuple[Segment, ...]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Mapping[str, float | int] = {"unix_s": 1e-3, "unix_ms": 1, "unix_us": 1000, "unix_ns": 1_000_000}
"""How many of them a millisecond has."""


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
        self._zipped: list[Segments] = []
        """The parallel arrays of a split: each gets one value."""
        self._split_captures = {split.capture for split in binding.split}
        self._base = self._only_element(binding.split, address)
        self._fill_slots(binding.address or DEFAULT_ADDRESS, address)
        for name in self._pattern.captures - self._captures.keys():
            self._captures[name] = address  # a bridge's own name for the device: its address serves

    def _only_element(self, splits: tuple[Split, ...], address: str) -> Segments:
        """Where the element stands in a message that could hold many and holds one."""
        slots = parse_template(self._binding.address or DEFAULT_ADDRESS)
        base: Segments = ()
        for split in splits:
            if split.over is None:
                self._zipped = [(*base, *parse_path(array).segments) for array in split.zip]
                continue
            base = (*base, *parse_path(split.over).segments)
            named = split.capture is not None and split.capture in {slot.name for slot in slots.slots}
            if split.named is not None:
                base = (*base, 0)
                name = slots.invert(address)[split.capture or ""] if named else self._captures.get(split.capture or "")
                if name is not None:
                    self._set((*base, *parse_path(split.named).segments), name)
            elif named and split.capture is not None:
                base = (*base, slots.invert(address)[split.capture])
            elif split.elements == "keys":
                base = (*base, self._captures.get(split.capture or "", address))
            elif split.elements == "auto":
                base = (*base, 0)
        return base

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
            self._put_time(binding.time)
        self._put_fields(binding.fields, values.get("", {}), self._base, ())
        for each in binding.each:
            if single is not None and each is single[0]:
                self._put_single(each, single[1], values)
            elif each.over is not None or each.zip:
                self._put_many(each, values)
        if binding.presence and presence is not Presence.UNSAID:
            self._put_presence(presence)
        return self._pattern.fill(self._captures), self._payload()

    def _put_time(self, time: Time) -> None:
        said = _said_time(time, self._at, self._zone)
        if time.capture is not None:
            self._captures[time.capture] = word(said)
            return
        pieces = str(said).split(" ") if time.join else [said]
        paths = time.join or paths_of(time.path)[:1] or ("",)
        if len(pieces) != len(paths):
            raise ValueError(f"expected {len(paths)} pieces of a time, found {said!r}")
        for path, piece in zip(paths, pieces, strict=True):
            self._put(parse_path(path), piece)

    # --- parts of a message ------------------------------------------------------------------------------------------

    def _fill_slots(self, template: str, filled: str) -> None:
        for name, text in parse_template(template).invert(filled).items():
            if name in self._pattern.captures:
                self._captures[name] = text
            elif name not in self._split_captures:
                self._put(parse_path(name), text)

    def _satisfy(self, when: When, base: Segments | None = None) -> None:
        """Make the message one of which `when` holds, as far as it says what must stand somewhere. Without a base it
        speaks of the whole payload."""
        for part in (*when.all_of, *when.any_of[:1]):
            self._satisfy(part, base)
        wanted = when.equals if when.equals is not None else when.one_of[0] if when.one_of else None
        if wanted is None:
            return
        if when.capture in self._split_captures:
            raise ValueError(f"expected a message of one element, found what depends on its key {when.capture!r}")
        if when.capture is not None:
            self._captures[when.capture] = str(wanted)
        elif when.path is not None:
            path = parse_path(paths_of(when.path)[0])
            segments = path.segments if path.absolute or base is None else (*base, *path.segments)
            self._demand(segments, wanted)

    def _demand(self, segments: Segments, wanted: Any) -> None:
        held = lenient_getter(Path("", segments, True))(self._root)
        if held is not None and literal(held) != literal(wanted):
            raise ValueError(f"expected one value at {segments}, found that it must be both {held!r} and {wanted!r}")
        self._set(segments, wanted)

    def _put_fields(
        self, fields: Mapping[str, FieldMap], values: Mapping[str, Value], base: Segments, zipped: tuple[str, ...]
    ) -> None:
        for name, field in fields.items():
            if field.const is not None or name not in values:
                continue
            found = unsettle(name, field, values[name])
            if found is UNSAID:
                continue
            if field.when is not None:
                self._satisfy(field.when, base)
            if field.capture is not None:
                self._captures[field.capture] = str(found)
                continue
            path = zipped_path(paths_of(field.path)[0], zipped)
            if zipped and path.segments and path.segments[0] in zipped:
                array = parse_path(str(path.segments[0]))
                start = () if array.absolute else self._base
                self._set((*start, *array.segments, *base, *path.segments[1:]), found)
            else:
                self._set(path.segments if path.absolute else (*base, *path.segments), found)

    def _put_single(self, each: Each, child: str, values: ChildValues) -> None:
        if each.when is not None:
            self._satisfy(each.when, self._base)
        for name, text in parse_template(each.key).invert(child.partition(":")[2]).items():
            if name in self._pattern.captures:
                self._captures[name] = text
            else:
                self._put(parse_path(name), _number_or_text(text))
        self._put_fields(each.fields, values[child], self._base, ())

    def _put_many(self, each: Each, values: ChildValues) -> None:
        children = [child for child in values if child_kind(child) == each.child]
        over = parse_path(each.over or "")
        start = over.segments if over.absolute else (*self._base, *over.segments)
        for position, child in enumerate(children):
            slots = parse_template(each.key).invert(child.partition(":")[2])
            at: Segments = (slots["key"],) if "key" in slots else (int(slots.get("index", position)),)
            if each.elements == "one" and len(children) == 1:
                at = ()
            base = at if each.zip else (*start, *at)
            for name, text in slots.items():
                if name not in POSITIONS:
                    self._set((*base, *parse_path(name).segments), _number_or_text(text))
            if each.when is not None:
                self._satisfy(each.when, base)
            self._put_fields(each.fields, values[child], base, each.zip)

    def _put_presence(self, presence: Presence) -> None:
        words = [word for word, meaning in (self._binding.presence or {}).items() if meaning == presence.value]
        if not words:
            raise ValueError(f"expected a word for {presence.value} in {self._binding.id}, found none")
        word = presence.value if presence.value in words else words[0]
        self._put(parse_path(next(iter(paths_of(self._binding.presence_path)), "")), word)

    def _put(self, path: Path, value: Any) -> None:
        self._set(path.segments if path.absolute else (*self._base, *path.segments), value)

    def _set(self, segments: Segments, value: Any) -> None:
        for array in self._zipped:
            if segments[: len(array)] == array:
                segments = (*array, 0, *segments[len(array) :])
        self._root = _placed(self._root, segments, value)

    # --- codecs backwards --------------------------------------------------------------------------------------------

    def _payload(self) -> bytes:
        literal = next((when.text for when in self._binding.when if when.text is not None), None)
        if literal is not None:
            return literal.encode()
        value: Any = self._root
        for codec in reversed(self._codecs):
            value = uncoded(codec, value, next(iter(self._binding.when), None))
        return value if isinstance(value, bytes) else str(value).encode()


def _placed(node: Any, segments: Segments, value: Any) -> Any:
    """`node` with `value` at `segments`; objects and arrays on the way are made."""
    if not segments:
        return value
    head, rest = segments[0], segments[1:]
    if isinstance(head, Filter):
        return _placed_under(node if isinstance(node, list) else [], head, rest, value)
    if isinstance(head, int):
        items = node if isinstance(node, list) else []
        items.extend([None] * (head + 1 - len(items)))
        items[head] = _placed(items[head], rest, value)
        return items
    members = node if isinstance(node, dict) else {}
    members[head] = _placed(members.get(head), rest, value)
    return members


def _placed_under(items: list[Any], wanted: Filter, rest: Segments, value: Any) -> list[Any]:
    """The same in the element that a filter names, which is made where there is none."""
    if not wanted.equal:
        raise ValueError("expected a filter that says what an element is, found one that says what it is not")
    kind, text = wanted.wanted
    name = text == "true" if kind == "boolean" else _raw_key(text) if kind == "number" else text
    inner = Path("", wanted.inner, False)
    for i, item in enumerate(items):
        if literal(lenient_getter(inner)(item)) == wanted.wanted:
            items[i] = _placed(item, rest, value)
            return items
    items.append(_placed(_placed({}, wanted.inner, name), rest, value))
    return items


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
        found = f"{word(found)}{field.strip}"
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


def _said_time(time: Time, at: Millis, zone: tzinfo) -> Any:
    """The time as the device writes it; raises ValueError where it cannot."""
    if (units := _UNITS.get(time.format)) is not None:
        number = at * units
        return number if isinstance(number, int) or not number.is_integer() else int(number)
    if time.format == "seconds_ago":
        return 0
    moment = (_EPOCH + timedelta(milliseconds=at)).astimezone(zone)
    if time.format == "iso":
        return moment.isoformat(timespec="milliseconds")
    if "%Z" in time.format:
        moment = moment.astimezone(UTC)
    return moment.strftime(time.format)
