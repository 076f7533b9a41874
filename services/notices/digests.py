"""Queues the digests that are due. Looks once a minute; the key of a day keeps it to one notice each."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, delete, insert, or_, select
from sqlalchemy.exc import IntegrityError

from services.database import Database
from services.ids import time_of
from services.notices import digest as decide
from services.notices.digest import BELOW_MAJOR, Day, DigestAlarm, day_of, key_of, since_last
from services.notices.plan import Audience, Recipient, may_hear
from services.notices.store import audience_of, queue
from services.rules.store import Alarm, alarms_of_days
from services.tables import digests, notices, recipients


class Digests:
    """`tick` from one thread."""

    def __init__(self, database: Database, *, public_url: str) -> None:
        self._database = database
        self._public_url = public_url
        self._done: dict[str, str] = {}
        """Recipient -> the key of the last day that was looked at, whether it brought a notice or nothing."""

    def tick(self, now: datetime) -> int:
        """How many were queued."""
        with self._database.read() as connection:
            sites = connection.scalars(select(recipients.c.site).where(recipients.c.digest.is_not(None)).distinct())
            audiences = [audience_of(connection, site) for site in sites.all()]
        return sum(self._site(audience, now) for audience in audiences)

    def _site(self, audience: Audience, now: datetime) -> int:
        zone, count = ZoneInfo(audience.timezone), 0
        for to in audience.recipients:
            if to.digest is None or not may_hear(to, "alarm"):
                continue
            day = day_of(to.digest, zone, now)
            key = key_of(audience.site, day, to)
            if self._done.get(to.id) != key:
                count += self._one(audience, to, day, now)
                self._done[to.id] = key
        return count

    def _one(self, audience: Audience, to: Recipient, day: Day, now: datetime) -> int:
        try:
            with self._database.write() as connection:
                known = connection.scalar(select(notices.c.id).where(notices.c.key == key_of(audience.site, day, to)))
                if known is not None:
                    return 0
                stretch = since_last(day, _done_until(connection, to))
                if stretch is None:
                    return 0
                alarms = _alarms(connection, audience.site, stretch)
                found = decide.digest(audience, to, stretch, alarms, public_url=self._public_url)
                _note_done(connection, to, stretch)
                return queue(connection, [found] if found else [], now=now)
        except IntegrityError:
            return 0  # another process was faster


def _done_until(connection: Connection, to: Recipient) -> datetime | None:
    return connection.scalar(select(digests.c.until).where(digests.c.recipient == to.id))


def _note_done(connection: Connection, to: Recipient, day: Day) -> None:
    """Whether it brought a notice or nothing. Who comes back after a while begins anew."""
    wanted = select(recipients.c.id).where(recipients.c.digest.is_not(None))
    connection.execute(delete(digests).where(or_(digests.c.recipient == to.id, digests.c.recipient.not_in(wanted))))
    connection.execute(insert(digests).values(recipient=to.id, until=day.until))


def _alarms(connection: Connection, site: str, day: Day) -> list[DigestAlarm]:
    found = alarms_of_days(connection, site, BELOW_MAJOR, since=day.since, until=day.until)
    listed = [_listed(one) for one in found]
    return [one for one in listed if one.known_at <= day.until]


def _listed(alarm: Alarm) -> DigestAlarm:
    return DigestAlarm(
        id=alarm.id,
        severity=alarm.severity,
        rule_name=alarm.rule_name,
        device_name=alarm.device_name,
        known_at=max(alarm.raised_at, time_of(alarm.id) or alarm.raised_at),
        cleared_at=alarm.cleared_at,
        is_suppressed=alarm.suppressed_by is not None,
        flaps=alarm.flaps,
        step=alarm.step,
    )
