"""`each:` compiled: one reading per element of an array or object, per position of parallel arrays, or of one child."""

from __future__ import annotations

import functools

from device_profiles.schema import DeviceProfile, Each, FieldMap
from gateway.decode.conditions import Condition
from gateway.decode.elements import Elements, check_count, elements_of, zipped_elements
from gateway.decode.events import EventMaps, Moment
from gateway.decode.fields import Fields, zipped_path
from gateway.decode.paths import parse_path
from gateway.decode.pipeline import Flags, Values
from gateway.decode.presence_words import PresenceReader, presence_reader
from gateway.decode.scope import Scope, scope_getter
from gateway.decode.templates import POSITIONS, child_namer, parse_template
from gateway.reading import Presence, Reading


class CompiledEach:
    """A fan-out. Building it raises ValueError."""

    def __init__(
        self, profile: DeviceProfile, each: Each, fields: dict[str, FieldMap], captures: frozenset[str]
    ) -> None:
        if each.child not in profile.children:
            raise ValueError(f"expected a child kind of the profile, found {each.child!r}")
        if each.over is not None and each.zip:
            raise ValueError("expected over or zip in each, found both")
        self.child = each.child
        key = parse_template(each.key)
        # Of a single child nobody can ask for its place: a topic may have a capture of that name.
        positions = POSITIONS if each.over is not None or each.zip else frozenset[str]()
        self._name = child_namer(each.child, key, captures, POSITIONS - (captures - positions))
        self._fields = Fields(profile, fields, captures=captures, zipped=each.zip, positions=positions)
        self.events = EventMaps(profile, each.events, captures, each.zip, positions)
        paths = functools.partial(zipped_path, zipped=each.zip)
        self._when = None if each.when is None else Condition(each.when, paths, positions)
        self._presence: PresenceReader | None = presence_reader(
            each.presence, each.presence_path, says=each.says, optional=bool(each.fields)
        )
        self._elements: Elements | None = None
        arrays = each.zip
        if arrays:
            self._elements = zipped_elements(arrays)
        elif each.over is not None:
            arrays = (each.over,)
            self._elements = elements_of(each.over, each.elements)
        self.looks_back = any(parse_path(name).absolute for name in arrays)
        """Whether its elements stand in the whole payload, wherever the message has been split."""
        self._arrays = tuple(scope_getter(parse_path(name)) for name in arrays)
        self.unique = self._elements is None or any(slot.name in POSITIONS for slot in key.slots)
        """Whether each of its readings is of another child."""
        self._erased = tuple(name for name, field in fields.items() if field.const is None)

    def any_present(self, scope: Scope) -> bool:
        """Whether the message has the array at all, if only empty."""
        return any(get(scope) is not None for get in self._arrays)

    def fan_out(self, scope: Scope, out: list[Reading], moment: Moment) -> None:
        """Append one reading per element."""
        payload, quality = moment.payload, moment.quality
        places = [scope] if self._elements is None else self._elements(scope)
        check_count(self.child, len(out) + len(places))
        fill, name, when, says = self._fields.fill, self._name, self._when, self._presence
        declared = self.events.declared
        for place in places:
            if when is not None and not when.holds(payload, place):
                continue
            child = name(place)
            values: Values = {}
            flags: Flags = {}
            fill(place, values, flags)
            events = self.events.fire(payload, place, child, values, moment) if declared else ()
            out.append(
                Reading(
                    moment.device,
                    child,
                    moment.measured_at,
                    moment.received_at,
                    moment.binding,
                    values,
                    events,
                    quality,
                    flags,
                    Presence.UNSAID if says is None else says(place),
                    moment.profile,
                    moment.retained,
                )
            )

    def erase(self, scope: Scope, out: list[Reading], moment: Moment) -> None:
        """An empty message about one child, named by the topic: its fields are gone. Of many it names none."""
        if self._elements is not None:
            return
        values: Values = dict.fromkeys(self._erased)
        out.append(
            Reading(
                moment.device,
                self._name(scope),
                moment.measured_at,
                moment.received_at,
                moment.binding,
                values,
                quality=moment.quality,
                profile=moment.profile,
                retained=moment.retained,
            )
        )
