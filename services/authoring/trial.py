"""A profile tried on messages: what they become in words and units, or why they do not, and what was overlooked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any, NamedTuple

from device_profiles.mistakes import nearest
from device_profiles.schema import Binding, DeviceProfile, FieldMap, Text, paths_of
from gateway.decode import DecodeError, Decoder
from gateway.reading import Reading, Registry, Value
from services.authoring.capture import Message

_MOST_OVERLOOKED = 12
_DEEPEST = 8


class Row(NamedTuple):
    """One value of a reading, as people read it."""

    child: str
    name: str
    label: Text | None
    value: Value
    shown: Text
    flag: str
    """Its quality, where it is not good; "" otherwise."""


@dataclass(frozen=True)
class Outcome:
    """What one message became."""

    message: Message
    readings: list[Reading] = field(default_factory=list)
    error: DecodeError | None = None
    unread: tuple[str, ...] = ()
    """Keys of the payload that nothing in the binding reads."""
    absent: tuple[str, ...] = ()
    """Fields that found nothing, each with the nearest key where there is one."""
    hint: str = ""
    """What may be meant, where it did not decode."""


class Trial:
    """One version of a profile, with a decoder of its own. Raises ValueError for bindings that do not compile."""

    def __init__(self, profile: DeviceProfile, zone: tzinfo = UTC) -> None:
        self.profile = profile
        self._zone = zone
        self._decoder = Decoder([profile], Registry("trial", []), zone=zone)
        self._bindings = {binding.id: binding for binding in profile.bindings}

    @property
    def zone(self) -> tzinfo:
        """Where times without a zone are read."""
        return self._zone

    @property
    def filters(self) -> tuple[str, ...]:
        return self._decoder.filters

    def decode(self, message: Message) -> Outcome:
        """What this message becomes; never raises."""
        try:
            readings = self._decoder.decode(message.topic, message.payload, message.received_at, message.retained)
        except DecodeError as error:
            return self._refused(message, error)
        binding = self._bindings.get(readings[0].binding) if readings else None
        if binding is None:
            return Outcome(message, readings)
        unread, absent = overlooked(binding, message.payload, _given(readings))
        return Outcome(message, readings, unread=unread, absent=absent)

    def _refused(self, message: Message, error: DecodeError) -> Outcome:
        hint = _hint(self.profile, message, error)
        binding = self._bindings.get(error.binding)
        if binding is None or error.code not in ("nothing_known", "missing"):
            return Outcome(message, error=error, hint=hint)
        unread, absent = overlooked(binding, message.payload)
        return Outcome(message, error=error, unread=unread, absent=absent, hint=hint)


def rows_of(profile: DeviceProfile, reading: Reading) -> list[Row]:
    """Every value of a reading, then what was left out of it because it cannot be."""
    rows = [
        Row(reading.child, name, _label(profile, name), value, _shown(profile, name, value), _flag(reading, name))
        for name, value in reading.values.items()
    ]
    left_out = [name for name in reading.flags if name not in reading.values]
    rows += [
        Row(reading.child, name, _label(profile, name), None, Text(zh="–", en="–"), reading.flags[name].value)
        for name in left_out
    ]
    return rows


def _label(profile: DeviceProfile, name: str) -> Text | None:
    for section in (profile.metrics, profile.states, profile.events):
        if (part := section.get(name)) is not None:
            return part.name
    return None


def _shown(profile: DeviceProfile, name: str, value: Value) -> Text:
    if value is None:
        return Text(zh="已清除", en="erased")
    if (state := profile.states.get(name)) is not None and (word := state.values.get(str(value))) is not None:
        return Text(zh=word.zh, en=word.en)
    metric = profile.metrics.get(name)
    if metric is not None and isinstance(value, int | float) and not isinstance(value, bool):
        # Not rounded to the metric's decimals: here the question is what was decoded.
        number = f"{value:.6f}".rstrip("0").rstrip(".")
        text = f"{number} {metric.uom}".strip()
        return Text(zh=text, en=text)
    if isinstance(value, bool):
        return Text(zh="是" if value else "否", en="yes" if value else "no")
    return Text(zh=str(value), en=str(value))


def _given(readings: Sequence[Reading]) -> frozenset[str]:
    """The fields that found something: what became a value, and what is flagged."""
    return frozenset(name for reading in readings for name in (*reading.values, *reading.flags))


def _flag(reading: Reading, name: str) -> str:
    quality = reading.flags.get(name, reading.quality)
    return "" if quality.value == "good" else quality.value


# --- what was overlooked --------------------------------------------------------------------------------------------


def overlooked(
    binding: Binding, payload: bytes, given: frozenset[str] = frozenset()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(keys that nothing reads, fields that found nothing) of a JSON payload; empty for every other. Fields of `given`
    found something: what a later step of the chain makes of a text stands in no key of the payload itself."""
    try:
        root = json.loads(payload)
    except (ValueError, RecursionError, UnicodeDecodeError):
        return (), ()
    if not isinstance(root, dict | list):
        return (), ()
    present = set(_keys(root, 0))
    paths = dict(_paths(binding))
    read = {word for some in paths.values() for path in some for word in _words(path)}
    read |= set(_words(_other_words(binding)))
    ends = dict.fromkeys(key for key in _leaf_keys(root, 0) if key not in read)
    absent = [
        f"{name} ({', '.join(some)})" + nearest(missing[-1], present - read)
        for name, some in paths.items()
        if name not in given
        and len(missing := [_missing(path, present) for path in some if _missing(path, present)]) == len(some)
    ]
    return tuple(ends)[:_MOST_OVERLOOKED], tuple(absent)[:_MOST_OVERLOOKED]


