"""Where people plan maintenance windows, end them early and take them back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from device_profiles.schema import DeviceProfile
from services.accounts import audit
from services.changes import Change, Changes
from services.database import Database
from services.ids import new_id
from services.maintenance import planning, store
from services.maintenance.planning import Mistake, Place, State, WindowRefused, Wish
from services.maintenance.windows import Occurrence, Window
from services.scope import NotFound, Scope, in_scope
from services.tables import buildings, devices, sites

T = TypeVar("T")
_SHOWN = 5
_MOST = 500
"""Windows of one site that are not over."""


class Write(Protocol):
    """One transaction; where services run in this process it is `Intake.change_rules`: they know of it at once."""

    def __call__(self, work: Callable[[Connection], T], /) -> T: ...


def plain_write(database: Database) -> Write:
    """Where services run elsewhere: they see within a second that the site was changed."""

    def write(work: Callable[[Connection], T], /) -> T:
        with database.write() as connection:
            return work(connection)

    return write


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A window as it stands now."""

    window: Window
    zone: ZoneInfo
    state: State
    devices: int
    """How many it covers."""
    first_devices: tuple[str, ...]
    next: tuple[Occurrence, ...]
    """The next times it is open; the first may be now."""


class MaintenanceDesk:
    """Calls raise NotFound, WindowRefused or WindowOver, and then nothing has changed. `by` is a login."""

    def __init__(
        self, *, database: Database, write: Write, changes: Changes, library: Mapping[str, DeviceProfile]
    ) -> None:
        self._database = database
        self._write = write
        self._changes = changes
        self._library = library

    def preview(self, scope: Scope, wish: Wish, *, by: str, now: datetime) -> Shown:
        """What it would be; nothing is written."""
        with self._database.read() as connection:
            place = self._place(connection, scope, wish.site)
        return shown(planning.plan(wish, place, id="", by=by, now=now), place, now)

    def add(self, scope: Scope, wish: Wish, *, by: str, now: datetime) -> Shown:
        def work(connection: Connection) -> Shown:
            place = self._place(connection, scope, wish.site)
            window = planning.plan(wish, place, id=new_id(now), by=by, now=now)
            store.claim(connection, wish.site)
            if len(store.list_windows(connection, scope, site=wish.site, since=now)) >= _MOST:
                raise WindowRefused([Mistake("site", f"{_MOST} windows", "fewer: cancel those that nobody needs")])
            store.add_window(connection, window)
            return self._recorded(connection, "maintenance.added", window, place, by, now)

        return self._done(work)

    def end(self, scope: Scope, id: str, *, by: str, now: datetime) -> Shown:
        """It is done before its time: what is still wrong is raised now."""
        return self._changed(scope, id, "maintenance.ended", by, now, planning.ended)

    def cancel(self, scope: Scope, id: str, *, by: str, now: datetime) -> Shown:
        """Over now, and never again."""

        def cancelled(window: Window, zone: ZoneInfo, now: datetime) -> Window:
            return planning.cancelled(window, zone, now, by)

        return self._changed(scope, id, "maintenance.cancelled", by, now, cancelled)

    def get(self, scope: Scope, id: str, now: datetime) -> Shown:
        with self._database.read() as connection:
            window = _find(connection, scope, id)
            return shown(window, self._place(connection, scope, window.site), now)

    def all(
        self, scope: Scope, now: datetime, *, site: str | None = None, since: datetime | None = None, **page: Any
    ) -> list[Shown]:
        """Newest first; `since`: those that may be open then or later; `limit` and `before` for pages."""
        with self._database.read() as connection:
            found = store.list_windows(connection, scope, site=site, since=since, **page)
            places = {id: self._place(connection, scope, id) for id in {one.site for one in found}}
        return [shown(window, places[window.site], now) for window in found]

    def place(self, scope: Scope, site: str) -> Place:
        with self._database.read() as connection:
            return self._place(connection, scope, site)

    def _changed(
        self,
        scope: Scope,
        id: str,
        action: str,
        by: str,
        now: datetime,
        change: Callable[[Window, ZoneInfo, datetime], Window],
    ) -> Shown:
        def work(connection: Connection) -> Shown:
            store.claim(connection, _find(connection, scope, id).site)
            window = _find(connection, scope, id)  # as it stands now that nobody else changes it
            place = self._place(connection, scope, window.site)
            changed = change(window, place.zone, now)
            store.change_window(connection, changed)
            return self._recorded(connection, action, changed, place, by, now)

        return self._done(work)

    def _recorded(
        self, connection: Connection, action: str, window: Window, place: Place, by: str, now: datetime
    ) -> Shown:
        times = {"starts_at": window.starts_at.isoformat(), "ends_at": window.ends_at.isoformat()}
        repeats = window.repeats.as_json() if window.repeats else None
        data = {"site": window.site, "title": window.title, "scope": window.scope.as_json(), "repeats": repeats}
        audit.append(connection, now=now, who=by, action=action, subject=window.id, data=data | times)
        return shown(window, place, now)

    def _done(self, work: Callable[[Connection], Shown]) -> Shown:
        found = self._write(work)
        self._changes.publish([Change("site", found.window.site, found.window.site)])
        return found

    def _place(self, connection: Connection, scope: Scope, site: str) -> Place:
        query = select(sites.c.timezone).where(sites.c.id == site, in_scope(sites.c.id, scope))
        zone = connection.scalar(query)
        if zone is None:
            raise NotFound("site", site)
        rows = connection.execute(
            select(devices.c.id, devices.c.building, devices.c.profile).where(
                devices.c.site == site, devices.c.retired_at.is_(None)
            )
        )
        return Place(
            site=site,
            zone=ZoneInfo(zone),
            buildings=frozenset(connection.scalars(select(buildings.c.id).where(buildings.c.site == site))),
            devices={row.id: (row.building, self._family(row.profile)) for row in rows},
        )

    def _family(self, profile: str) -> str:
        found = self._library.get(profile)
        return "" if found is None else found.family


def shown(window: Window, place: Place, now: datetime) -> Shown:
    ids = planning.covered(window, place)
    return Shown(
        window=window,
        zone=place.zone,
        state=planning.state_of(window, place.zone, now),
        devices=len(ids),
        first_devices=tuple(ids[:_SHOWN]),
        next=tuple(window.preview(3, place.zone, now)),
    )


def _find(connection: Connection, scope: Scope, id: str) -> Window:
    found = store.get_window(connection, scope, id)
    if found is None:
        raise NotFound("maintenance window", id)
    return found
