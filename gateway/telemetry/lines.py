"""Readings as lines of InfluxDB's line protocol: pure, and quick, for it runs once per reading.

The names and types are those of `device_profiles.telemetry`. What does not fit is refused with its reason, field by
field, and the rest of the reading is written: one bad value never holds up the others.

What InfluxDB cannot hold is left out without a word, as it says nothing: None (the device erased the value), NaN and
the infinities.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import NamedTuple

from device_profiles.schema import DeviceProfile
from device_profiles.telemetry import DELAY, QUALITY, FieldType, pinned
from gateway.reading import DeviceEntry, Quality, Reading, Registry, Value, adopted_names
from gateway.telemetry.series import NamedSeries

_LONGEST_WORD = 15_000
"""Characters; InfluxDB takes 64 kB."""
_EARLIEST, _LATEST = -9_223_372_036_854, 9_223_372_036_854
"""Milliseconds that fit the database's nanoseconds."""
_DELAY_SAID_MILLIS = 5000
_LARGEST = 1.7e308
_WORST_FIRST = (
    Quality.IMPOSSIBLE,
    Quality.FAULTY,
    Quality.SUSPECT,
    Quality.SKEWED,
    Quality.HISTORIC,
    Quality.LATE,
)
_TAG_ESCAPES = str.maketrans({",": "\\,", " ": "\\ ", "=": "\\="})
_WORD_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"'})


class Refused(NamedTuple):
    """A value (or, without a field, a whole reading) that is not stored, and why."""

    device: str
    child: str
    measured_at: int
    measurement: str
    field: str
    value: str
    """As it was found, cut short."""
    reason: str


class Lines(NamedTuple):
    """Lines, and at the same places the readings that they say."""

    texts: list[str]
    readings: list[Reading]
    refused: list[Refused]


class _Head(NamedTuple):
    """What all readings of one device, child and profile have in common."""

    text: str
    """`measurement,tag=…,tag=… `; empty where they cannot be written."""
    reason: str
    """Why not."""
    floats: dict[str, str]
    """name -> `name=`, likewise below."""
    words: dict[str, str]
    truths: dict[str, str]
    measurement: str


class _Family(NamedTuple):
    floats: dict[str, str]
    words: dict[str, str]
    truths: dict[str, str]


class LineBuilder:
    """Remembers the beginning of each series' lines. Not for several threads at once."""

    def __init__(self, library: Mapping[str, DeviceProfile], registry: Callable[[], Registry]) -> None:
        """`registry` says where devices stand; it is asked once per batch, so it must answer from memory."""
        self._families = {profile.profile: profile.family for profile in library.values()}
        self._fields = {family: _family(types) for family, types in pinned(library).items()}
        self._registry = registry
        self._version = ""
        self._devices: dict[str, DeviceEntry] = {}
        self._adopted: dict[str, str] = {}
        """Readings wait in journals, and devices get their places meanwhile."""
        self._heads: dict[tuple[str, str, str], _Head] = {}
        self._named = NamedSeries()

    def build(self, readings: Sequence[Reading], without: Container[tuple[str, str]] = ()) -> Lines:
        """Lines of what can be written; readings without a value (events, presence) have none. `without` are fields,
        (measurement, name), that the database does not take."""
        self._look()
        lines = Lines([], [], [])
        heads, say, keep = self._heads, lines.texts.append, lines.readings.append
        for reading in readings:
            if not reading.values and not reading.flags:
                continue
            head = heads.get((reading.device, reading.child, reading.profile)) or self._new_head(reading)
            if not head.text or not _EARLIEST < reading.measured_at < _LATEST:
                reason = head.reason or "its time is beyond what InfluxDB can say"
                lines.refused.append(_refused(reading, head, "", None, reason))
                continue
            fields = self._fields_of(reading, head, lines.refused, without)
            if fields:
                say(f"{head.text}{','.join(fields)} {reading.measured_at}")
                keep(reading)
        return lines

    def tags_of(self, device: str) -> dict[str, str]:
        """Where the device stands now: `site` and `building`, each only if it has one."""
        self._look()
        entry = self._devices.get(device)
        found = {} if entry is None else {"site": entry.site, "building": entry.building}
        return {name: value for name, value in found.items() if value}

    def _fields_of(
        self, reading: Reading, head: _Head, refused: list[Refused], without: Container[tuple[str, str]]
    ) -> list[str]:
        fields = []
        floats = head.floats
        for name, value in reading.values.items():
            if type(value) is float and (begin := floats.get(name)) is not None:
                if value - value == 0.0:  # neither NaN nor infinite
                    fields.append(f"{begin}{value!r}")
            elif value is not None:
                said = _said(head, name, value)
                if isinstance(said, str):
                    fields.append(said)
                elif said is not None:
                    refused.append(_refused(reading, head, name, value, said[0]))
        if without:
            fields = [said for said in fields if (head.measurement, said.partition("=")[0]) not in without]
        if reading.quality is not Quality.GOOD or reading.flags:
            fields += _quality_of(reading)
        delay = reading.received_at - reading.measured_at
        if fields and not -_DELAY_SAID_MILLIS <= delay <= _DELAY_SAID_MILLIS:
            fields.append(f"{DELAY}={delay / 1000!r}")
        return fields

    # --- what is remembered ----------------------------------------

    def _look(self) -> None:
        registry = self._registry()
        if registry.version == self._version and self._devices:
            return
        self._version = registry.version
        self._devices = {entry.id: entry for entry in registry.devices}
        self._adopted = adopted_names(registry.devices)
        self._heads.clear()
        self._named.claimed(self._devices.keys() | self._adopted.keys())

    def _new_head(self, reading: Reading) -> _Head:
        head = self._head_of(reading)
        if head.text:
            self._heads[reading.device, reading.child, reading.profile] = head
        return head

    def _head_of(self, reading: Reading) -> _Head:
        device = self._adopted.get(reading.device, reading.device)
        entry = self._devices.get(device)
        profile = reading.profile or (entry.profile if entry is not None else "")
        family = self._families.get(profile)
        if family is None:
            return _no_head("", f"there is no profile {profile!r} to say what its values are")
        tags = {
            "building": entry.building if entry is not None else "",
            "child": reading.child,
            "device": device,
            "site": entry.site if entry is not None else "",
        }
        bad = next((value for value in tags.values() if not fits_a_tag(value)), None)
        if bad is not None:
            return _no_head(family, f"InfluxDB cannot hold the name {bad[:100]!r}")
        if reason := self._named.refusal(device, (reading.child, profile), claimed=entry is not None):
            return _no_head(family, reason)
        fields = self._fields[family]
        return _Head(head_text(family, tags), "", fields.floats, fields.words, fields.truths, family)


