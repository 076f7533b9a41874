"""Fields, events and children of bindings: where a value comes from, and what it may become."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from device_profiles.checks import conditions, templates
from device_profiles.checks.conditions import value_path, value_paths
from device_profiles.checks.subject import Mistakes, Path, Subject
from device_profiles.mistakes import shown
from device_profiles.schema import Binding, Each, Edge, EventKind, EventMap, FieldMap, paths_of

_POSITIONS = ("index", "key")
"""What an element of an `each` has beside the captures of the topic."""
_CONDITIONS = ("when", "faulty_when", "suspect_when")


@dataclass(frozen=True)
class Place:
    """Where a field stands: on the device or on a child kind, and what its message offers."""

    scope: str | None
    captures: Collection[str]
    zipped: tuple[str, ...] = ()


def check_fields(subject: Subject, fields: Mapping[str, FieldMap], place: Place, path: Path) -> Mistakes:
    """Each field is a metric or state of its place."""
    for name, field in fields.items():
        here: Path = (*path, name)
        if name in subject.profile.events:
            yield subject.mistake(here, f"the event {name}", "a metric or state; events stand under events")
            continue
        yield from subject.known(here, name, subject.measured, "metric or state")
        if name in subject.measured:
            yield from subject.scope(here, name, subject.measured[name].scope, place.scope)
            yield from _meaning(subject, name, field, here)
        yield from check_field(subject, field, place, here)


def _meaning(subject: Subject, name: str, field: FieldMap, path: Path) -> Mistakes:
    for key, word in (field.map or {}).items():
        yield from subject.fits((*path, "map", key), name, word)
    for key in ("default", "const"):
        value = getattr(field, key)
        # What a map, a cast or a scale makes of a constant is not the constant.
        if value is not None and not (key == "const" and (field.map or field.cast)):
            yield from subject.fits((*path, key), name, value)
    metric = subject.profile.metrics.get(name)
    if metric is not None and metric.derive is not None:
        yield subject.mistake(path, f"{name}, which is derived", "a metric that nothing else computes")


def check_field(subject: Subject, field: FieldMap, place: Place, path: Path) -> Mistakes:
    """One source, and a way from it to a value."""
    yield from subject.exactly_one(path, field, ("path", "capture", "const"))
    if field.capture is not None:
        yield from subject.known((*path, "capture"), field.capture, place.captures, "topic capture")
    if field.path is not None:
        yield from value_paths(subject, (*path, "path"), field.path)
        for text in paths_of(field.path):
            yield from _zipped(subject, text, place, path)
    for key in _CONDITIONS:
        if (when := getattr(field, key)) is not None:
            yield from conditions.of_values(subject, when, place.captures, (*path, key))
    if field.map is None:
        for key in ("default", "unlisted"):
            if key in field.model_fields_set:
                yield subject.mistake((*path, key), f"{key} without map", "map: the raw values that are known")
    elif not field.map and field.default is None:
        yield subject.mistake((*path, "map"), "an empty map", "at least one raw value, or default for any of them")
    if field.missing_value is not None and field.when_missing is not None:
        yield subject.mistake(path, "missing_value and when_missing", "one of them")
    if field.linear is not None and field.linear[0] == field.linear[1]:
        yield subject.mistake((*path, "linear"), shown(field.linear), "a raw range that is no point")
    if field.scale == 0:
        yield subject.mistake((*path, "scale"), "0", "a factor other than 0")
    if field.strip == "":
        yield subject.mistake((*path, "strip"), "an empty suffix", 'a suffix such as "%"')
    if field.replace is not None and not field.replace[0]:
        yield subject.mistake((*path, "replace"), "an empty text to replace", "the text that is replaced, then the new")


def _zipped(subject: Subject, text: str, place: Place, path: Path) -> Mistakes:
    if not place.zipped or text.startswith(("$.", "$[", "@")):
        return
    if not any(text == array or text.startswith((f"{array}.", f"{array}[")) for array in place.zipped):
        yield from subject.known((*path, "path"), text, place.zipped, "array of zip")


# --- events ----------------------------------------------------------------------------------------------------------


def check_events(subject: Subject, maps: tuple[EventMap, ...], place: Place, path: Path) -> Mistakes:
    """Each raises a declared event of its place."""
    for i, event in enumerate(maps):
        here: Path = (*path, i)
        yield from subject.known((*here, "event"), event.event, subject.profile.events, "event")
        declared = subject.profile.events.get(event.event)
        if declared is not None:
            yield from subject.scope((*here, "event"), event.event, declared.scope, place.scope)
            yield from _phases(subject, event, declared, here)
        if event.when is not None:
            yield from conditions.check(subject, event.when, place.captures, (*here, "when"))
        if event.phase_path is not None:
            yield from value_paths(subject, (*here, "phase_path"), event.phase_path)
        if event.edge is not None:
            yield from _edge(subject, event.edge, place, (*here, "edge"))
        if event.key is not None:
            yield from templates.template(subject, (*here, "key"), event.key)
        for name, field in event.fields.items():
            yield from check_field(subject, field, place, (*here, "fields", name))


def _phases(subject: Subject, event: EventMap, declared: EventKind, path: Path) -> Mistakes:
    said = event.phase is not None or bool(event.phases) or event.phase_path is not None
    if not declared.lasting:
        if said:
            yield subject.mistake(path, f"a phase of {event.event}", "lasting: true on the event, or no phase")
        return
    if event.phase is not None and event.phases:
        yield subject.mistake(path, "phase and phases", "one of them")
    if bool(event.phases) != (event.phase_path is not None):
        found = "phases without phase_path" if event.phases else "phase_path without phases"
        yield subject.mistake(path, found, "phase_path and phases")


def _edge(subject: Subject, edge: Edge, place: Place, path: Path) -> Mistakes:
    yield from subject.exactly_one(path, edge, ("path", "capture"))
    if edge.capture is not None:
        yield from subject.known((*path, "capture"), edge.capture, place.captures, "topic capture")
    if edge.path is not None:
        yield from value_paths(subject, (*path, "path"), edge.path)
    for key, alias in (("from_", "from"), ("to", "to")):
        if getattr(edge, key) == ():
            yield subject.mistake((*path, alias), "an empty list", "at least one value")
    if edge.from_ is not None and edge.from_ == edge.to and len(edge.from_) == 1:
        yield subject.mistake((*path, "to"), f"{edge.to} as in from", "another value: an edge is a change")


def check_ends(subject: Subject) -> Mistakes:
    """What lasts must be able to end."""
    maps: dict[str, list[EventMap]] = {}
    for binding in subject.profile.bindings:
        for event in (*binding.events, *(one for each in binding.each for one in each.events)):
            maps.setdefault(event.event, []).append(event)
    for name, found in maps.items():
        declared = subject.profile.events.get(name)
        if declared is None or not declared.lasting or declared.auto_clear is not None:
            continue
        phases = {phase for one in found for phase in (one.phases.values() or [one.phase or "begin"])}
        if "begin" not in phases and "update" not in phases:
            yield subject.mistake(("events", name), "no begin in any binding", "phase: begin")
        if "end" not in phases:
            yield subject.mistake(("events", name), "no end in any binding", "phase: end, or auto_clear")


# --- children --------------------------------------------------------------------------------------------------------


def check_each(subject: Subject, each: Each, captures: Collection[str], path: Path) -> Mistakes:
    """One fan-out."""
    many = each.over is not None or bool(each.zip)
    place = Place(each.child, [*captures, *_POSITIONS] if many else captures, each.zip)
    yield from subject.known((*path, "child"), each.child, subject.profile.children, "child kind")
    if each.over is not None and each.zip:
        yield subject.mistake(path, "over and zip", "one of them")
    if each.over is not None:
        yield from value_path(subject, (*path, "over"), each.over)
    if each.elements != "auto" and each.over is None:
        yield subject.mistake((*path, "elements"), "elements without over", "over: the object they are in")
    if each.when is not None:
        yield from conditions.check(subject, each.when, place.captures, (*path, "when"))
    yield from templates.template(subject, (*path, "key"), each.key)
    if not many and _counts(each) - set(captures):
        yield subject.mistake((*path, "key"), shown(each.key), "over or zip: a single child has no index and no key")
    yield from check_presence(subject, each, path)
    if each.child in subject.profile.children:
        yield from check_fields(subject, each.fields, place, (*path, "fields"))
        yield from check_events(subject, each.events, place, (*path, "events"))


def _counts(each: Each) -> set[str]:
    """What only elements have, as far as the key asks for it."""
    return set(_POSITIONS).intersection(templates.slots(each.key))


def check_presence(subject: Subject, part: Binding | Each, path: Path) -> Mistakes:
    """Words for it, or a message that says so by itself."""
    if part.presence is not None and part.says is not None:
        yield subject.mistake(path, "presence and says", "one of them")
    if part.presence_path is not None:
        yield from value_paths(subject, (*path, "presence_path"), part.presence_path)
        if part.presence is None:
            yield subject.mistake(
                (*path, "presence_path"), "presence_path without presence", "presence: {word: online}"
            )
    if part.presence == {}:
        yield subject.mistake((*path, "presence"), "no words", "at least one, such as {online: online}")
