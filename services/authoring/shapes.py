"""Topic shapes: which levels of the captured topics name a device or a part of it, and which say what is said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.authoring import ids

Leaf = frozenset[str]
"""What the messages of one topic look like: "number", "text", "binary", or the keys of their object."""


@dataclass(frozen=True)
class Slot:
    """A level that varies, with the values seen. `before` is a fixed beginning: `switch:` of `switch:0`."""

    values: frozenset[str]
    before: str = ""
    numeric: bool = False


Level = str | Slot


@dataclass(frozen=True)
class Shape:
    """Topics that differ only in their slots."""

    levels: tuple[Level, ...]
    topics: frozenset[str]

    @property
    def slots(self) -> list[int]:
        return [i for i, level in enumerate(self.levels) if isinstance(level, Slot)]


class Row(NamedTuple):
    topic: str
    levels: tuple[str, ...]
    leaf: Leaf


def rough_shape(topic: str) -> str:
    """A quick guess from one topic alone, for counting while a capture runs."""
    return "/".join(_rough(level) for level in topic.split("/"))


def _rough(level: str) -> str:
    if found := ids.indexed(level):
        return f"{found[0]}:{{}}"
    return "{}" if ids.is_number(level) or ids.looks_like_id(level) else level


def shapes_of(leaves: Mapping[str, Leaf], named: frozenset[str] = frozenset()) -> list[Shape]:
    """The shapes of these topics, in the order of their topics. `named`: levels that payloads name as a device."""
    rows = [Row(topic, tuple(topic.split("/")), leaf) for topic, leaf in sorted(leaves.items())]
    found: list[Shape] = []
    _descend(rows, (), found, named)
    return found


def _descend(rows: Sequence[Row], levels: tuple[Level, ...], found: list[Shape], named: frozenset[str]) -> None:
    depth = len(levels)
    ending = frozenset(row.topic for row in rows if len(row.levels) == depth)
    if ending:
        found.append(Shape(levels, ending))
    below: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if len(row.levels) > depth:
            below[row.levels[depth]].append(row)
    for level, members in _known_convention(levels, below) or _levels(below, depth, named, _is_named(levels, named)):
        _descend(members, (*levels, level), found, named)


def _is_named(levels: tuple[Level, ...], named: frozenset[str]) -> bool:
    return any(isinstance(level, Slot) and bool(level.values & named) for level in levels)


def _known_convention(
    levels: tuple[Level, ...], below: Mapping[str, list[Row]]
) -> list[tuple[Level, list[Row]]] | None:
    """Topics whose convention says where the device's name stands: `homie/5/DEVICE/…`, `zigbee2mqtt/NAME`."""
    if levels == ("homie",):
        versioned = all(ids.is_number(value) for value in below)
        return list(below.items()) if versioned else _all_but(below, "$")
    if len(levels) == 2 and levels[0] == "homie" and isinstance(levels[1], str):
        return _all_but(below, "$")
    return _all_but(below, "bridge") if levels == ("zigbee2mqtt",) else None


def _all_but(below: Mapping[str, list[Row]], literal: str) -> list[tuple[Level, list[Row]]]:
    fixed: list[tuple[Level, list[Row]]] = [(v, rows) for v, rows in below.items() if v.startswith(literal)]
    names = [value for value in below if not value.startswith(literal)]
    rest = [row for value in names for row in below[value]]
    return [*fixed, (Slot(frozenset(names)), rest)] if names else fixed


