"""A binding's `events:` compiled: what fires, what begins and ends, what is merely repeated.

Edges, lasting events and dedupe windows need to know what was before; that stands in the decoder's memory. Retained
messages set what is remembered and fire nothing but what stands until it is said anew. History fires what it says
itself and changes nothing that is remembered: it tells of a past that is over.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from device_profiles.schema import DeviceProfile, Edge, EventKind, EventMap, Sequence, paths_of
from gateway.decode.conditions import Condition
from gateway.decode.errors import DecodeError, shown
from gateway.decode.fields import Fields, zipped_path
from gateway.decode.memory import Key, Memory
from gateway.decode.paths import parse_path
from gateway.decode.pipeline import Values, wire_word
from gateway.decode.scope import Scope, ScopeGetter, first_getter, scope_getter
from gateway.decode.templates import POSITIONS, filler, parse_template
from gateway.reading import Event, Millis, Quality, Value

MOST_OPEN = 64
"""Occurrences of one lasting event of one device or child that may last at once, and that a dedupe window remembers;
beyond it the one that was quiet for longest ends."""
LONGEST_EVENT_KEY = 100
BEGIN, UPDATE, END = "begin", "update", "end"
LASTING = "lasting"
"""Kind of memory: (LASTING, device, child, event) -> [profile, {key: [measured_at, received_at, binding]}]."""

_SAID: Mapping[tuple[bool, str], str | None] = {
    # (is it open, what the device says) -> what has happened
    (False, BEGIN): BEGIN,
    (True, BEGIN): None,  # repeated
    (False, UPDATE): BEGIN,  # its begin was before our time
    (True, UPDATE): UPDATE,
    (True, END): END,
    (False, END): None,  # "inactive", said as a heartbeat
}


class Moment(msgspec.Struct, eq=False):
    """The message around its events and its children."""

    payload: bytes
    quality: Quality
    device: str
    profile: str
    binding: str
    measured_at: Millis
    received_at: Millis
    retained: bool
    history: bool
    memory: Memory


class EventMaps:
    """Compiled `events:` of a binding or of an `each`. Building it raises ValueError."""

    def __init__(
        self,
        profile: DeviceProfile,
        maps: tuple[EventMap, ...],
        captures: frozenset[str],
        zipped: tuple[str, ...] = (),
        positions: frozenset[str] = frozenset(),
    ) -> None:
        self.declared = bool(maps)
        self._maps = tuple(_Map(profile, one, captures, zipped, positions) for one in maps)
        self._retained = tuple(one for one in self._maps if one.remembers or one.standing)

    def fire(self, payload: bytes, scope: Scope, child: str, values: Values, moment: Moment) -> tuple[Event, ...]:
        """The events of one device or child; what lasts is put into its values too."""
        fired: list[Event] = []
        if not moment.retained:
            for one in self._maps:
                one.fire(payload, scope, child, values, moment, fired)
            return tuple(fired)
        for one in self._retained:
            one.fire(payload, scope, child, values, moment, fired if one.standing else [])
        return tuple(fired)


class _Map:
    """One compiled EventMap."""

    def __init__(
        self,
        profile: DeviceProfile,
        event: EventMap,
        captures: frozenset[str],
        zipped: tuple[str, ...],
        positions: frozenset[str],
    ) -> None:
        kind = profile.events.get(event.event)
        if kind is None:
            raise ValueError(f"expected an event of the profile, found {event.event!r}")
        self._event = event.event
        paths = functools.partial(zipped_path, zipped=zipped)
        self._when = None if event.when is None else Condition(event.when, paths, positions)
        self._fields = Fields(profile, {}, captures=captures, zipped=zipped, positions=positions, free=event.fields)
        self._edge = None if event.edge is None else _edge_test(event.event, event.edge, captures, zipped)
        slots = POSITIONS - (captures - positions)
        self._key = None if event.key is None else filler(parse_template(event.key), captures, slots)
        self._phase = _phase_reader(event, kind, zipped)
        self._lasting = kind.lasting
        self._auto_clear = kind.auto_clear is not None
        self._dedupe = 0 if kind.dedupe is None else round(kind.dedupe.total_seconds() * 1000)
        self.standing = kind.standing
        self.remembers = self._edge is not None or self._lasting or self._dedupe > 0

    def fire(
        self, payload: bytes, scope: Scope, child: str, values: Values, moment: Moment, fired: list[Event]
    ) -> None:
        if self._when is not None and not self._when.holds(payload, scope):
            return
        if self._edge is not None and not self._edge(scope, child, moment):
            return
        key = "" if self._key is None else _checked_key(self._key(scope))
        phase: str | None = self._phase(scope)
        if self._lasting and not moment.history:
            phase = self._last(phase or BEGIN, key, child, values, moment, fired)
        if phase is None or (self._dedupe and phase in ("", UPDATE) and self._is_repeated(key, child, moment)):
            return
        data: dict[str, Value] = {}
        self._fields.fill(scope, data, {})
        if self.standing and not self._is_news(key, child, data, moment):
            return
        fired.append(Event(self._event, data, phase, key))

    def _is_news(self, key: str, child: str, data: dict[str, Value], moment: Moment) -> bool:
        """Whether a standing event says something else than before; remembers it."""
        where: Key = ("standing", moment.device, child, self._event, key)
        if moment.memory.get(where) == data:
            return False
        if not moment.history:
            moment.memory.put(where, data)
        return True

    def _last(self, phase: str, key: str, child: str, values: Values, moment: Moment, fired: list[Event]) -> str | None:
        """What has happened to a lasting event; remembers what is open."""
        where: Key = (LASTING, moment.device, child, self._event)
        held = moment.memory.get(where)
        is_open: dict[str, list[Any]] = dict(held[1]) if held is not None else {}
        before = is_open.pop(key, None)
        if phase != END:
            is_open[key] = [moment.measured_at, moment.received_at, moment.binding]
            if len(is_open) > MOST_OPEN:
                quietest = next(iter(is_open))
                del is_open[quietest]
                fired.append(Event(self._event, {}, END, quietest))
        if (before is not None) != (phase != END) or (before is not None and self._auto_clear):
            _hold(moment.memory, where, moment.profile, is_open)
        values[self._event] = bool(is_open)
        return _SAID[before is not None, phase]

    def _is_repeated(self, key: str, child: str, moment: Moment) -> bool:
        """Whether the same one fired within the window before; remembers it otherwise."""
        where: Key = ("dedupe", moment.device, child, self._event)
        fired: dict[str, Millis] = moment.memory.get(where, {})
        at = moment.measured_at
        last = fired.get(key)
        if last is not None and abs(at - last) < self._dedupe:
            return True
        if not moment.history:
            recent = {one: then for one, then in fired.items() if one != key and at - then < self._dedupe}
            while len(recent) >= MOST_OPEN:
                del recent[next(iter(recent))]
            moment.memory.put(where, {**recent, key: at})
        return False


def _hold(memory: Memory, where: Key, profile: str, is_open: dict[str, list[Any]]) -> None:
    if is_open:
        memory.put(where, [profile, is_open])
    else:
        memory.drop(where)


def _checked_key(key: str) -> str:
    if len(key) > LONGEST_EVENT_KEY:
        raise DecodeError(
            "too_large", field="key", found=shown(key), expected=f"at most {LONGEST_EVENT_KEY} characters"
        )
    return key


def _phase_reader(event: EventMap, kind: EventKind, zipped: tuple[str, ...]) -> Callable[[Scope], str]:
    """What the message says of the event: "" for what merely happens."""
    if not kind.lasting:
        if event.phase is not None or event.phases:
            raise ValueError(f"expected lasting: true on the event {event.event}, found a phase of it")
        return lambda _: ""
    if bool(event.phases) != (event.phase_path is not None):
        raise ValueError(f"expected phases and phase_path together in the event {event.event}")
    if event.phase is not None and event.phases:
        raise ValueError(f"expected phase or phases in the event {event.event}, found both")
    if not event.phases:
        phase: str = event.phase or BEGIN
        return lambda _: phase
    words: dict[str, str] = dict(event.phases)
    get = first_getter([zipped_path(path, zipped) for path in paths_of(event.phase_path)])
    name, listed = event.event, "one of " + ", ".join(sorted(words))

    def read(scope: Scope) -> str:
        raw = get(scope)
        found = words.get(wire_word(raw))
        if found is None:
            code = "missing" if raw is None else "unknown_word"
            raise DecodeError(code, field=name, found=shown(raw), expected=listed)
        return found

    return read


def _edge_test(
    event: str, edge: Edge, captures: frozenset[str], zipped: tuple[str, ...]
) -> Callable[[Scope, str, Moment], bool]:
    """Whether the value has changed as the edge says. Absent, it says nothing; the first one seen is no edge."""
    if (edge.path is None) == (edge.capture is None):
        raise ValueError(f"expected path or capture in the edge of {event}")
    if edge.capture is not None and edge.capture not in captures:
        raise ValueError(f"expected a capture of the topic in the edge of {event}, found {edge.capture!r}")
    name = edge.capture or ""
    paths = paths_of(edge.path)
    get: ScopeGetter = (
        first_getter([zipped_path(path, zipped) for path in paths]) if paths else lambda scope: scope.captures.get(name)
    )
    source = ", ".join(paths) if paths else "{" + name + "}"
    was = None if edge.from_ is None else frozenset(wire_word(word) for word in edge.from_)
    becomes = None if edge.to is None else frozenset(wire_word(word) for word in edge.to)

    def turned(scope: Scope, child: str, moment: Moment) -> bool:
        raw = get(scope)
        if raw is None or moment.history:
            return False
        if type(raw) not in (str, int, float, bool):
            raise DecodeError("wrong_type", field=source, found=shown(raw), expected="a single value")
        now = wire_word(raw)[:LONGEST_EVENT_KEY]
        where: Key = ("edge", moment.device, child, event, source)
        before = moment.memory.get(where)
        if before == now:
            return False
        moment.memory.put(where, now)
        return before is not None and (was is None or before in was) and (becomes is None or now in becomes)

    return turned


class GapWatch:
    """A binding's `sequence:`: fires where numbers of a device are missing. A message that says that the device has
    come online begins anew."""

    def __init__(self, profile: DeviceProfile, sequence: Sequence, says: str | None) -> None:
        if sequence.event not in profile.events:
            raise ValueError(f"expected an event of the profile in sequence, found {sequence.event!r}")
        self._get = scope_getter(parse_path(sequence.path))
        self._path = sequence.path
        self._modulo = sequence.modulo
        self._event = sequence.event
        self._anew = says == "online"

    def watch(self, scope: Scope, moment: Moment) -> tuple[Event, ...]:
        raw = self._get(scope)
        if raw is None or moment.retained or moment.history:
            return ()
        found = self._number(raw)
        where: Key = ("sequence", moment.device, self._event)
        last = moment.memory.get(where)
        if found == last:
            return ()  # sent again
        moment.memory.put(where, found)
        expected = None if last is None or self._anew else (last + 1) % self._modulo
        if expected is None or found == expected:
            return ()
        missed = (found - expected) % self._modulo
        return (Event(self._event, {"expected": expected, "found": found, "missed": missed}),)

    def _number(self, raw: Any) -> int:
        word = wire_word(raw)
        if not (word.isascii() and word.isdigit() and len(word) < 16 and int(word) < self._modulo):
            raise DecodeError(
                "wrong_type", field=self._path, found=shown(raw), expected=f"a whole number below {self._modulo}"
            )
        return int(word)


class Lapse(NamedTuple):
    """An occurrence that ends because it was not repeated."""

    device: str
    child: str
    profile: str
    binding: str
    event: str
    key: str
    ended_at: Millis
    """When it would have had to be repeated."""
    still: bool
    """Whether others of the same event last."""


def end_what_lapsed(memory: Memory, auto_clear: Mapping[tuple[str, str], Millis], now: Millis) -> list[Lapse]:
    """Take out of memory what was not repeated in time. `auto_clear`: (profile, event) -> how long it may be quiet."""
    ended: list[Lapse] = []
    for where, (profile, is_open) in memory.of_kind(LASTING):
        _, device, child, event = where
        allowed = auto_clear.get((profile, event))
        if allowed is None:
            continue
        left = {key: seen for key, seen in is_open.items() if now - seen[1] < allowed}
        if len(left) == len(is_open):
            continue
        for key, (at, _, binding) in is_open.items():
            if key not in left:
                ended.append(
                    Lapse(device, child, profile, binding, event, key, min(at + allowed, max(now, at)), bool(left))
                )
        _hold(memory, where, profile, left)
    return ended
