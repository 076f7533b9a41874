"""Templates that name devices and children: `{address}`, `{port+1}`, `{after.camera}-{index}`; and back again."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

from gateway.decode.errors import DecodeError, shown
from gateway.decode.paths import parse_path
from gateway.decode.scope import Scope, ScopeGetter, nearest_getter

_SLOT = re.compile(r"\{([^{}]+?)([+-]\d+)?\}")
_FORBIDDEN = frozenset("+#/")
LONGEST_ADDRESS = 100
LONGEST_KEY = 40
_MOST_SLOTS = 64
_LONGEST_WORD = 256
"""More than any name may have: what is longer is cut, and refused as too long with the rest of the template."""
_MOST_REMEMBERED = 1024
"""Ids of children per binding that need not be put together anew."""
POSITIONS = frozenset({"index", "key"})
"""Slots that name the position of an element, or its key."""


class Slot(NamedTuple):
    """`{name}` or `{name+1}`."""

    name: str
    plus: int = 0
    counted: bool = False


class Template(NamedTuple):
    """A text with slots; `parts` alternates freely between literals and slots."""

    text: str
    parts: tuple[str | Slot, ...]

    @property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(part for part in self.parts if isinstance(part, Slot))

    def invert(self, filled: str) -> dict[str, str]:
        """What the slots must have held to give `filled`; raises ValueError."""
        pattern = "".join("(.+?)" if isinstance(part, Slot) else re.escape(part) for part in self.parts)
        found = re.fullmatch(pattern, filled)
        if found is None:
            raise ValueError(f"expected something of the form {self.text!r}, found {filled!r}")
        return {
            slot.name: str(int(text) - slot.plus) if slot.counted else text
            for slot, text in zip(self.slots, found.groups(), strict=True)
        }


def parse_template(text: str) -> Template:
    """Take a template apart; raises ValueError."""
    parts: list[str | Slot] = []
    at = 0
    for found in _SLOT.finditer(text):
        if found.start() > at:
            parts.append(text[at : found.start()])
        parts.append(Slot(found[1].strip(), int(found[2] or 0), found[2] is not None))
        at = found.end()
    if at < len(text):
        parts.append(text[at:])
    if not parts or any(isinstance(part, str) and ("{" in part or "}" in part) for part in parts):
        raise ValueError(f"expected a template such as {{port+1}}, found {text!r}")
    template = Template(text, tuple(parts))
    if len(template.slots) > _MOST_SLOTS:
        raise ValueError(f"expected at most {_MOST_SLOTS} slots in a template, found {len(template.slots)}")
    return template


def filler(template: Template, captures: frozenset[str], positions: frozenset[str]) -> Callable[[Scope], str]:
    """A closure that fills the template from captures, from `index` and `key`, or from payload paths."""
    pieces = [
        part if isinstance(part, str) else (part, _slot_getter(part, captures, positions)) for part in template.parts
    ]
    if len(pieces) == 1 and not isinstance(pieces[0], str):
        slot, get = pieces[0]
        return lambda scope: _word(get(scope), slot)

    def fill(scope: Scope) -> str:
        return "".join(piece if isinstance(piece, str) else _word(piece[1](scope), piece[0]) for piece in pieces)

    return fill


def child_namer(
    kind: str, template: Template, captures: frozenset[str], positions: frozenset[str] = POSITIONS
) -> Callable[[Scope], str]:
    """A closure that gives a child's id, such as `port:3`. Ids of the same slot come again and again: they are
    remembered."""
    fill, prefix = filler(template, captures, positions), kind + ":"

    def named(scope: Scope) -> str:
        return prefix + check_key(fill(scope))

    slot = template.parts[0]
    if len(template.parts) > 1 or isinstance(slot, str):
        return named
    get = _slot_getter(slot, captures, positions)
    known: dict[int | str, str] = {}

    def remembered(scope: Scope) -> str:
        raw = get(scope)
        if type(raw) is not int and type(raw) is not str:
            return named(scope)
        child = known.get(raw)
        if child is None:
            child = named(scope)
            if len(known) < _MOST_REMEMBERED:
                known[raw] = child
        return child

    return remembered


def _slot_getter(slot: Slot, captures: frozenset[str], positions: frozenset[str]) -> ScopeGetter:
    name = slot.name
    if name in positions:
        return attrgetter(name)
    if name in captures:
        return lambda scope: scope.captures[name]
    return nearest_getter(parse_path(name))


def _word(raw: Any, slot: Slot) -> str:
    kind = type(raw)
    if slot.counted:
        return str(_whole(raw, slot) + slot.plus)
    if kind is str:
        return raw[:_LONGEST_WORD]  # type: ignore[no-any-return]
    if kind is int and raw.bit_length() <= 64:
        return str(raw)
    if kind is float and raw.is_integer() and abs(raw) < 1e15:
        return str(int(raw))
    code = "missing" if raw is None else "wrong_type"
    raise DecodeError(code, field=slot.name, found=shown(raw), expected="a text or a whole number to name it by")


def _whole(raw: Any, slot: Slot) -> int:
    if type(raw) is int and raw.bit_length() <= 64:
        return raw
    if type(raw) is str and raw.isascii() and raw.isdigit() and len(raw) < 16:
        return int(raw)
    if type(raw) is float and raw.is_integer() and abs(raw) < 1e15:
        return int(raw)
    code = "missing" if raw is None else "wrong_type"
    raise DecodeError(code, field=slot.name, found=shown(raw), expected="a whole number to count from")


def check_address(address: str, *, levels_allowed: bool = False) -> str:
    """Refuse what could escape a topic, a path or a screen: wildcards, separators, control characters."""
    bad = _FORBIDDEN.intersection(address)
    if levels_allowed:
        bad = bad - {"/"}
    if not address or len(address) > LONGEST_ADDRESS or bad or not address.isprintable():
        raise DecodeError(
            "bad_address",
            field="address",
            found=shown(address),
            expected=f"1 to {LONGEST_ADDRESS} printable characters without + # /",
        )
    return address


def check_key(key: str) -> str:
    """The same for the key of a child. Names with levels, such as `Pump/Pressure`, get a dot for each slash."""
    key = key.replace("/", ".")
    if not key or len(key) > LONGEST_KEY or not key.isprintable() or not _FORBIDDEN.isdisjoint(key):
        raise DecodeError(
            "bad_address",
            field="key",
            found=shown(key),
            expected=f"1 to {LONGEST_KEY} printable characters without + # as a child's key",
        )
    return key
