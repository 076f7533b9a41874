"""Where people add to an outage what telemetry cannot know: who is on the way, and when there is more to say."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, update

from device_profiles.schema import Text
from services.changes import Change, Changes
from services.database import Database
from services.ids import new_id
from services.notices import plan
from services.notices.store import audience_of, queue
from services.outages import store
from services.outages.store import Outage
from services.scope import NotFound, Scope
from services.tables import outage_updates, outages

NEXT_NEWS = timedelta(hours=2)
"""Every outage says when the next news comes; this much later unless somebody promises another time."""


class OutageOver(Exception):
    """The service is restored: there is no more news to promise."""


def post_news(
    database: Database,
    changes: Changes,
    *,
    scope: Scope,
    outage: str,
    text: Text,
    by: str,
    now: datetime,
    next_news_at: datetime | None = None,
    public_url: str = "",
) -> Outage:
    """Tell residents something; the outage as it is afterwards. Raises NotFound, OutageOver."""
    with database.write() as connection:
        found = _ongoing(connection, scope, outage)
        promised = next_news_at or now + NEXT_NEWS
        row = {"outage": outage, "at": now, "kind": "news", "loss": found.loss, "who": by}
        news = new_id(now)
        connection.execute(insert(outage_updates).values(id=news, **row, text_zh=text.zh, text_en=text.en))
        connection.execute(update(outages).where(outages.c.id == outage).values(next_news_at=promised))
        event = _event(found, update=news, text=text, now=now, next_news_at=promised)
        queue(connection, plan.for_outage(event, audience_of(connection, found.site), public_url=public_url), now=now)
        after = _ongoing(connection, scope, outage)
    changes.publish([Change("outage", outage, found.site)])
    return after


def _ongoing(connection: Connection, scope: Scope, outage: str) -> Outage:
    found = store.get_outage(connection, scope, outage)
    if found is None:
        raise NotFound("outage", outage)
    if found.state != "ongoing":
        raise OutageOver(f"outage {outage} is {found.state}: news can only be added while it lasts")
    return found


def _event(found: Outage, *, update: str, text: Text, now: datetime, next_news_at: datetime) -> plan.OutageEvent:
    return plan.OutageEvent(
        id=found.id,
        update=update,
        event="news",
        at=now,
        service=found.service,
        loss=found.loss,
        what=text,
        instead=found.instead,
        buildings=found.buildings,
        units=found.units,
        households=found.households,
        started_at=found.started_at,
        next_news_at=next_news_at,
    )
