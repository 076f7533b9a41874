"""New devices under attack: two people at once, names that are long, taken or none, scripts in what is announced."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import ValidationError

from gateway.presence import ANNOUNCED
from gateway.reading import Event, provisional_id
from services.adoption import history
from services.adoption.model import AdoptionConflict, AdoptionMistakes
from services.scope import NotFound
from tests.stories.site import Story, opened
from tests.stories.test_adoption import ID, Yard

LONG = "x" * 90


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    database = opened(f"sqlite:///{tmp_path / 'b.db'}")
    found = Yard(Story(database), tmp_path)
    yield found
    found.telemetry.close()
    database.close()


def test_two_people_adopt_the_same_one_at_once(yard: Yard) -> None:
    yard.says(ID, pressure=0.4)

    def adopt(number: int) -> str:
        try:
            return str(yard.adopt(id=f"pumps-{number}").id)
        except (AdoptionConflict, AdoptionMistakes, NotFound) as error:
            return type(error).__name__

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(adopt, range(90, 98)))
    assert sum(one.startswith("pumps-") for one in found) == 1, found
    assert list(yard.registered().values()).count(("pumps", "P/9")) == 1
    assert yard.unclaimed() == []


@pytest.mark.parametrize("id", ["pumps", "../x", "a/b", "a b", "", "é", "x" * 65, "p:q", "<b>", "a\0", "+", "#"])
def test_ids_that_are_taken_or_none(yard: Yard, id: str) -> None:
    yard.says(ID, pressure=0.4)
    before = yard.registered()
    with pytest.raises((AdoptionMistakes, ValidationError)):
        yard.adopt(id=id)
    assert yard.registered() == before
    assert len(yard.unclaimed()) == 1


def test_long_names_are_devices_of_their_own_with_their_own_history(yard: Yard) -> None:
    one, other = provisional_id("pumps", LONG + "a"), provisional_id("pumps", LONG + "b")
    yard.says(one, pressure=0.1)
    yard.says(other, pressure=0.9)
    found = {new.address: new for new in yard.unclaimed()}
    assert [found[LONG + end].latest.values["pressure"] for end in "ab"] == [0.1, 0.9]
    yard.adopt(found[LONG + "a"].id, id="pumps-a")
    yard.adopt(found[LONG + "b"].id, id="pumps-b")
    assert (yard.points("pumps-a"), yard.points("pumps-b")) == ([0.1], [0.9])


def test_what_is_said_while_it_is_adopted_is_its_own(yard: Yard) -> None:
    """A gateway learns of the new id some seconds later; what it still calls by the old one goes along."""
    yard.says(ID, pressure=0.1)
    yard.adopt()
    yard.site.at("00:02")
    yard.says(ID, pressure=0.2)
    assert yard.unclaimed() == []
    yard.site.at("00:03")
    yard.says("pumps-9", pressure=0.3)
    history.carry(yard.site.database, yard.telemetry, yard.site.clock.time)
    assert yard.points("pumps-9") == [0.1, 0.2, 0.3]


def test_scripts_in_what_it_announces(yard: Yard) -> None:
    script = "<script>alert(1)</script>\u202e\0" * 50
    told: dict[str, Any] = {f"k{i}{script}": script for i in range(100)}
    said = replace(yard.site.reading(ID, "", {}, profile="pumps"), events=(Event(ANNOUNCED, told),))
    yard.site.deliver(said)
    (new,) = yard.unclaimed()
    assert 0 < len(new.announced) <= 30
    assert all(len(str(value)) <= 200 and "\0" not in str(value) for value in new.announced.values())
