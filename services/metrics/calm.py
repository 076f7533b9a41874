"""What is kept from people, and why: alarms that are suppressed, folded or snoozed now; decisions by reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from sqlalchemy import Connection, func, select

from gateway.measure import Collector, Metric, Sample
from services.intake import Intake
from services.tables import alarms

WHYS = ("cause", "maintenance", "storm", "snooze")
REASONS = ("condition_held", "cause_cleared", "maintenance_over", "storm", "storm_again")
HELD = Metric(
    "courtyard_alarms_held_back",
    "gauge",
    "Alarms that are not over and of which nobody hears by themselves: suppressed by their cause or by maintenance, "
    "folded under a storm, snoozed.",
    ("why",),
)
DECISIONS = Metric(
    "courtyard_alarm_decisions_total",
    "counter",
    "Decisions about alarms, by kind; `why` names the reason of those that were raised or suppressed.",
    ("kind", "why"),
)
METRICS = (HELD, DECISIONS)

_FROM_THE_START = (
    *(("raised", why) for why in REASONS),
    ("suppressed", "cause"),
    ("suppressed", "maintenance"),
    *((kind, "") for kind in ("folded", "severity", "flapping", "acknowledged", "snoozed", "unsnoozed")),
    *((kind, "") for kind in ("step", "cause", "count", "cleared")),
)


def held_back(connection: Connection, now: datetime) -> Iterator[Sample]:
    """Each counts once, by what keeps it: what is suppressed may be snoozed as well."""
    standing = alarms.c.state != "cleared"
    kind = alarms.c.suppressed_by["kind"].as_string()
    suppressed = select(kind, func.count()).where(standing, alarms.c.state == "suppressed").group_by(kind)
    found = {row[0]: row[1] for row in connection.execute(suppressed)}
    active = standing, alarms.c.state == "active"
    folded = select(func.count()).where(*active, alarms.c.parent.is_not(None))
    snoozed = select(func.count()).where(*active, alarms.c.parent.is_(None), alarms.c.snoozed_until > now)
    found |= {"storm": connection.scalar(folded), "snooze": connection.scalar(snoozed)}
    for why in WHYS:
        yield HELD.at(found.get(why) or 0, why)


def of_decisions(intake: Intake) -> Collector:
    """Since the start of this process."""

    def collect() -> Iterable[Sample]:
        counted = dict.fromkeys(_FROM_THE_START, 0) | dict(intake.decisions)
        for (kind, why), count in counted.items():
            yield DECISIONS.at(count, kind, why)

    return collect
