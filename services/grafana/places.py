"""The sites of the database, as far as dashboards care."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import Connection, select

from dashboards.places import Place
from device_profiles.schema import DeviceProfile, Text
from services.tables import devices, sites


def places(connection: Connection, library: Mapping[str, DeviceProfile]) -> list[Place]:
    """Every site with the kinds of devices that stand there, by id."""
    profiles: dict[str, set[str]] = defaultdict(set)
    for row in connection.execute(select(devices.c.site, devices.c.profile).distinct()):
        if row.site is not None:
            profiles[row.site].add(row.profile)
    return [
        Place(
            row.id,
            Text(zh=row.name_zh, en=row.name_en),
            profiles=frozenset(profiles[row.id]),
            families=frozenset(library[name].family for name in profiles[row.id] if name in library),
        )
        for row in connection.execute(select(sites).order_by(sites.c.id))
    ]
