"""What a key's name tells of its value: the quantity, its unit, its names; in English, Chinese and pinyin."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.authoring import ids
from services.authoring.quantities import (
    BY_UNIT,
    NAMED,
    PARTS,
    QUALIFIERS,
    QUANTITIES,
    SPELT_UNITS,
    STATE_NAMES,
    UNIT_OF_SUFFIX,
    Quantity,
)

_COUNTED = re.compile(r"(?:^|[^A-Za-z0-9]|(?:^|[^A-Za-z0-9])[A-Za-z]|[A-Za-z]{2,})(\d+)$")
"""The number of `voltage2` and `pump_2`, and not what looks so in a part number such as `DS18B20`."""
_INNER = {"power": "power", "voltage": "voltage", "energy": "energy", "freq": "frequency"}
"""Words that say it in the middle of a longer one: `pvpowerin`."""


def tokens(key: str) -> list[str]:
    """The words of a key: `waterTemp_C` -> water, temp, c."""
    return [word for word in ids.identifier(key, "").split("_") if word]


def quantity_of(path: Sequence[str]) -> Quantity | None:
    """The quantity that a key names (its parents' words help where it says nothing itself)."""
    return _found(path)[0]


def parent_that_says(path: Sequence[str]) -> str | None:
    """The parent whose word names the quantity: `voltage` of voltage.phase_a; None where the key does so itself."""
    _, key = _found(path)
    return key if path and key != path[-1] else None


def _found(path: Sequence[str]) -> tuple[Quantity | None, str | None]:
    found = [(quantity, key) for key in reversed(path[-3:]) if (quantity := _of_key(key)) is not None]
    # `total` alone counts anything: what is counted stands above it.
    return next((one for one in found if one[0].name != "count"), found[0] if found else (None, None))


def _of_key(key: str) -> Quantity | None:
    words = [form for word in tokens(key) for form in (word, re.sub(r"\d+$", "", word)) if form]
    joined = "".join(tokens(key))
    inner = next((NAMED[name] for word, name in _INNER.items() if word in joined), None)
    for listed, quantity in QUANTITIES:
        for one in listed.split():
            foreign = not one.isascii()
            if (foreign and one in key) or (not foreign and (one in words or (len(one) > 3 and joined == one))):
                return quantity
            if len(one) >= 4 and one.isascii() and any(word.endswith(one) or word.startswith(one) for word in words):
                return inner if inner is not None and quantity.name == "count" else quantity
    unit = unit_of_key(key)
    return NAMED.get(BY_UNIT.get(unit or "", "")) or inner


def unit_of_key(key: str) -> str | None:
    """`outlet_mpa` -> MPa; only where the key has other words too."""
    words = tokens(key)
    if len(words) > 1 and words[-1] in UNIT_OF_SUFFIX and (len(words[-1]) > 1 or _measured(words[-1], words[:-1])):
        return UNIT_OF_SUFFIX[words[-1]]
    return None


def _measured(letter: str, before: list[str]) -> bool:
    """One letter at the end is a unit where the words before name its quantity: current_a, supply_v, temp_c."""
    wanted = {"v": ("voltage",), "a": ("current",), "c": ("temperature",), "w": ("power",), "l": ("volume",)}[letter]
    quantity = _of_key("_".join(before))
    return letter in "vw" if quantity is None else quantity.name in wanted


def spelt(unit: str) -> str:
    """A unit as Courtyard spells it: `℃` -> `°C`, `RPM` -> `rpm`."""
    return SPELT_UNITS.get(unit.strip(), unit.strip())


def name_of(key: str, parents: Sequence[str], quantity: Quantity | None) -> tuple[str, str]:
    """(zh, en): made of the quantity's names and of the qualifying words; Chinese keys stay as they are."""
    words = [word for one in (*parents[-1:], key) for word in tokens(one)]
    chinese = "".join(sign for sign in key if not sign.isascii())
    if quantity is None:
        en = " ".join(tokens(key)).capitalize() or "Value"
        known_zh = [STATE_NAMES.get(word, "") for word in tokens(key)]
        return (key if chinese else "".join(known_zh) if known_zh and all(known_zh) else en), en
    if unit_of_key(key):
        words.pop()
    own = quantity.en.lower().split()
    known = [QUALIFIERS[word] for word in dict.fromkeys(words) if word in QUALIFIERS and word not in own]
    number = None if unit_of_key(key) else _COUNTED.search(key)
    tail = f" {number[1]}" if number and quantity.name != ids.identifier(key) else ""
    zh = chinese or "".join(zh for zh, _ in known) + quantity.zh
    first, *rest = [*(en for _, en in known), quantity.en]
    return zh + ("" if chinese else tail), " ".join(
        [first, *(word[0].lower() + word[1:] if word[1:].islower() else word for word in rest)]
    ) + tail


def part_name(kind: str) -> tuple[str, str]:
    """(zh, en) of a kind of children."""
    return PARTS.get(kind, (kind, kind.replace("_", " ").capitalize()))
