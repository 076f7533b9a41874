"""The board: counts, gateways, groups of devices, and what needs attention."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, func, select

from device_profiles.schema import DeviceProfile
from services.adoption import store as adoption
from services.calm.names import STORMS
from services.clock import from_millis
from services.intake.set_aside import count_since
from services.natural import natural
from services.outages.store import Outage, list_outages
from services.rules.store import Alarm, list_alarms
from services.sites import store
from services.sites.store import GatewayRow, Site
from services.tables import alarms, people
from services.tables import tickets as tickets_table
from services.tickets.store import Ticket, list_tickets
from services.web.i18n import Language, Translations
from services.web.pages import words
from services.web.pages.words import Mark
from services.web.security import Principal
from services.web.views.devices import Device, child_label, device_view, severities_of

Grouping = Literal["family", "building"]
SET_ASIDE_SHOWN_FOR = timedelta(days=7)
_SHOWN = 30


@dataclass(frozen=True)
class Counts:
    devices: int
    presence: dict[str, int]
    alarms: int
    severity: dict[str, int]
    worst: str | None
    tickets: int
    overdue: int
    households: int


@dataclass(frozen=True)
class Gateway:
    id: str
    mark: Mark
    silent: bool
    heard_at: datetime | None
    status: dict[str, Any]
    oldest: datetime | None
    quarantined: int

    @property
    def fill_percent(self) -> float:
        cap = self.status["journal_max_bytes"]
        return round(min(100.0, 100 * self.status["journal_bytes"] / cap), 1) if cap else 0

    @property
    def fill_tone(self) -> str:
        return "bad" if self.fill_percent > 80 else "warn" if self.fill_percent > 50 else "active"


def counts_of(connection: Connection, site: str, outages: Iterable[Outage], now: datetime) -> Counts:
    scope = frozenset({site})
    found = store.open_counts(connection, scope)
    overdue = connection.scalar(
        select(func.count())
        .select_from(tickets_table)
        .where(
            tickets_table.c.site == site,
            tickets_table.c.state.in_(words.LIVE_TICKETS),
            tickets_table.c.due_at < now,
        )
    )
    return Counts(
        devices=found.devices,
        presence={key: found.devices_by_presence.get(key, 0) for key in words.PRESENCE},
        alarms=found.alarms,
        severity={key: found.alarms_by_severity.get(key, 0) for key in words.SEVERITIES},
        worst=words.worst_of(list(found.alarms_by_severity)),
        tickets=found.tickets,
        overdue=overdue or 0,
        # Two outages may touch the same household, so their sum would say too much.
        households=max((outage.households for outage in outages), default=0),
    )


def active_alarms(connection: Connection) -> dict[str, int]:
    query = select(alarms.c.site, func.count()).where(alarms.c.state == "active").group_by(alarms.c.site)
    return {row[0]: row[1] for row in connection.execute(query)}


def gateway_views(rows: Iterable[GatewayRow], now: datetime, silent_after: timedelta) -> list[Gateway]:
    return [_gateway(row, now, silent_after) for row in rows]


def _gateway(row: GatewayRow, now: datetime, silent_after: timedelta) -> Gateway:
    silent = row.heard_at is None or now - row.heard_at > silent_after
    connected = bool(row.status.get("connected"))
    oldest = row.status.get("oldest_entry_at")
    return Gateway(
        id=row.id,
        mark=words.GATEWAY["silent" if silent else "connected" if connected else "disconnected"],
        silent=silent,
        heard_at=row.heard_at,
        status=row.status,
        oldest=from_millis(oldest) if oldest else None,
        quarantined=row.status.get("quarantine_entries", 0),
    )


def set_aside_of_late(connection: Connection, principal: Principal | None, now: datetime) -> int:
    """Readings that could not be judged in the last week, for those who may look at them."""
    everywhere = principal is not None and principal.scope is None
    return count_since(connection, now - SET_ASIDE_SHOWN_FOR) if everywhere else 0


def unclaimed_of(connection: Connection, principal: Principal | None) -> int:
    """New devices without a place that this person may adopt."""
    if principal is None:
        return 0
    return len(adoption.list_unclaimed_ids(connection, principal.scope))


def devices_of(
    connection: Connection,
    library: Mapping[str, DeviceProfile],
    site: Site,
    language: Language,
    *,
    only: frozenset[str] | None = None,
) -> list[Device]:
    """Every device of the site as a tile; `only`: just these."""
    found = store.list_devices(connection, frozenset({site.id}), limit=5000)
    wanted = [device for device in found if only is None or device.id in only]
    severities = severities_of(connection, [device.id for device in wanted])
    buildings = {building.id: building for building in site.buildings}
    tiles = [
        device_view(device, library.get(device.profile), buildings, severities, language, headline=True)
        for device in wanted
    ]
    return sorted(tiles, key=lambda tile: natural(tile.name))


def grouped(devices: Iterable[Device], site: Site, group: Grouping, t: Translations) -> list[tuple[str, list[Device]]]:
    if group == "building":
        titles = {building.id: building.name.in_(t.language) for building in site.buildings}
        titles[""] = t.gettext("Outside")
        order = list(titles)
        key = {device.id: device.building if device.building in titles else "" for device in devices}
    else:
        order = list(words.FAMILIES)
        key = {device.id: device.family for device in devices}
        order += sorted(set(key.values()) - set(order))
        titles = {name: t.gettext(words.family(name)) for name in order}
    members: dict[str, list[Device]] = {name: [] for name in order}
    for device in devices:
        members[key[device.id]].append(device)
    return [(titles[name], found) for name, found in members.items() if found]


def open_alarms(connection: Connection, site: str) -> list[Alarm]:
    """The worst first, the newest first among equals; what is folded is shown under its storm."""
    found = list_alarms(connection, frozenset({site}), state="active", under="", limit=500)
    return sorted(found, key=lambda alarm: words.SEVERITIES.index(alarm.severity))[:_SHOWN]


def open_tickets(connection: Connection, site: str) -> list[Ticket]:
    """The most urgent first."""
    found = list_tickets(connection, frozenset({site}), state=words.LIVE_TICKETS, limit=500)
    return sorted(found, key=lambda ticket: (ticket.priority, ticket.due_at or ticket.opened_at))[:_SHOWN]


def ongoing_outages(connection: Connection, site: str) -> list[Outage]:
    return list_outages(connection, frozenset({site}), state="ongoing")


def labels_of(
    found: Iterable[Alarm | Ticket], library: Mapping[str, DeviceProfile], language: Language
) -> dict[str, str]:
    """Id of an alarm or ticket -> what its child is called."""
    return {one.id: label_of(one.profile, one.child, library, language) for one in found}


def label_of(profile: str, child: str, library: Mapping[str, DeviceProfile], language: Language) -> str:
    if not child:
        return ""
    if profile == STORMS:
        folded = library.get(child)
        return folded.name.in_(language) if folded is not None else child
    known = library.get(profile)
    return child_label(known.children.get(child.partition(":")[0]) if known else None, child, language)


def names_of(connection: Connection) -> dict[str, str]:
    """Id and login of people -> what they are called; only for pages behind a role."""
    found: dict[str, str] = {}
    for row in connection.execute(select(people.c.id, people.c.login, people.c.name)):
        found[row.id] = found[row.login] = row.name or row.login
    return found
