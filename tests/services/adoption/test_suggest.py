"""Good guesses where a new device belongs."""

from __future__ import annotations

from typing import Any

import pytest

from device_profiles.schema import Text
from services.adoption.suggest import Neighbour, free_id, suggest
from services.sites.store import Building, Site


def _site(id: str) -> Site:
    houses = tuple(Building(id=n, name=Text(zh=f"{n}号楼", en=f"Building {n}"), units=()) for n in ("1", "11"))
    return Site(id=id, name=Text(zh=id, en=id), timezone="UTC", contact=Text(zh="", en=""), buildings=houses)


def _near(id: str, address: str, **more: Any) -> Neighbour:
    return Neighbour(
        **{"id": id, "profile": "p", "address": address, "site": "a", "building": None, "gateway": "g", **more}
    )


def _guess(address: str = "new", *, announced: dict[str, Any] | None = None, around: tuple[Neighbour, ...] = ()) -> Any:
    return suggest(
        profile="p",
        address=address,
        gateway="g",
        announced=announced or {},
        neighbours=around,
        sites={"a": _site("a"), "b": _site("b")},
        taken={one.id for one in around},
    )


def test_the_site_is_where_most_devices_of_its_gateway_stand() -> None:
    assert _guess().site is None
    around = (_near("1", "x"), _near("2", "y", site="b"), _near("3", "z", site="b", gateway="other"))
    assert _guess(around=around).site == "a", "a tie is decided, and other gateways do not count"
    assert _guess(around=(*around, _near("4", "w", site="b"))).site == "b"


@pytest.mark.parametrize(
    ("name", "building"),
    [
        ("11号楼 水泵", "11"),
        ("1号楼水泵", "1"),
        ("Pump, Building 11", "11"),
        ("building 1 pump", "1"),
        ("Pump 1", None),
    ],
)
def test_the_building_is_the_one_its_name_says(name: str, building: str | None) -> None:
    found = _guess(announced={"name": name}, around=(_near("1", "x"),))
    assert (found.building, found.name) == (building, name)


def test_or_that_of_a_device_whose_address_begins_alike() -> None:
    around = (_near("1", "AA-BB-01", building="1"), _near("2", "AA-CC-01", building="11"))
    assert _guess("AA-CC-07", around=around).building == "11"
    assert _guess("AB-CC-07", around=around).building is None


def test_the_parent_is_the_upper_level_of_its_address() -> None:
    assert _guess("dtu-1/7", around=(_near("collector", "dtu-1"),)).parent == "collector"
    assert _guess("dtu-2/7", around=(_near("collector", "dtu-1"),)).parent is None


def test_ids_are_free_and_can_be_typed() -> None:
    assert free_id("04AB373B", "p", {"x"}) == "04AB373B"
    assert free_id("a/b c", "p", set()) == "a-b-c"
    assert free_id("x", "p", {"x", "x-2"}) == "x-3"
    assert free_id("水泵", "pumps", {"pumps-1"}) == "pumps-2"
    assert len(free_id("z" * 200, "p", {"z" * 60})) <= 64