def _levels(
    below: Mapping[str, list[Row]], depth: int, named: frozenset[str], has_device: bool
) -> list[tuple[Level, list[Row]]]:
    """The values of one level, those of one kind taken together. Below a device, a name says what is said."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for value in below:
        kinds["id" if value in named else _kind(value)].append(value)
    names = kinds.pop("name", [])
    alike, literal = ([], names) if has_device else _alike(names, kinds.get("id", []), below, depth)
    kinds["id"] = [*kinds.get("id", []), *alike]
    out: list[tuple[Level, list[Row]]] = [(value, below[value]) for value in [*literal, *kinds.pop("word", [])]]
    for kind, values in kinds.items():
        if values:
            members = [row for value in values for row in below[value]]
            out.append((_slot(kind, values), members))
    return sorted(out, key=lambda one: one[1][0].topic)


_NEVER_LITERAL = frozenset("{}+#\0")
"""Signs that the topic of a binding cannot hold as they are."""


def _kind(value: str) -> str:
    if found := ids.indexed(value):
        return f"{found[0]}:"
    if set(value) & _NEVER_LITERAL:
        return "id"
    if ids.is_number(value):
        return "number"
    if ids.is_word(value) or not value:
        return "word"
    return "id" if ids.looks_like_id(value) else "name"


def _slot(kind: str, values: Sequence[str]) -> Slot:
    if kind.endswith(":"):
        return Slot(frozenset(value[len(kind) :] for value in values), before=kind, numeric=True)
    return Slot(frozenset(values), numeric=kind == "number")


def _alike(
    names: Sequence[str], known: Sequence[str], below: Mapping[str, list[Row]], depth: int
) -> tuple[list[str], list[str]]:
    """Names below which the same things stand as below another one: they vary, and the rest are literals."""
    faces = {value: _face(below[value], depth + 1) for value in (*names, *known)}
    beginnings = {ids.beginning(value) for value in known} - {""}
    alike = [
        value
        for value in names
        if ids.beginning(value) in beginnings
        or any(_same(faces[value], faces[other]) for other in faces if other != value)
    ]
    return alike, [value for value in names if value not in alike]


class _Face(NamedTuple):
    """What stands below a value: the rest of each topic, and the keys of what is said right there."""

    rests: frozenset[str]
    leaf: Leaf


def _face(rows: Iterable[Row], depth: int) -> _Face:
    rests: set[str] = set()
    leaf: set[str] = set()
    for row in rows:
        if len(row.levels) == depth:
            leaf |= row.leaf
        else:
            rests.add("/".join(_rough(level) for level in row.levels[depth:]))
    return _Face(frozenset(rests), frozenset(leaf))


_SCALARS = frozenset({"number", "text", "binary", "boolean"})


def _same(one: _Face, other: _Face) -> bool:
    objects = one.leaf - _SCALARS, other.leaf - _SCALARS
    if all(objects):
        return len(objects[0] & objects[1]) * 2 >= min(map(len, objects))
    if one.rests and other.rests:
        return len(one.rests & other.rests) * 2 >= min(len(one.rests), len(other.rests))
    return False  # bare values beside each other are different quantities, not different devices


# --- which slot names the device ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pattern:
    """A shape with its slots named: the topic of a binding."""

    topic: str
    topics: frozenset[str]
    address: bool
    child: str | None = None
    """The child kind, where a level names a part of the device."""
    child_capture: str | None = None
    literal_levels: int = 0
    before_address: str = ""
    notes: tuple[str, ...] = ()
    captures: tuple[str, ...] = field(default=())


def clusters(shapes: Sequence[Shape]) -> list[list[Shape]]:
    """Shapes that speak of the same kind of device: one first level, or the same names of devices."""
    groups: list[list[Shape]] = []
    for shape in shapes:
        joined = [group for group in groups if any(_related(shape, other) for other in group)]
        groups = [group for group in groups if group not in joined]
        groups.append([shape, *(other for group in joined for other in group)])
    return groups


def _related(one: Shape, other: Shape) -> bool:
    first, second = _first(one), _first(other)
    if isinstance(first, str) and first == second:
        return True
    if isinstance(first, Slot) and isinstance(second, Slot):
        return first.before == second.before
    mine = _names(one)
    return bool(mine and mine & _names(other))


def _first(shape: Shape) -> Level:
    at = 1 if shape.levels[0] == "" and len(shape.levels) > 1 else 0
    return shape.levels[at]


def _names(shape: Shape) -> frozenset[str]:
    return frozenset(
        value for level in shape.levels if isinstance(level, Slot) and not level.numeric for value in level.values
    )


def name_slots(shapes: Sequence[Shape], *, in_payload: bool = False) -> list[Pattern]:
    """The binding topics of one cluster: which capture is the address, which names a child.

    `in_payload`: every message says itself who sent it, so a topic without anything like a device's name has none.
    """
    if not in_payload and not any(shape.slots for shape in shapes):
        shapes = [_with_weak_slot(shape) for shape in shapes]
    return [_named(shape) for shape in shapes]


def _with_weak_slot(shape: Shape) -> Shape:
    """Without anything that looks like a device's name: `pump01`, or the last level that is no word of a topic."""
    names = [i for i, level in enumerate(shape.levels) if isinstance(level, str) and level and not ids.is_word(level)]
    counted = [i for i in names if any(sign.isdigit() for sign in str(shape.levels[i]))]
    first = 1 if shape.levels[0] == "" else 0
    named = [i for i in names if i > first]
    for i in (counted or named)[-1:]:
        level = str(shape.levels[i])
        return Shape((*shape.levels[:i], Slot(frozenset({level})), *shape.levels[i + 1 :]), shape.topics)
    return shape


