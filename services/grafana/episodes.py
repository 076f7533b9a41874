"""Regions out of the database: what began, ended or goes on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from html import escape
from typing import Any

from sqlalchemy import Connection, Select, func, null, or_, select

from device_profiles.schema import Text
from services.calm.names import STORM_NAME, is_storm_device
from services.grafana.regions import KEY, Region
from services.tables import alarms, devices, outages, ticket_events, tickets

_SEVERITIES = {
    "critical": Text(zh="紧急", en="critical"),
    "major": Text(zh="重要", en="major"),
    "minor": Text(zh="次要", en="minor"),
    "warning": Text(zh="警告", en="warning"),
}
_OPEN = Text(zh="查看", en="open")
_HOUSEHOLDS = Text(zh="影响 {n} 户", en="{n} households")


class Episodes:
    """Reads regions. `public_url`: of Courtyard's pages, for links; `language`: zh or en."""

    def __init__(self, public_url: str, language: str) -> None:
        self._url = public_url.rstrip("/")
        self._language = language

    def since(self, connection: Connection, moment: datetime) -> list[Region]:
        """All that began or ended after `moment`, and all that goes on; the newest first."""
        found = [
            *self._alarms(connection, moment),
            *self._outages(connection, moment),
            *self._work(connection, moment),
        ]
        return sorted(found, key=lambda region: (region.begins, region.key), reverse=True)

    def _alarms(self, connection: Connection, moment: datetime) -> Iterator[Region]:
        query = (
            select(alarms, devices.c.name_zh, devices.c.name_en)
            .select_from(alarms.outerjoin(devices, devices.c.id == alarms.c.device))
            .where(or_(alarms.c.state == "active", alarms.c.raised_at >= moment, alarms.c.cleared_at >= moment))
            # What was never raised, and what its storm stands for, would only hide the rest.
            .where(alarms.c.suppressed_by.is_(null()), alarms.c.parent.is_(None))
        )
        for row in connection.execute(query):
            name = row.reason.get("name") or {"zh": row.rule, "en": row.rule}
            severity = _SEVERITIES.get(row.severity)
            head = f"{severity.in_(self._language) if severity else row.severity}: {self._of(name['zh'], name['en'])}"
            name_of = STORM_NAME if is_storm_device(row.device) else Text(zh=row.device, en=row.device)
            where = self._of(row.name_zh or name_of.zh, row.name_en or name_of.en)
            yield Region(
                key=f"{KEY}:alarm-{row.id}",
                begins=row.raised_at,
                ends=row.cleared_at if row.state != "active" else None,
                tags=("alarm", f"site:{row.site}", f"device:{row.device}", f"severity:{row.severity}"),
                text=self._text(head, f"{where} {row.child}".strip(), f"/alarms/{row.id}"),
            )

    def _outages(self, connection: Connection, moment: datetime) -> Iterator[Region]:
        query = select(outages).where(
            or_(outages.c.state == "ongoing", outages.c.started_at >= moment, outages.c.restored_at >= moment)
        )
        for row in connection.execute(query):
            households = _HOUSEHOLDS.in_(self._language).format(n=row.impact.get("households", 0))
            yield Region(
                key=f"{KEY}:outage-{row.id}",
                begins=row.started_at,
                ends=row.restored_at if row.state != "ongoing" else None,
                tags=("outage", f"site:{row.site}", f"service:{row.service}", f"loss:{row.loss}"),
                text=self._text(self._of(row.what_zh, row.what_en), households, f"/public/{row.site}"),
            )

    def _work(self, connection: Connection, moment: datetime) -> Iterator[Region]:
        """From the first time somebody began to work on a ticket until it was closed."""
        for row in connection.execute(_work_since(moment)):
            title = self._of(row.title_zh, row.title_en)
            device = (f"device:{row.device}",) if row.device else ()
            yield Region(
                key=f"{KEY}:ticket-{row.id}",
                begins=row.begun_at,
                ends=row.closed_at,
                tags=("ticket", f"site:{row.site}", *device, f"priority:{row.priority}"),
                text=self._text(f"#{row.number} {title}", row.priority, f"/tickets/{row.id}"),
            )

    def _of(self, zh: str, en: str) -> str:
        return zh if self._language == "zh" else en

    def _text(self, head: str, detail: str, path: str) -> str:
        # Names of devices and titles of tickets are people's words, and Grafana shows annotations as HTML.
        link = f'<a href="{escape(self._url + path)}">{_OPEN.in_(self._language)}</a>'
        return "\n".join([escape(head), escape(detail), link])


def _work_since(moment: datetime) -> Select[Any]:
    begun = (
        select(ticket_events.c.ticket, func.min(ticket_events.c.at).label("begun_at"))
        .where(ticket_events.c.what == "started")
        .group_by(ticket_events.c.ticket)
        .subquery()
    )
    going = tickets.c.state.in_(("in_progress", "assigned", "open")) & tickets.c.closed_at.is_(None)
    return (
        select(tickets, begun.c.begun_at)
        .join(begun, begun.c.ticket == tickets.c.id)
        .where(or_(going, begun.c.begun_at >= moment, tickets.c.closed_at >= moment))
    )
