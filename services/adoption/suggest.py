"""Where a new device probably belongs. Pure; a wrong guess costs a click."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.adoption.model import Suggestion
from services.sites.store import Site

_LEAST_PREFIX = 4
"""Fewer equal characters at the beginning of two addresses are chance."""


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A device that has its place."""

    id: str
    profile: str
    address: str
    site: str
    building: str | None
    gateway: str | None


def suggest(
    *,
    profile: str,
    address: str,
    gateway: str | None,
    announced: Mapping[str, Any],
    neighbours: Collection[Neighbour],
    sites: Mapping[str, Site],
    taken: Collection[str],
) -> Suggestion:
    near = [one for one in neighbours if gateway is None or one.gateway == gateway] or list(neighbours)
    site = _most((one.site for one in near), sites)
    around = [one for one in neighbours if one.site == site]
    name = str(announced.get("name") or "")[:200]
    return Suggestion(
        id=free_id(address, profile, taken),
        site=site,
        building=_building(name, sites.get(site or "")) or _alike(profile, address, around),
        parent=_parent(address, around),
        name=name,
    )


def _most(found: Iterable[str], sites: Mapping[str, Site]) -> str | None:
    counted = Counter(one for one in found if one in sites)
    if counted:
        return min(counted, key=lambda site: (-counted[site], site))
    return next(iter(sites)) if len(sites) == 1 else None


def _building(name: str, site: Site | None) -> str | None:
    """The building that its own name says."""
    said = name.casefold()
    for building in site.buildings if site is not None and said else ():
        words = {building.name.zh, building.name.en, f"{building.id}号楼", f"{building.id} 号楼", f"#{building.id}"}
        if any(_says(said, word.casefold()) for word in words if word):
            return building.id
    return None


def _says(said: str, word: str) -> bool:
    """Building 1 is not building 11."""
    edges = (r"(?<!\d)" if word[:1].isdigit() else "", r"(?!\d)" if word[-1:].isdigit() else "")
    return re.search(f"{edges[0]}{re.escape(word)}{edges[1]}", said) is not None


def _alike(profile: str, address: str, around: Iterable[Neighbour]) -> str | None:
    """Where the device of this kind stands whose address begins most alike."""
    alike = [(_equal_start(one.address, address), one) for one in around if one.profile == profile]
    best = max(alike, key=lambda pair: pair[0], default=None)
    return best[1].building if best is not None and best[0] >= _LEAST_PREFIX else None


def _equal_start(one: str, other: str) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _parent(address: str, around: Iterable[Neighbour]) -> str | None:
    """A device whose address is the upper level of this one's: "dtu-1" of "dtu-1/7"."""
    upper = address.rpartition("/")[0]
    return next((one.id for one in around if upper and one.address == upper), None)


def free_id(address: str, profile: str, taken: Collection[str]) -> str:
    """The address where it can be an id, else the profile with a number."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", address).strip("-._")[:60]
    if plain and plain not in taken:
        return plain
    stem = (plain or profile)[:56]
    return next(f"{stem}-{n}" for n in range(2 if plain else 1, len(taken) + 3) if f"{stem}-{n}" not in taken)