def _named(shape: Shape) -> Pattern:
    slots = shape.slots
    address = _address(shape)
    child = next((i for i in reversed(slots) if address is not None and i > address), None)
    out: list[str] = []
    captures: list[str] = []
    for i, level in enumerate(shape.levels):
        if not isinstance(level, Slot):
            out.append(level)
            continue
        name = "address" if i == address else _slot_name(shape, i, captures)
        captures.append(name)
        before = level.before or _shared_beginning(level, first=i == 0 and i == address)
        out.append(f"{before}{{{name}}}")
    kind = _child_kind(shape, child) if child is not None else None
    return Pattern(
        "/".join(out),
        shape.topics,
        address is not None,
        kind,
        None if child is None else captures[slots.index(child)],
        sum(isinstance(level, str) and level != "" for level in shape.levels),
        captures=tuple(captures),
    )


def _address(shape: Shape) -> int | None:
    slots = shape.slots
    named = [i for i in slots if not _numeric(shape, i)]
    if named:
        parts = [i for i in named[1:] if _is_part(shape, i)]
        return next((i for i in reversed(named) if i not in parts), None)
    return slots[0] if slots else None


def _numeric(shape: Shape, i: int) -> bool:
    level = shape.levels[i]
    return isinstance(level, Slot) and level.numeric


def _is_part(shape: Shape, i: int) -> bool:
    """`relay_1` and `relay_2` below a device are its parts."""
    level = shape.levels[i]
    if not isinstance(level, Slot):
        return False
    stems = {(ids.stem(value.replace("_", "").replace("-", "")) or "").lower() for value in level.values}
    return len(stems) == 1 and stems <= ids.WORDS


def _shared_beginning(slot: Slot, *, first: bool) -> str:
    """The first level is shared with everybody: `shellyplug-{address}` says whose topics these are."""
    if not first:
        return ""
    beginnings = {value.rpartition("-")[0] or value.rpartition("_")[0] for value in slot.values}
    beginning = next(iter(beginnings)) if len(beginnings) == 1 else ""
    if len(beginning) < 3 or not beginning[0].isalpha() or any(mark in beginning for mark in "+#{}"):
        return ""
    mark = next(iter(slot.values))[len(beginning)]
    return beginning + mark


def _slot_name(shape: Shape, i: int, taken: Sequence[str]) -> str:
    level, before = shape.levels[i], shape.levels[i - 1] if i else ""
    if isinstance(level, Slot) and level.before:
        name = ids.identifier(level.before.rstrip(":"), "part")
    elif isinstance(before, str) and before:
        name = ids.identifier(ids.singular(before), "part")
    else:
        name = "part"
    name = "part" if name == "address" else name
    while name in taken:
        name += "_part"
    return name


def _child_kind(shape: Shape, i: int) -> str:
    level = shape.levels[i]
    if isinstance(level, Slot) and not level.numeric:
        stem = ids.stem(next(iter(level.values)).replace("_", "").replace("-", ""))
        if stem:
            return ids.identifier(stem, "part")
    name = _slot_name(shape, i, ())
    return name if name not in ("get", "set", "status", "state") else "part"
