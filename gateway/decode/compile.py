"""One binding compiled: from a decoded message to its readings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from device_profiles.schema import Binding, Codec, DeviceProfile, Each, FieldMap
from gateway.decode.codecs import Chain, chain, context_chain, is_shared, needs_context
from gateway.decode.conditions import Condition
from gateway.decode.consequences import Consequences, Step, steps_of
from gateway.decode.context import Context
from gateway.decode.errors import DecodeError, shown
from gateway.decode.events import EventMaps, GapWatch, Moment
from gateway.decode.fanout import CompiledEach
from gateway.decode.fields import Fields
from gateway.decode.memory import Memory
from gateway.decode.paths import parse_path
from gateway.decode.pipeline import Flags, Values
from gateway.decode.presence_words import PresenceReader, presence_reader
from gateway.decode.replies import ReplyReader
from gateway.decode.scope import Scope
from gateway.decode.split import joined, splitter
from gateway.decode.templates import filler, parse_template
from gateway.decode.times import TimeReader, time_reader
from gateway.decode.topics import Pattern, parse_topic
from gateway.reading import Event, Millis, Presence, Quality, Reading, Reply

DEFAULT_ADDRESS = "{address}"
_UNSAID = Presence.UNSAID
_JSON = Codec.model_validate({"json": True})
_TEXT = Codec.model_validate({"text": True})

Timed = tuple[Millis, Quality]


def effective_codecs(binding: Binding) -> tuple[Codec, ...]:
    """The codec chain; unsaid, a status word is text and everything else JSON."""
    if binding.decode:
        return binding.decode
    words_only = binding.presence is not None and binding.presence_path is None and not binding.fields
    return (_TEXT,) if words_only else (_JSON,)


def captures_wanted(profile: DeviceProfile) -> frozenset[str]:
    """Topic captures, beside the address, that the gateway needs to speak to a device: those in the topics and
    payloads of its commands, and those of the topics on which its polls are answered: they name the line."""
    texts = [command.model_dump_json() for command in profile.commands.values()]
    polled = [
        binding for binding in profile.bindings if any(c.modbus and c.modbus.request_topic for c in binding.decode)
    ]
    captures = {name for binding in profile.bindings for name in parse_topic(binding.topic).captures}
    wanted = {name for name in captures if any("{" + name in text for text in texts)}
    wanted |= {name for binding in polled for name in parse_topic(binding.topic).captures}
    return frozenset(wanted - {"address"})


class CompiledBinding:
    """A binding as closures. Building it raises ValueError for what cannot be compiled."""

    def __init__(self, profile: DeviceProfile, binding: Binding) -> None:
        self.profile = profile.id
        self.id = binding.id
        self.discovery = profile.discovery
        self.pattern: Pattern = parse_topic(binding.topic)
        self.ignore = binding.ignore
        self.registered_only = binding.registered_only
        self.empty = binding.empty
        self.past_when_retained = binding.mode == "event"
        """A retained copy of what merely happens says nothing any more."""
        topic_captures = self.pattern.captures
        self.split = splitter(binding.split) if binding.split else None
        self.older_is_history = any(split.older_is_history for split in binding.split)
        captures = topic_captures | {split.capture for split in binding.split if split.capture is not None}
        self._address(binding, captures)
        self._codecs(binding, topic_captures)
        self._conditions(binding)
        self._parts(profile, binding, captures)
        self.consequences = _consequences(profile, binding)
        self.captures_kept = captures_wanted(profile) & topic_captures
        tested = self.only_test is not None or not self.conditions
        self.plain = tested and not self.ignore and self.split is None and self.context_decode is None
        """Whether a look at the bytes alone says if it takes a message, and decoding it changes nothing."""
        self.unusual = bool(self.split or self.empty or self.past_when_retained)
        """Whether there is more to it than fields, events and children."""
        self.completes = bool(self.consequences is not None or self.captures_kept)
        """Whether something follows from its readings."""

    def _address(self, binding: Binding, captures: frozenset[str]) -> None:
        template = parse_template(binding.address or DEFAULT_ADDRESS)
        names = {slot.name for slot in template.slots}
        self.address_in_topic = names <= self.pattern.captures
        self.address_is_capture = template.text == DEFAULT_ADDRESS and "address" in self.pattern.captures
        self.address_levels = bool(names & self.pattern.many)
        self.address: Callable[[Scope], str] = filler(template, captures, frozenset())
        alone = template.slots[0].name if len(template.parts) == 1 and template.slots else ""
        self.address_key = alone if alone not in captures and parse_path(alone).segments == (alone,) else None
        """The key of the payload that holds the address, where it is that simple."""

    def _codecs(self, binding: Binding, captures: frozenset[str]) -> None:
        codecs = effective_codecs(binding)
        self.codec_key: tuple[str, ...] = tuple(codec.model_dump_json() for codec in codecs)
        self.decode: Callable[[bytes], Any] | None = None
        self.context_decode: Callable[[bytes, Context], Any] | None = None
        self.begin: Chain | None = None
        """The first codec alone, where others come behind it and what it gives can be shared between bindings."""
        self.go_on: Callable[[Any, Context], Any] | None = None
        """What the codecs behind it make of that."""
        if len(codecs) > 1 and is_shared(codecs[0]):
            self.begin, self.go_on = chain(codecs[:1]), context_chain(codecs[1:], captures)
        if needs_context(codecs):
            self.context_decode = context_chain(codecs, captures)
            self.codec_key = (*self.codec_key, self.profile, self.id)
        else:
            self.decode = chain(codecs)

    def _conditions(self, binding: Binding) -> None:
        self.when = binding.when
        self.conditions = tuple(Condition(when) for when in binding.when)
        alone = self.conditions[0] if len(self.conditions) == 1 else None
        self.only_test = alone.raw if alone is not None and alone.by_bytes else None
        """The one look at the bytes that decides, where there is no more to it: most frames are told apart so."""

    def _parts(self, profile: DeviceProfile, binding: Binding, captures: frozenset[str]) -> None:
        fields = _fields_of(binding, binding.fields)
        self._keepalive = binding.keepalive
        self._full = binding.mode == "full"
        self._time: TimeReader | None = None if binding.time is None else time_reader(binding.time)
        self._fields = Fields(profile, fields, captures=captures)
        self._has_fields = bool(fields)
        self._events = EventMaps(profile, binding.events, captures)
        self._gaps = None if binding.sequence is None else GapWatch(profile, binding.sequence, binding.says)
        each_fields = [_fields_of(binding, each.fields) for each in binding.each]
        self._each = tuple(
            CompiledEach(profile, each, own, captures) for each, own in zip(binding.each, each_fields, strict=True)
        )
        self._may_repeat = len(self._each) > 1 or any(not each.unique for each in self._each)
        self.looks_back = any(each.looks_back for each in self._each)
        self._reply = None if binding.reply is None else ReplyReader(profile, binding.reply, captures)
        says_more = bool(fields or binding.each or binding.events or binding.reply)
        self._presence: PresenceReader | None = presence_reader(
            binding.presence, binding.presence_path, says=binding.says, optional=says_more
        )
        self._history = binding.history if isinstance(binding.history, bool) else Condition(binding.history)
        self._erased = tuple(name for name, field in fields.items() if field.const is None)
        self._empty_erases = any(
            field.when_missing == "erase" for own in (fields, *each_fields) for field in own.values()
        )
        self._eventful = bool(self._events.declared or self._gaps)
        # A sign of life need not be looked into. But where the profile says how it is written, it must be written so:
        # noise with a wrong checksum is no sign of life. Any text will do where it says no more than that.
        written_so = any(codec != _TEXT for codec in binding.decode)
        self.needs_decoding = bool(
            says_more
            or written_so
            or binding.split
            or binding.presence
            or binding.time
            or binding.sequence
            or isinstance(self._history, Condition)
            or self.context_decode is not None
        ) or not (self.address_in_topic and (binding.keepalive or binding.ignore or binding.says))

    def root(self, payload: bytes) -> Any:
        """The decoded payload. An empty one is None where the profile says what it means."""
        if not payload and self.takes_empty:
            return None
        assert self.decode is not None
        return self.decode(payload)

    def root_in(self, payload: bytes, context: Context) -> Any:
        """The same for a codec that remembers."""
        if not payload and self.takes_empty:
            return None
        assert self.context_decode is not None
        return self.context_decode(payload, context)

    @property
    def takes_empty(self) -> bool:
        return self._empty_erases or self.empty in ("erase", "ignore", "offline")

    def timed(self, scope: Scope, zone: Any, received_at: Millis) -> Timed:
        """When this was measured, and how far that can be trusted; `received_at` where it does not say."""
        if self._time is None:
            return received_at, Quality.GOOD
        return self._time.judge(scope, zone, received_at)

    def readings(
        self,
        payload: bytes,
        scope: Scope,
        device: str,
        zone: Any,
        received_at: Millis,
        retained: bool,
        quality: Quality,
        memory: Memory,
        timed: Timed | None = None,
    ) -> list[Reading]:
        """What the message becomes, or one element of it; raises DecodeError. `quality` is what is known of all of it
        beforehand; `timed` as `timed()` gives it, where that has been asked."""
        measured_at = received_at
        if timed is not None:
            measured_at, trust = timed
        elif self._time is not None:
            measured_at, trust = self._time.judge(scope, zone, received_at)
        else:
            trust = quality
        if quality is Quality.GOOD:
            quality = trust
        if self._history is not False and (self._history is True or self._history.holds(payload, scope)):
            quality = Quality.HISTORIC
        values: Values = {}
        flags: Flags = {}
        if self._has_fields:
            self._fields.fill(scope, values, flags)
        events: tuple[Event, ...] = ()
        out: list[Reading] = []
        if self._eventful or self._each:
            history = quality is Quality.HISTORIC
            moment = Moment(
                payload, quality, device, self.profile, self.id, measured_at, received_at, retained, history, memory
            )
            if self._eventful:
                events = self._fire(scope, values, moment)
            if self._each:
                self._fan_out(scope, out, moment)
        said = _UNSAID if self._presence is None else self._presence(scope)
        if self._full:
            self._require_known(scope, values, out)
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
        if self._reply is not None and not retained:
            out = _answered(out, *self._reply.read(scope))
        return out

    def _fire(self, scope: Scope, values: Values, moment: Moment) -> tuple[Event, ...]:
        events = self._events.fire(moment.payload, scope, "", values, moment) if self._events.declared else ()
        return events if self._gaps is None else events + self._gaps.watch(scope, moment)

    def _fan_out(self, scope: Scope, out: list[Reading], moment: Moment) -> None:
        for each in self._each:
            each.fan_out(scope, out, moment)
        if self._may_repeat and len({reading.child for reading in out}) < len(out):
            out[:] = joined(out)  # an element per fault code, two arrays about the same ports

    def erased(
        self, payload: bytes, scope: Scope, device: str, received_at: Millis, retained: bool, memory: Memory
    ) -> list[Reading]:
        """What an empty message becomes where that means that everything is gone."""
        quality, at = Quality.GOOD, (received_at, received_at)
        moment = Moment(payload, quality, device, self.profile, self.id, *at, retained, False, memory)
        values: Values = dict.fromkeys(self._erased)
        out: list[Reading] = []
        for each in self._each:
            each.erase(scope, out, moment)
        if values or not out:
            own = self.bare(device, received_at, retained, _UNSAID)
            out.insert(0, msgspec.structs.replace(own, values=values))
        return out

    def bare(self, device: str, received_at: Millis, retained: bool, presence: Presence) -> Reading:
        """A reading without values: the device is there, or gone."""
        return Reading(
            device,
            "",
            received_at,
            received_at,
            self.id,
            {},
            presence=presence,
            profile=self.profile,
            retained=retained,
        )

    def _require_known(self, scope: Scope, values: Values, out: list[Reading]) -> None:
        """A full report that speaks of nothing the binding knows is another dialect, and must not erase everything."""
        if not self._has_fields or any(value is not None for value in values.values()) or out:
            return
        if not self._fields.any_present(scope):
            raise DecodeError("nothing_known", found=shown(scope.node), expected="at least one field of the binding")

    def _require_something(self, scope: Scope) -> None:
        """A message that yields nothing is fine as a sign of life, and where its fields are there and empty. One that
        speaks of none of them is another dialect, and belongs into the quarantine."""
        if self._keepalive or self._reply is not None or (self._has_fields and self._fields.any_present(scope)):
            return
        if self._eventful or any(each.events.declared or each.any_present(scope) for each in self._each):
            return
        if not self._has_fields and not self._each:
            return
        raise DecodeError("nothing_known", found=shown(scope.node), expected="at least one field of the binding")


def _fields_of(binding: Binding, fields: Mapping[str, FieldMap]) -> dict[str, FieldMap]:
    """In a full report, what is missing is gone."""
    if binding.mode != "full":
        return dict(fields)
    return {
        name: field if field.when_missing is not None else field.model_copy(update={"when_missing": "erase"})
        for name, field in fields.items()
    }


def _consequences(profile: DeviceProfile, binding: Binding) -> Consequences | None:
    """What follows from the values of a binding, by child kind; None where nothing does."""
    said: dict[str, set[str]] = {"": set(binding.fields)}
    for each in binding.each:
        said.setdefault(each.child, set()).update(each.fields)
    steps: dict[str, tuple[Step, ...]] = {}
    of_parent: set[str] = set()
    for kind, names in said.items():  # the device itself comes first
        found = steps_of(profile, kind or None, names | of_parent)
        if found:
            steps[kind] = found
        if not kind:
            known = names.union(*(step.outputs for step in found))
            of_parent = {f"parent.{name}" for name in known}
    return Consequences(steps) if steps else None


def _answered(readings: list[Reading], child: str, replies: tuple[Reply, ...]) -> list[Reading]:
    """The replies stand in the reading of the child that answers; one is made where the message says no more of it."""
    for i, reading in enumerate(readings):
        if reading.child == child:
            readings[i] = msgspec.structs.replace(reading, replies=reading.replies + replies)
            return readings
    first = readings[0]
    made = msgspec.structs.replace(
        first, child=child, values={}, events=(), flags={}, presence=_UNSAID, replies=replies
    )
    # A bare sign of life of the device says no more than the child's answer does.
    bare = len(readings) == 1 and not (first.values or first.events or first.flags or first.presence)
    return [made] if bare else [*readings, made]


__all__ = [
    "DEFAULT_ADDRESS",
    "CompiledBinding",
    "Each",
    "captures_wanted",
    "effective_codecs",
]