def _missing(path: str, present: set[str]) -> str:
    """The first key of a path that nothing of the payload has; empty where it has all of them."""
    return next((word for word in _words(path) if word not in present), "")


def _keys(node: Any, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    for key, below in (
        node.items() if isinstance(node, dict) else enumerate(node[:50]) if isinstance(node, list) else ()
    ):
        if isinstance(key, str):
            yield key
        yield from _keys(below, depth + 1)


def _leaf_keys(node: Any, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    for key, below in (
        node.items() if isinstance(node, dict) else enumerate(node[:50]) if isinstance(node, list) else ()
    ):
        if isinstance(below, dict | list):
            yield from _leaf_keys(below, depth + 1)
        elif isinstance(key, str):
            yield key


def _paths(binding: Binding) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield from _field_paths(binding.fields)
    for each in binding.each:
        yield from _field_paths(each.fields)


def _field_paths(fields: Mapping[str, FieldMap]) -> Iterator[tuple[str, tuple[str, ...]]]:
    return ((name, paths_of(one.path)) for name, one in fields.items() if one.path)


def _other_words(binding: Binding) -> str:
    """Everything else in the binding that may name a key: times, keys of children, conditions, events."""
    rest = binding.model_dump_json(by_alias=True, exclude={"fields", "id"}, exclude_none=True)
    return re.sub(r'[{}\[\]":,\\]', ".", rest)


def _words(path: str) -> list[str]:
    quoted = re.findall(r'"([^"]*)"', path)
    bare = re.split(r"[.\[\]\s]+", re.sub(r'"[^"]*"', ".", path))
    return [word for word in [*quoted, *bare] if word and word not in ("$", "@") and not re.fullmatch(r"-?\d+", word)]


# --- hints ----------------------------------------------------------------------------------------------------------


def _hint(profile: DeviceProfile, message: Message, error: DecodeError) -> str:
    """The nearest right word: the binding whose topic comes closest, or the word that may be meant."""
    if error.code == "no_binding":
        return _nearest_topic(message.topic, [binding.topic for binding in profile.bindings])
    if error.code == "unknown_word":
        return "name it in the field's `map`, or give the field a `default`"
    if error.code == "no_match":
        return "no `when` of a binding on this topic holds; compare its path and words with the payload"
    return ""


def _nearest_topic(topic: str, bound: Sequence[str]) -> str:
    levels = topic.split("/")
    ranked = sorted(bound, key=lambda one: (_wrong_levels(levels, one.split("/")), one))
    if not ranked or _wrong_levels(levels, ranked[0].split("/")) >= len(levels):
        return f"bound are {', '.join(bound[:6])}"
    other = ranked[0].split("/")
    if len(other) != len(levels):
        return f"the nearest binding is {ranked[0]}: it has {len(other)} levels, the topic has {len(levels)}"
    wrong = next(i for i, (a, b) in enumerate(zip(levels, other, strict=True)) if not _fits(a, b))
    return f"the nearest binding is {ranked[0]}: level {wrong + 1} is {levels[wrong]!r} here and {other[wrong]!r} there"


def _wrong_levels(levels: Sequence[str], bound: Sequence[str]) -> int:
    pairs = zip(levels, bound, strict=False)
    return sum(not _fits(a, b) for a, b in pairs) + abs(len(levels) - len(bound))


def _fits(level: str, bound: str) -> bool:
    if bound in ("+", "#"):
        return True
    before, opened, rest = bound.partition("{")
    return level == bound if not opened else level.startswith(before) and level.endswith(rest.partition("}")[2])
