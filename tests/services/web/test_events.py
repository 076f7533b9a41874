"""Events over the API: whose device it is, pages, filters, and the words of the profile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from gateway.reading import Event, Reading
from services.clock import to_millis
from services.events.store import keep, rows_of
from tests.services.web.world import NOW, World

PATH = "/api/v1/devices/east-pump/events"


def happened(world: World, count: int, device: str = "east-pump", **more: Any) -> None:
    readings = [
        Reading(
            device, "", to_millis(NOW - timedelta(minutes=i)), 0, "b", {}, events=(Event("knock", {"n": i}, **more),)
        )
        for i in range(count)
    ]
    with world.context.database.write() as connection:
        for reading in readings:
            keep(connection, rows_of(reading, device, "east"))


def test_events_come_newest_first_and_in_pages(world: World) -> None:
    happened(world, 5)
    happened(world, 5)  # a batch that came again
    client, seen, cursor = world.client("crew@east"), [], None
    for _ in range(3):
        page = client.get(PATH, params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [item["data"]["n"] for item in page["items"]]
        cursor = page["next"]
    assert seen == [0, 1, 2, 3, 4]
    assert cursor is None


def test_an_event_that_no_profile_knows_has_no_name_and_is_shown(world: World) -> None:
    happened(world, 1, key="o-1", phase="begin")
    (item,) = world.client("crew@east").get(PATH).json()["items"]
    assert (item["event"], item["name"], item["severity"]) == ("knock", None, None)
    assert (item["key"], item["phase"], item["quality"]) == ("o-1", "begin", "good")
    assert item["measured_at"] == NOW.isoformat().replace("+00:00", "Z")


def test_they_can_be_asked_for_by_kind_and_child(world: World) -> None:
    happened(world, 2)
    client = world.client("crew@east")
    assert len(client.get(PATH, params={"event": "knock"}).json()["items"]) == 2
    assert client.get(PATH, params={"event": "other"}).json()["items"] == []
    assert client.get(PATH, params={"child": "port:1"}).json()["items"] == []
    assert len(client.get(PATH, params={"child": ""}).json()["items"]) == 2


def test_another_site_s_events_do_not_exist(world: World) -> None:
    happened(world, 1)
    assert world.client("crew@west").get(PATH).status_code == 404
    assert world.client("").get(PATH).status_code == 401


def test_what_comes_off_the_wire_is_stored_as_a_database_takes_it(world: World) -> None:
    hostile = Event("knock", {"text": "a\0\ud800" + "x" * 9_000, **{f"f{i}": i for i in range(90)}}, key="k\0" * 300)
    reading = Reading("east-pump", "", to_millis(NOW), 0, "b", {}, events=(hostile,) * 1_000)
    with world.context.database.write() as connection:
        keep(connection, rows_of(reading, "east-pump", "east"))
    (item,) = world.client("crew@east").get(PATH).json()["items"]
    assert len(item["data"]) == 40
    assert item["data"]["text"] == "a?" + "x" * 498
    assert len(item["key"]) == 200
