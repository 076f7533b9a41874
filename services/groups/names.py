"""What people call the places of rules over several devices, on pages and in tickets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sqlalchemy import Connection, select

from device_profiles.schema import Text
from services.groups.places import behind_place, building_place, feed_place, is_place, site_place
from services.sites.model import Feed
from services.tables import buildings, devices, sites


class PlaceName(NamedTuple):
    """What people call a place."""

    name: Text
    building: str | None


def names_of_places(connection: Connection, ids: Iterable[str]) -> dict[str, PlaceName]:
    """What people call those of these that are places, and no devices."""
    wanted = {id for id in ids if is_place(id)}
    if not wanted:
        return {}
    found = dict(_sites_and_buildings(connection))
    if not wanted <= found.keys():
        found |= dict(_parents(connection))
    return {id: found[id] for id in wanted if id in found}


def _sites_and_buildings(connection: Connection) -> Iterator[tuple[str, PlaceName]]:
    for site in connection.execute(select(sites.c.id, sites.c.name_zh, sites.c.name_en, sites.c.feeds)):
        yield site_place(site.id), PlaceName(Text(zh=site.name_zh, en=site.name_en), None)
        for feed in map(Feed.model_validate, site.feeds or ()):
            name = feed.name or Text(zh=feed.id, en=feed.id)
            yield feed_place(site.id, feed.id), PlaceName(name, feed.building)
    for row in connection.execute(select(buildings)):
        yield building_place(row.site, row.id), PlaceName(Text(zh=row.name_zh, en=row.name_en), row.id)


def _parents(connection: Connection) -> Iterator[tuple[str, PlaceName]]:
    """Devices on which others hang."""
    above = select(devices.c.parent).where(devices.c.parent.is_not(None))
    query = select(devices.c.id, devices.c.name_zh, devices.c.name_en, devices.c.building)
    for row in connection.execute(query.where(devices.c.id.in_(above))):
        yield behind_place(row.id), PlaceName(Text(zh=row.name_zh, en=row.name_en), row.building)
