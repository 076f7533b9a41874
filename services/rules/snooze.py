"""Until when people snooze alarms: the lengths that pages offer. Pure."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from services.maintenance.windows import from_wall

MORNING = time(8)


class Length(StrEnum):
    ONE_HOUR = "1h"
    FOUR_HOURS = "4h"
    MORNING = "morning"
    """Tomorrow at 08:00 on the clock of the site."""


def snoozed_until(length: Length, now: datetime, zone: ZoneInfo) -> datetime:
    if length is Length.MORNING:
        tomorrow = now.astimezone(zone).date() + timedelta(days=1)
        return from_wall(datetime.combine(tomorrow, MORNING), zone)
    return now + timedelta(hours=1 if length is Length.ONE_HOUR else 4)
