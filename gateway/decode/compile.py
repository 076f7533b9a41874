"""One binding compiled: from a decoded message to its readings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Any

from device_profiles.schema import Binding, Codec, DeviceProfile, Each, EventMap
from gateway.decode.codecs import Chain, chain
from gateway.decode.conditions import Condition
from gateway.decode.errors import DecodeError, shown
from gateway.decode.fields import Fields
from gateway.decode.frames import Suspect
from gateway.decode.paths import parse_path
from gateway.decode.pipeline import Flags, Values
from gateway.decode.scope import Scope, ScopeGetter, scope_getter
from gateway.decode.templates import check_key, filler, parse_template
from gateway.decode.times import TimeReader, time_reader
from gateway.decode.topics import Pattern, parse_topic
from gateway.reading import Event, Millis, Presence, Quality, Reading, Value

MOST_CHILDREN = 4096
"""A message that fans out further is no message but an attack."""
DEFAULT_ADDRESS = "{address}"
_UNSAID = Presence.UNSAID
_POSITIONS = frozenset({"index", "key"})

_JSON = Codec.model_validate({"json": True})
_TEXT = Codec.model_validate({"text": True})


def effective_codecs(binding: Binding) -> tuple[Codec, ...]:
    """The codec chain; unsaid, a status word is text and everything else JSON."""
    if binding.decode:
        return binding.decode
    words_only = binding.presence is not None and binding.presence_path is None and not binding.fields
    return (_TEXT,) if words_only else (_JSON,)


class CompiledBinding:
    """A binding as closures. Building it raises ValueError for what cannot be compiled."""

    def __init__(self, profile: DeviceProfile, binding: Binding) -> None:
        self.profile = profile.id
        self.id = binding.id
        self.pattern: Pattern = parse_topic(binding.topic)
        self.ignore = binding.ignore
        captures = self.pattern.captures
        template = parse_template(binding.address or DEFAULT_ADDRESS)
        names = {slot.name for slot in template.slots}
        self.address_in_topic = names <= captures
        self.address_levels = bool(names & self.pattern.many)
        self.address: Callable[[Scope], str] = filler(template, captures, frozenset())
        codecs = effective_codecs(binding)
        self.codec_key = tuple(codec.model_dump_json() for codec in codecs)
        self.decode: Chain = chain(codecs)
        self.conditions = tuple(Condition(when) for when in binding.when)
        alone = self.conditions[0] if len(self.conditions) == 1 else None
        self.only_test = alone.raw if alone is not None and alone.scoped is None else None
        """The one look at the bytes that decides, where there is no more to it: most frames are told apart so."""
        self.needs_decoding = bool(
            binding.fields or binding.each or binding.events or binding.presence or binding.time
        ) or not (self.address_in_topic and (binding.keepalive or binding.ignore))
        self._keepalive = binding.keepalive
        self._time: TimeReader | None = None if binding.time is None else time_reader(binding.time)
        self._fields = Fields(profile, binding.fields, captures=captures)
        self._has_fields = bool(binding.fields)
        self._events = _EventMaps(profile, binding.events, captures, ())
        self._each = tuple(CompiledEach(profile, each, captures) for each in binding.each)
        self._presence = _presence_reader(binding)
        self._empty_erases = any(
            field.when_missing == "erase"
            for fields in (binding.fields, *(each.fields for each in binding.each))
            for field in fields.values()
        )

    def root(self, payload: bytes) -> Any:
        """The decoded payload. An empty one erases, where the profile says that missing values do."""
        if not payload and self._empty_erases:
            return None
        return self.decode(payload)

    def readings(
        self,
        root: Any,
        payload: bytes,
        captures: dict[str, str],
        device: str,
        zone: tzinfo,
        received_at: Millis,
        retained: bool,
    ) -> list[Reading]:
        """What the message becomes; raises DecodeError."""
        quality = Quality.GOOD
        if type(root) is Suspect:
            root, quality = root.value, Quality.SUSPECT
        scope = Scope(root, root, captures)
        measured_at = received_at
        if self._time is not None:
            measured_at, trust = self._time.judge(scope, zone, received_at)
            if trust is not Quality.GOOD and quality is Quality.GOOD:
                quality = trust
        values: Values = {}
        flags: Flags = {}
        if self._has_fields:
            self._fields.fill(scope, values, flags)
        events = self._events.fire(payload, scope) if self._events.declared and not retained else ()
        said = _UNSAID if self._presence is None else self._presence(scope)
        out: list[Reading] = []
        if self._each:
            common = (measured_at, received_at, self.id), quality, self.profile, retained
            for each in self._each:
                each.fan_out(payload, scope, out, device, common)
        if values or flags or events or said is not _UNSAID or not out:
            if not (values or flags or events or out) and said is _UNSAID:
                self._require_something(scope)
            own = Reading(
                device,
                "",
                measured_at,
                received_at,
                self.id,
                values,
                events,
                quality,
                flags,
                said,
                self.profile,
                retained,
            )
            out.insert(0, own)
        return out

    def _require_something(self, scope: Scope) -> None:
        """A message that yields nothing is fine as a sign of life, and where its fields are there and empty. One that
        speaks of none of them is another dialect, and belongs into the quarantine."""
        if self._keepalive or (self._has_fields and self._fields.any_present(scope)):
            return
        if self._events.declared or any(each.any_present(scope) for each in self._each):
            return
        if not self._has_fields and not self._each:
            return
        raise DecodeError("nothing_known", found=shown(scope.root), expected="at least one field of the binding")


def _presence_reader(binding: Binding) -> Callable[[Scope], Presence] | None:
    if binding.presence is None:
        return None
    words = {word: Presence(meaning) for word, meaning in binding.presence.items()}
    get: ScopeGetter = scope_getter(parse_path(binding.presence_path or ""))
    optional = binding.presence_path is not None and bool(binding.fields or binding.each)

    def read(scope: Scope) -> Presence:
        raw = get(scope)
        if raw is None and optional:
            return Presence.UNSAID
        word = ("true" if raw else "false") if type(raw) is bool else raw.strip() if type(raw) is str else shown(raw)
        if (said := words.get(word)) is None:
            raise DecodeError(
                "unknown_word", field="presence", found=shown(raw), expected="one of " + ", ".join(sorted(words))
            )
        return said

    return read


class _EventMaps:
    """Compiled `events:` of a binding or of an `each`."""

    def __init__(
        self, profile: DeviceProfile, maps: tuple[EventMap, ...], captures: frozenset[str], zipped: tuple[str, ...]
    ) -> None:
        self.declared = bool(maps)
        self._maps: list[tuple[str, Condition | None, Fields]] = []
        for event in maps:
            if event.event not in profile.events:
                raise ValueError(f"expected an event of the profile, found {event.event!r}")
            fields = Fields(profile, {}, captures=captures, zipped=zipped, free=event.fields)
            self._maps.append((event.event, None if event.when is None else Condition(event.when), fields))

    def fire(self, payload: bytes, scope: Scope) -> tuple[Event, ...]:
        if not self._maps:
            return ()
        fired: list[Event] = []
        for event, condition, fields in self._maps:
            if condition is None or condition.holds(payload, scope):
                data: dict[str, Value] = {}
                fields.fill(scope, data, {})
                fired.append(Event(event, data))
        return tuple(fired)


class CompiledEach:
    """A fan-out: one reading per element of an array or object, per position of parallel arrays, or one child."""

    def __init__(self, profile: DeviceProfile, each: Each, captures: frozenset[str]) -> None:
        if each.child not in profile.children:
            raise ValueError(f"expected a child kind of the profile, found {each.child!r}")
        if each.over is not None and each.zip:
            raise ValueError("expected over or zip in each, found both")
        self._prefix = each.child + ":"
        self._key = filler(parse_template(each.key), captures, _POSITIONS)
        self._fields = Fields(profile, each.fields, captures=captures, zipped=each.zip)
        self._events = _EventMaps(profile, each.events, captures, each.zip)
        self._over = None if each.over is None else scope_getter(parse_path(each.over))
        self._over_text = each.over or ""
        self._zip = [(array, scope_getter(parse_path(array))) for array in each.zip]

    def any_present(self, scope: Scope) -> bool:
        """Whether the message has the array at all, if only empty."""
        if self._over is not None:
            return self._over(scope) is not None
        return any(get(scope) is not None for _, get in self._zip)

    def fan_out(
        self,
        payload: bytes,
        scope: Scope,
        out: list[Reading],
        device: str,
        common: tuple[tuple[Millis, Millis, str], Quality, str, bool],
    ) -> None:
        """Append one reading per child."""
        (measured_at, received_at, binding), quality, profile, retained = common
        fill, name, fire = self._fields.fill, self._key, self._events.declared and not retained
        places: dict[str, int] = {}
        for place in self._scopes(scope):
            child = self._prefix + check_key(name(place))
            values: Values = {}
            flags: Flags = {}
            fill(place, values, flags)
            events = self._events.fire(payload, place) if fire else ()
            if child in places:  # an element per fault code and the like: still one reading per child and time
                before = out[places[child]]
                values = {**before.values, **values}
                flags = {**before.flags, **flags}
                events = before.events + events
            reading = Reading(
                device,
                child,
                measured_at,
                received_at,
                binding,
                values,
                events,
                quality,
                flags,
                _UNSAID,
                profile,
                retained,
            )
            if child in places:
                out[places[child]] = reading
            else:
                places[child] = len(out)
                out.append(reading)

    def _scopes(self, scope: Scope) -> list[Scope]:
        if self._zip:
            return self._zipped(scope)
        if self._over is None:
            return [scope]
        items = self._over(scope)
        root, captures = scope.root, scope.captures
        if items is None:
            return []
        if type(items) is dict:
            self._cap(len(items))
            return [Scope(root, item, captures, i, key) for i, (key, item) in enumerate(items.items())]
        if type(items) is list:
            self._cap(len(items))
            return [Scope(root, item, captures, i, str(i)) for i, item in enumerate(items)]
        if type(items) is str:
            raise DecodeError("wrong_type", field=self._over_text, found=shown(items), expected="an array or object")
        return [Scope(root, items, captures, 0, "0")]

    def _zipped(self, scope: Scope) -> list[Scope]:
        columns: list[tuple[str, list[Any]]] = []
        for name, get in self._zip:
            items = get(scope)
            if items is None:
                continue
            if type(items) is not list:
                raise DecodeError("wrong_type", field=name, found=shown(items), expected="an array")
            columns.append((name, items))
        if not columns:
            return []
        first, length = columns[0][0], len(columns[0][1])
        self._cap(length)
        for name, items in columns:
            if len(items) != length:
                raise DecodeError(
                    "wrong_type", field=name, found=shown(items), expected=f"as many elements as {first} has ({length})"
                )
        return [
            Scope(scope.root, {name: items[i] for name, items in columns}, scope.captures, i, str(i))
            for i in range(length)
        ]

    def _cap(self, found: int) -> None:
        if found > MOST_CHILDREN:
            raise DecodeError(
                "too_many", field=self._over_text, found=f"{found} elements", expected=f"at most {MOST_CHILDREN}"
            )
