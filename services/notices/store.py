"""Planned notices into the outbox, and who they are for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, insert, select

from device_profiles.schema import Text
from services.ids import new_id
from services.notices.plan import Audience, Notice, Recipient
from services.tables import buildings, notices, recipients, sites, units


def queue(connection: Connection, planned: Iterable[Notice], *, now: datetime) -> int:
    """Put notices into the outbox within the caller's transaction; how many."""
    rows = [
        {"id": new_id(now), **vars(notice), "state": "queued", "created_at": now, "next_attempt_at": now}
        for notice in planned
    ]
    if rows:
        connection.execute(insert(notices), rows)
    return len(rows)


def audience_of(connection: Connection, site: str) -> Audience:
    """The recipients of one site, and the words their messages need. The site must exist."""
    row = connection.execute(select(sites).where(sites.c.id == site)).one()
    names = connection.execute(select(buildings).where(buildings.c.site == site))
    doors = connection.execute(select(units).where(units.c.site == site))
    people = connection.execute(select(recipients).where(recipients.c.site == site).order_by(recipients.c.id))
    return Audience(
        site=site,
        name=Text(zh=row.name_zh, en=row.name_en),
        timezone=row.timezone,
        contact=Text(zh=row.contact_zh, en=row.contact_en),
        buildings={one.id: Text(zh=one.name_zh, en=one.name_en) for one in names},
        units={(one.building, one.id): Text(zh=one.name_zh, en=one.name_en) for one in doors},
        recipients=tuple(
            Recipient(
                id=one.id,
                audience=one.audience,
                channel=one.channel,
                target=one.target,
                language=one.language,
                about=tuple(one.about),
                min_severity=one.min_severity,
                buildings=tuple(one.buildings),
                step=one.step or 0,
                digest=one.digest,
            )
            for one in people
        ),
    )
