"""Whether what is said about a device fits its site and its profile. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from device_profiles.children import children_of
from device_profiles.schema import DeviceProfile
from gateway.reading import child_kind
from services.adoption.model import Mistake, Place, Serves
from services.sites.mistakes import known_one
from services.sites.params import param_mistake
from services.sites.store import Site


@dataclass(frozen=True, kw_only=True)
class Neighbourhood:
    """What is known of the site where a device is to stand."""

    site: Site
    parents: Mapping[str, str | None]
    """Devices of the site -> what they hang on."""
    supplies: Collection[str]


def mistakes_of(said: Place, id: str, profile: DeviceProfile, around: Neighbourhood) -> list[Mistake]:
    """Every mistake at once."""
    return [
        *_place(said, around.site),
        *_params(said, profile),
        *_parent(said, id, around.parents),
        *(one for n, serves in enumerate(said.serves) for one in _serves(n, serves, said, profile, around.supplies)),
    ]


def _place(said: Place, site: Site) -> Iterator[Mistake]:
    units = {building.id: [unit.id for unit in building.units] for building in site.buildings}
    if said.building is not None and said.building not in units:
        yield Mistake("building", repr(said.building), known_one(said.building, units))
    elif said.unit is not None and said.building is None:
        yield Mistake("unit", repr(said.unit), "a building with it")
    elif said.unit is not None and said.building is not None and said.unit not in units[said.building]:
        yield Mistake("unit", repr(said.unit), known_one(said.unit, units[said.building]))


def _params(said: Place, profile: DeviceProfile) -> Iterator[Mistake]:
    for name, value in said.params.items():
        param = profile.params.get(name)
        if param is None:
            yield Mistake(f"params.{name}", repr(name), known_one(name, profile.params))
        elif expected := param_mistake(param, value):
            yield Mistake(f"params.{name}", repr(value), expected)


def _parent(said: Place, id: str, parents: Mapping[str, str | None]) -> Iterator[Mistake]:
    if said.parent is None:
        return
    if said.parent not in parents:
        yield Mistake("parent", repr(said.parent), known_one(said.parent, set(parents) - {id}))
        return
    above: str | None = said.parent
    seen: set[str] = set()
    while above is not None and above not in seen:
        if above == id:
            yield Mistake("parent", repr(said.parent), "a device that does not hang on this one itself")
            return
        seen.add(above)
        above = parents.get(above)


def _serves(
    number: int, serves: Serves, said: Place, profile: DeviceProfile, supplies: Collection[str]
) -> Iterator[Mistake]:
    if serves.supply not in supplies:
        yield Mistake(f"serves[{number}].supply", repr(serves.supply), known_one(serves.supply, supplies))
    if not serves.child:
        return
    kind, _, key = serves.child.partition(":")
    if kind not in profile.children:
        yield Mistake(f"serves[{number}].child", repr(serves.child), known_one(kind, profile.children))
        return
    known = [one for one in children_of(profile, said.params) if child_kind(one) == kind]
    if (key == "*" and not known) or (known and key != "*" and serves.child not in known) or not key:
        expected = f"{known[0]} to {known[-1]}" if known else f"one part, such as {kind}:1"
        yield Mistake(f"serves[{number}].child", repr(serves.child), expected)


def members_of(said: Place, profile: DeviceProfile) -> list[dict[str, object]]:
    """What it serves, "port:*" written out, each once."""
    found: dict[tuple[str, str], dict[str, object]] = {}
    for serves in said.serves:
        kind, _, key = serves.child.partition(":")
        parts = [serves.child]
        if key == "*":
            parts = [one for one in children_of(profile, said.params) if child_kind(one) == kind]
        for part in parts:
            found[serves.supply, part] = {"supply": serves.supply, "child": part, "vital": serves.vital}
    return list(found.values())
