"""What residents may know: services, outages and where they are. No device, no alarm, no name of a person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from services.outages.impact import parts_touched
from services.outages.store import Outage, public_outages
from services.sites import store
from services.sites.store import Site
from services.web.i18n import Translations
from services.web.pages import words
from services.web.pages.words import Mark

RESTORED_FOR = timedelta(days=7)
_ORDER = ("full", "degraded", "ok")


@dataclass(frozen=True)
class Service:
    key: str
    name: str
    icon: str
    mark: Mark


@dataclass(frozen=True)
class Update:
    at: datetime
    text: str
    tone: str


@dataclass(frozen=True)
class Notice:
    """One outage in residents' words."""

    service: str
    icon: str
    mark: Mark
    what: str
    instead: str
    where: str
    started_at: datetime
    restored_at: datetime | None
    next_news_at: datetime | None
    updates: tuple[Update, ...]


@dataclass(frozen=True)
class PublicPage:
    site: Site
    services: tuple[Service, ...]
    verdict: str
    """full, degraded or ok: the worst of the services."""
    ongoing: tuple[Notice, ...]
    restored: tuple[Notice, ...]


def public_page(connection: Connection, site: str, t: Translations, now: datetime) -> PublicPage | None:
    found = store.get_site(connection, frozenset({site}), site)
    if found is None:
        return None
    outages = public_outages(connection, site, since=now - RESTORED_FOR)
    ongoing = [outage for outage in outages if outage.state == "ongoing"]
    offered = {row["service"] for row in store.list_supplies(connection, frozenset({site}), site)}
    services = _services(offered, ongoing, t)
    return PublicPage(
        site=found,
        services=services,
        verdict=min((service.mark.key for service in services), key=_ORDER.index, default="ok"),
        ongoing=tuple(_notice(outage, found, t) for outage in ongoing),
        restored=tuple(_notice(outage, found, t) for outage in outages if outage.state != "ongoing"),
    )


def _services(offered: set[str], ongoing: Iterable[Outage], t: Translations) -> tuple[Service, ...]:
    losses: dict[str, list[str]] = {}
    for outage in ongoing:
        losses.setdefault(outage.service, []).append(outage.loss)
    found = []
    for key, (name, icon) in words.SERVICES.items():
        if key in offered or key in losses:
            state = min(losses.get(key, ["ok"]), key=_ORDER.index)
            found.append(Service(key, t.gettext(name), icon, words.SERVICE_STATES[state]))
    return tuple(found)


def _notice(outage: Outage, site: Site, t: Translations) -> Notice:
    name, icon = words.SERVICES.get(outage.service, (outage.service, "box"))
    mark = words.SERVICE_STATES["ok" if outage.restored_at else outage.loss]
    return Notice(
        service=t.gettext(name),
        icon=icon,
        mark=mark,
        what=outage.what.in_(t.language),
        instead=outage.instead.in_(t.language),
        where=where(outage, site, t),
        started_at=outage.started_at,
        restored_at=outage.restored_at,
        next_news_at=outage.next_news_at,
        updates=tuple(
            Update(update.at, update.text.in_(t.language), "ok" if update.kind in ("restored", "better") else mark.tone)
            for update in reversed(outage.updates)
        ),
    )


def where(outage: Outage, site: Site, t: Translations) -> str:
    """ "Whole community", or the buildings, and the units of buildings that are only partly touched."""
    parts = parts_touched(outage.buildings, outage.units)
    whole = {building for building, unit in parts if unit is None}
    if whole and whole == {building.id for building in site.buildings}:
        return t.gettext("The whole community")
    names = []
    for building in site.buildings:
        name = building.name.in_(t.language)
        if building.id in whole:
            names.append(name)
        names += [f"{name} {unit.name.in_(t.language)}" for unit in building.units if (building.id, unit.id) in parts]
    return ("、" if t.language == "zh" else ", ").join(names)
