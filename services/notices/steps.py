"""Who stands on which step, and where nobody does: what nobody acknowledges must not end with nobody."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from device_profiles.schema import Severity
from services.notices.plan import Audience, in_digest, may_hear, wants
from services.notices.store import audience_of
from services.scope import Scope, in_scope
from services.tables import alarms, recipients, sites

ESCALATED = (Severity.CRITICAL.value, Severity.MAJOR.value)
"""The severities that go up unless a rule says otherwise."""


@dataclass(frozen=True)
class Gap:
    """A step of a site where nobody hears of alarms this severe."""

    site: str
    step: int
    severity: str


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How the sites in scope are set up, and what has come to the end of it."""

    gaps: tuple[Gap, ...] = ()
    without: tuple[str, ...] = ()
    """Sites that tell people of alarms and have nobody above step 0."""
    ended: int = 0
    """Active alarms on the highest step of their site that nobody has acknowledged."""


def top_step(audience: Audience) -> int:
    """The highest step of a site on which somebody stands who may hear of alarms."""
    return max((to.step for to in audience.recipients if may_hear(to, "alarm")), default=0)


def gaps(audience: Audience) -> list[Gap]:
    return [
        Gap(audience.site, step, severity)
        for step in range(1, top_step(audience) + 1)
        for severity in ESCALATED
        if not any(
            to.step == step and wants(to, "alarm", severity) and not in_digest(to, severity)
            for to in audience.recipients
        )
    ]


def steps_of(connection: Connection, scope: Scope) -> Steps:
    told = select(recipients.c.site).where(in_scope(recipients.c.site, scope)).distinct()
    ids = connection.scalars(select(sites.c.id).where(sites.c.id.in_(told)).order_by(sites.c.id)).all()
    audiences = [audience_of(connection, id) for id in ids]
    tops = {one.site: top_step(one) for one in audiences}
    return Steps(
        gaps=tuple(gap for one in audiences for gap in gaps(one)),
        without=tuple(
            one.site for one in audiences if not tops[one.site] and any(may_hear(to, "alarm") for to in one.recipients)
        ),
        ended=sum(_ended(connection, site, top) for site, top in tops.items() if top),
    )


def _ended(connection: Connection, site: str, top: int) -> int:
    query = select(func.count()).where(
        alarms.c.site == site, alarms.c.state == "active", alarms.c.step >= top, alarms.c.acknowledged_at.is_(None)
    )
    return connection.scalar(query) or 0
