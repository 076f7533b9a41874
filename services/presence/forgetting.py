"""A gateway that was taken down for good is forgotten: nothing is judged by it, and nobody hears that it is silent.

Its readings, gaps and alarms stay, and so does how far it had handed over: one that speaks again is there again, and
nothing of its journal is taken twice.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, select, update

from services.accounts import audit
from services.changes import Change, Changes
from services.context import Context
from services.intake import Intake
from services.scope import NotFound
from services.tables import device_states, gateways

log = structlog.get_logger("courtyard.gateways")


class GatewaySpeaks(Exception):
    """It was heard a moment ago, so it is not gone."""

    def __init__(self, gateway: str, ago: timedelta, silent_after: timedelta) -> None:
        super().__init__(
            f"found that the gateway {gateway} was heard {ago.total_seconds():.0f} s ago, expected it to be silent for "
            f"more than {silent_after.total_seconds():g} s"
        )


class Forgetting:
    """`forget` is one transaction, with its audit row."""

    def __init__(self, *, intake: Intake, changes: Changes, silent_after: float) -> None:
        """`silent_after`: seconds without a word after which a gateway may be forgotten."""
        self._intake = intake
        self._changes = changes
        self._silent_after = timedelta(seconds=silent_after)

    def forget(self, gateway: str, *, who: str, now: datetime) -> None:
        """Raises NotFound, GatewaySpeaks."""
        self._intake.change(lambda connection: self._forget(connection, gateway, who, now))
        self._changes.publish([Change("gateway", gateway, "")])
        log.info("gateway_forgotten", gateway=gateway)

    def _forget(self, connection: Connection, gateway: str, who: str, now: datetime) -> None:
        wanted = gateways.c.id == gateway, gateways.c.forgotten_at.is_(None)
        row = connection.execute(select(gateways.c.heard_at).where(*wanted)).one_or_none()
        if row is None:
            raise NotFound("gateway", gateway)
        if row.heard_at is not None and now - row.heard_at <= self._silent_after:
            raise GatewaySpeaks(gateway, now - row.heard_at, self._silent_after)
        connection.execute(update(gateways).where(*wanted).values(forgotten_at=now))
        # Its devices are judged by whichever gateway hears them next.
        connection.execute(update(device_states).where(device_states.c.gateway == gateway).values(gateway=None))
        data = {"heard_at": None if row.heard_at is None else row.heard_at.isoformat()}
        audit.append(connection, now=now, who=who, action="gateway.forgotten", subject=gateway, data=data)


def forgetting_of(context: Context) -> Forgetting:
    return Forgetting(
        intake=context.intake, changes=context.changes, silent_after=context.settings.gateway_silent_after
    )