def head_text(measurement: str, tags: Mapping[str, str]) -> str:
    """`measurement,tag=value `; tags in the order of their names, which spares the database sorting them."""
    said = (f",{name}={value.translate(_TAG_ESCAPES)}" for name, value in sorted(tags.items()) if value)
    return f"{measurement.translate(_TAG_ESCAPES)}{''.join(said)} "


def field_text(value: Value) -> str | None:
    """A field's value by its own Python type; None where the protocol cannot say it."""
    if value.__class__ is bool:
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value.translate(_WORD_ESCAPES)}"'
    if value is None or not -_LARGEST < value < _LARGEST:
        return None
    return repr(float(value))


def fits_a_tag(value: str) -> bool:
    """A tag cannot end in a backslash, nor hold what is no character."""
    return not value.endswith("\\") and (value.isprintable() or not value)


def _family(types: Mapping[str, FieldType]) -> _Family:
    begins = {name: f"{name.translate(_TAG_ESCAPES)}=" for name in types}

    def of(wanted: FieldType) -> dict[str, str]:
        return {name: begins[name] for name, type_ in types.items() if type_ is wanted}

    return _Family(of(FieldType.FLOAT), of(FieldType.STRING), of(FieldType.BOOLEAN))


def _no_head(family: str, reason: str) -> _Head:
    return _Head("", reason, {}, {}, {}, family)


def _said(head: _Head, name: str, value: Value) -> str | tuple[str] | None:
    """The field's text; None where there is nothing to say; or, in a tuple, why it cannot be said."""
    if (begin := head.words.get(name)) is not None:
        return _word(begin, value)
    if (begin := head.truths.get(name)) is not None:
        return f"{begin}{'true' if value else 'false'}" if value.__class__ is bool else (_expected("true or false"),)
    if (begin := head.floats.get(name)) is None:
        return (f"no profile of {head.measurement} has such a value",)
    if value.__class__ is int:
        text = field_text(value)
        return ("it is larger than a number can be",) if text is None else begin + text
    return None if value.__class__ is float else (_expected("a number"),)


def _word(begin: str, value: Value) -> str | tuple[str]:
    if not isinstance(value, str):
        return (_expected("a word"),)
    if len(value) > _LONGEST_WORD:
        return (f"it has {len(value)} characters; expected at most {_LONGEST_WORD}",)
    if not value.isascii() and not _is_text(value):
        return ("it holds half a character",)
    return f'{begin}"{value.translate(_WORD_ESCAPES)}"'


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _expected(what: str) -> str:
    return f"expected {what}, as its profile says"


def _quality_of(reading: Reading) -> list[str]:
    """Of a reading that is good as a whole, the worst that one of its values has."""
    quality = reading.quality
    if quality == Quality.GOOD:
        flags = set(reading.flags.values())
        quality = next((one for one in _WORST_FIRST if one in flags), Quality.GOOD)
    return [] if quality == Quality.GOOD else [f'{QUALITY}="{quality.value}"']


def _refused(reading: Reading, head: _Head, field: str, value: Value, reason: str) -> Refused:
    shown = "" if value is None else ascii(value)[:80]
    return Refused(reading.device, reading.child, reading.measured_at, head.measurement, field, shown, reason)
