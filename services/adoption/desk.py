"""Where new devices get their place, and what people do about them. Each call is one transaction, with its audit row.

The site file owns what it lists; what is adopted here is owned here until the file lists it (`courtyard site export`
writes the file as it should be). An id never changes; a name is a label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, delete, insert, select, update

from device_profiles.schema import DeviceProfile, Text
from gateway.reading import provisional_address, provisional_id
from gateway.telemetry import TelemetryStore, TelemetryUnavailable
from services.accounts import audit
from services.adoption import history
from services.adoption.checks import Neighbourhood, members_of, mistakes_of
from services.adoption.model import (
    Adoption,
    AdoptionConflict,
    AdoptionMistakes,
    Mistake,
    Place,
    Unclaimed,
)
from services.adoption.store import get_unclaimed
from services.adoption.suggest import free_id
from services.changes import Change, Changes
from services.database import Database
from services.events import store as happened
from services.intake import Intake
from services.scope import NotFound, Scope, in_scope
from services.sites.store import Device, get_device, get_site
from services.tables import device_states, devices, rule_states, sites, supplies
from services.wire_names import unclaimed_id

log = structlog.get_logger("courtyard.adoption")
T = TypeVar("T")
_LONGEST_FILED = 200


class AdoptionDesk:
    """Calls raise NotFound, AdoptionMistakes or AdoptionConflict, and then nothing has changed.

    `scope` holds the sites where this person may do it; `by` is what the audit log calls them.
    """

    def __init__(
        self,
        *,
        database: Database,
        intake: Intake,
        telemetry: TelemetryStore,
        changes: Changes,
        library: Mapping[str, DeviceProfile],
    ) -> None:
        self._database = database
        self._intake = intake
        self._telemetry = telemetry
        self._changes = changes
        self._library = library

    # --- new devices ------------------------------------------------------------------------------------------------

    def adopt(self, scope: Scope, unclaimed: str, said: Adoption, *, by: str, now: datetime) -> Device:
        """Give a new device its place. The same again gives the device that it has become."""

        def work(connection: Connection) -> Device:
            found = get_unclaimed(connection, scope, unclaimed)
            if found is None:
                return self._adopted_before(connection, scope, unclaimed, said)
            profile = self._profile(found.profile)
            id = said.id or free_id(found.address, found.profile, set(connection.scalars(select(devices.c.id))))
            mistakes = self._mistakes(connection, scope, said, id, profile)
            if mistakes:
                raise AdoptionMistakes(mistakes)
            self._put(connection, found, id, said, profile, now)
            self._record(connection, "device.adopted", id, by, now, {"site": said.site, "was": found.id})
            return _device(connection, id)

        return self._done(work, now)

    def _adopted_before(self, connection: Connection, scope: Scope, unclaimed: str, said: Adoption) -> Device:
        place = provisional_address(unclaimed)
        query = select(devices.c.id, devices.c.site).where(devices.c.retired_at.is_(None), devices.c.site.is_not(None))
        query = query.where(in_scope(devices.c.site, scope))
        if place is not None:
            query = query.where(devices.c.profile == place[0], devices.c.address == place[1])
        row = connection.execute(query).first() if place is not None else None
        if row is None:
            raise NotFound("unclaimed device", unclaimed)
        if row.site != said.site or said.id not in (None, row.id):
            raise AdoptionConflict(
                f"It has been adopted already, as {row.id!r} in {row.site!r}.", f"Look at the device {row.id!r}."
            )
        return _device(connection, row.id)

    def _mistakes(
        self, connection: Connection, scope: Scope, said: Adoption, id: str, profile: DeviceProfile
    ) -> list[Mistake]:
        site = get_site(connection, scope, said.site)
        if site is None:
            known = connection.scalars(select(sites.c.id).where(in_scope(sites.c.id, scope)).order_by(sites.c.id))
            return [Mistake("site", repr(said.site), f"one of {', '.join(known) or 'none: there are none'}")]
        found = []
        row = connection.execute(select(devices).where(devices.c.id == id)).one_or_none()
        if row is not None and (row.retired_at is None or row.profile != profile.id or row.site != said.site):
            found.append(Mistake("id", repr(id), "one that no device has or had"))
        return found + mistakes_of(said, id, profile, _around(connection, said.site, scope))

    def _put(
        self, connection: Connection, found: Unclaimed, id: str, said: Adoption, profile: DeviceProfile, now: datetime
    ) -> None:
        """The device's row, its latest values and its history under the new id."""
        connection.execute(delete(devices).where(devices.c.id == found.id))
        connection.execute(delete(devices).where(devices.c.id == id, devices.c.retired_at.is_not(None)))
        row = {
            "id": id,
            "site": said.site,
            "profile": found.profile,
            "address": found.address,
            "retired_at": None,
            "origin": "adopted",
            "first_heard_at": found.first_heard_at,
            "announced": found.announced,
            **_columns(said, profile, id, found),
        }
        connection.execute(insert(devices).values(**row))
        _move_states(connection, found.id, id)
        happened.rename(connection, found.id, id, site=said.site)
        _join(connection, said.site, id, row["serves"])
        for old in _filed_under(found):
            history.note_rename(connection, old, id, now)
        _touch(connection, said.site, now)

    def ignore(self, scope: Scope, unclaimed: str, *, by: str, now: datetime) -> Unclaimed:
        """Keep it out of the list of new devices; it stays in that of those left out."""
        return self._mark(scope, unclaimed, now, by, now)

    def unignore(self, scope: Scope, unclaimed: str, *, by: str, now: datetime) -> Unclaimed:
        return self._mark(scope, unclaimed, None, by, now)

    def _mark(self, scope: Scope, unclaimed: str, at: datetime | None, by: str, now: datetime) -> Unclaimed:
        def work(connection: Connection) -> Unclaimed:
            found = _find_unclaimed(connection, scope, unclaimed)
            if (found.ignored_at is None) == (at is None):
                return found  # as it is already
            connection.execute(update(devices).where(devices.c.id == unclaimed).values(ignored_at=at))
            what = "device.unignored" if at is None else "device.ignored"
            self._record(connection, what, unclaimed, by, now, {})
            return _find_unclaimed(connection, scope, unclaimed)

        return self._done(work, now)

    def forget(self, scope: Scope, unclaimed: str, *, by: str, now: datetime) -> None:
        """Drop what is known of it. When it speaks again it is a new device again."""

        def work(connection: Connection) -> None:
            _find_unclaimed(connection, scope, unclaimed)
            connection.execute(delete(device_states).where(device_states.c.device == unclaimed))
            connection.execute(delete(devices).where(devices.c.id == unclaimed))
            self._record(connection, "device.forgotten", unclaimed, by, now, {})

        self._done(work, now)

    # --- devices that have their place ------------------------------------------------------------------------------

    def unadopt(self, scope: Scope, device: str, *, by: str, now: datetime) -> Unclaimed:
        """Undo: it is a new device again, with its values and its history. Its alarms and tickets stay as they are."""

        def work(connection: Connection) -> Unclaimed:
            row = self._owned(connection, scope, device, "It is taken out of service by taking it out of there.")
            below = connection.scalars(
                select(devices.c.id).where(devices.c.parent == device, devices.c.retired_at.is_(None))
            ).all()
            if below:
                raise AdoptionConflict(f"{', '.join(below[:5])} hang on it.", "Give them another parent first.")
            old = unclaimed_id(row.profile, row.address)
            _leave(connection, row.site, device)
            connection.execute(update(devices).where(devices.c.id == device).values(retired_at=now, serves=[]))
            connection.execute(insert(devices).values(**_as_new(row, old)))
            _move_states(connection, device, old)
            happened.rename(connection, device, old, site=None)
            history.note_rename(connection, device, old, now)
            _touch(connection, row.site, now)
            self._record(connection, "device.unadopted", device, by, now, {"site": row.site, "is": old})
            return _find_unclaimed(connection, None, old)

        return self._done(work, now)

    def edit(self, scope: Scope, device: str, said: Place, *, by: str, now: datetime) -> Device:
        """Say anew what it is called, where it stands and what it serves. Its id stays."""

        def work(connection: Connection) -> Device:
            row = self._owned(connection, scope, device, "Change it there, and import the file again.")
            profile = self._profile(row.profile)
            mistakes = mistakes_of(said, device, profile, _around(connection, row.site, scope))
            if mistakes:
                raise AdoptionMistakes(mistakes)
            _leave(connection, row.site, device)
            columns = _columns(said, profile, device, None)
            connection.execute(update(devices).where(devices.c.id == device).values(**columns))
            _join(connection, row.site, device, columns["serves"])
            _touch(connection, row.site, now)
            self._record(connection, "device.edited", device, by, now, {"site": row.site})
            return _device(connection, device)

        return self._done(work, now)

    def replace(self, scope: Scope, device: str, address: str, *, by: str, now: datetime) -> Device:
        """Another module stands in its place: the same id, history, alarms and tickets go on at a new address.

        A device of the site file keeps the new address as long as the file still says the old one.
        """

        def work(connection: Connection) -> Device:
            row = _row(connection, scope, device)
            if row.address == address:
                return _device(connection, device)
            other = connection.execute(
                select(devices).where(
                    devices.c.profile == row.profile, devices.c.address == address, devices.c.retired_at.is_(None)
                )
            ).one_or_none()
            if other is not None and other.site is not None:
                raise AdoptionConflict(
                    f"The address {address!r} is that of {other.id if _sees(scope, other.site) else 'another device'}.",
                    "Give the address of the module that stands there now.",
                )
            history.forget_renames(connection, device)  # what still speaks at the old address is another device now
            if other is not None:
                connection.execute(delete(device_states).where(device_states.c.device == other.id))
                connection.execute(delete(devices).where(devices.c.id == other.id))
                happened.rename(connection, other.id, device, site=row.site)
                for old in _filed_under(other):
                    history.note_rename(connection, old, device, now)
            listed = (row.replaced_address or row.address) if row.origin != "adopted" else None
            values = {"address": address, "replaced_address": None if listed == address else listed}
            connection.execute(update(devices).where(devices.c.id == device).values(**values))
            # What was said about the old module's connection says nothing about this one's.
            connection.execute(update(device_states).where(device_states.c.device == device).values(said={}))
            _touch(connection, row.site, now)
            self._record(connection, "device.replaced", device, by, now, {"was": row.address, "is": address})
            return _device(connection, device)

        return self._done(work, now)

    # --- together ---------------------------------------------------------------------------------------------------

    def _profile(self, id: str) -> DeviceProfile:
        found = self._library.get(id)
        if found is None:
            raise AdoptionConflict(f"Its profile {id!r} is not loaded.", "Put the profile into the profiles folder.")
        return found

    def _owned(self, connection: Connection, scope: Scope, device: str, next_step: str) -> Any:
        row = _row(connection, scope, device)
        if row.origin != "adopted":
            raise AdoptionConflict(f"{device!r} stands in the site file of {row.site!r}.", next_step)
        return row

    @staticmethod
    def _record(
        connection: Connection, action: str, subject: str, by: str, now: datetime, data: Mapping[str, Any]
    ) -> None:
        audit.append(connection, now=now, who=by, action=action, subject=subject, data=data)

    def _done(self, work: Callable[[Connection], T], now: datetime) -> T:
        """In one transaction while nothing is taken in; then the history follows, and open pages are told."""
        found = self._intake.change(work)
        try:
            history.carry(self._database, self._telemetry, now)
        except TelemetryUnavailable as error:
            log.warning("history_not_carried_yet", reason=str(error))  # the clockwork tries again
        site = getattr(found, "site", None) or ""
        self._changes.publish([Change("site", site, site)])
        return found


def _row(connection: Connection, scope: Scope, device: str) -> Any:
    """A device in service."""
    query = select(devices).where(
        devices.c.id == device,
        devices.c.site.is_not(None),
        devices.c.retired_at.is_(None),
        in_scope(devices.c.site, scope),
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("device", device)
    return row


def _sees(scope: Scope, site: str) -> bool:
    return scope is None or site in scope


def _device(connection: Connection, id: str) -> Device:
    found = get_device(connection, None, id)
    assert found is not None, "written in this transaction"
    return found


def _find_unclaimed(connection: Connection, scope: Scope, id: str) -> Unclaimed:
    found = get_unclaimed(connection, scope, id)
    if found is None:
        raise NotFound("unclaimed device", id)
    return found


def _around(connection: Connection, site: str, scope: Scope) -> Neighbourhood:
    found = get_site(connection, scope, site)
    if found is None:
        raise NotFound("site", site)
    rows = connection.execute(
        select(devices.c.id, devices.c.parent).where(devices.c.site == site, devices.c.retired_at.is_(None))
    )
    known = connection.scalars(select(supplies.c.id).where(supplies.c.site == site))
    return Neighbourhood(site=found, parents={row.id: row.parent for row in rows}, supplies=set(known))


def _columns(said: Place, profile: DeviceProfile, id: str, found: Unclaimed | None) -> dict[str, Any]:
    called = str(found.announced.get("name") or "")[:200] if found is not None else ""
    name = said.name or Text(zh=called or id, en=called or id)
    return {
        "name_zh": name.zh[:200],
        "name_en": name.en[:200],
        "building": said.building,
        "unit": said.unit,
        "place_zh": said.place.zh[:200],
        "place_en": said.place.en[:200],
        "params": dict(said.params),
        "parent": said.parent,
        "serves": members_of(said, profile),
    }


def _filed_under(found: Any) -> list[str]:
    """What a new device's history may be called: a long name is whole in the time series, and shortened here."""
    return list(dict.fromkeys((provisional_id(found.profile, found.address)[:_LONGEST_FILED], found.id)))


def _as_new(row: Any, id: str) -> dict[str, Any]:
    return {
        "id": id,
        "site": None,
        "profile": row.profile,
        "address": row.address,
        "name_zh": id,
        "name_en": id,
        "params": {},
        "first_heard_at": row.first_heard_at,
        "announced": row.announced or {},
    }


def _move_states(connection: Connection, old: str, new: str) -> None:
    """The latest values go along; automata of the old rules do not."""
    connection.execute(delete(device_states).where(device_states.c.device == new))
    connection.execute(update(device_states).where(device_states.c.device == old).values(device=new))
    connection.execute(delete(rule_states).where(rule_states.c.device.in_((old, new))))


def _join(connection: Connection, site: str, device: str, serves: list[dict[str, Any]]) -> None:
    """Member of the supplies it serves. Where all members are needed, it is one more."""
    for entry in serves:
        row = connection.execute(
            select(supplies).where(supplies.c.site == site, supplies.c.id == entry["supply"])
        ).one()
        member = {"device": device, "child": entry["child"], "vital": entry["vital"]}
        _set_members(connection, row, [*row.members, member])


def _leave(connection: Connection, site: str, device: str) -> None:
    for row in connection.execute(select(supplies).where(supplies.c.site == site)).all():
        left = [member for member in row.members if member["device"] != device]
        if len(left) != len(row.members):
            _set_members(connection, row, left)


def _set_members(connection: Connection, row: Any, members: list[dict[str, Any]]) -> None:
    counted = sum(1 for member in members if not member.get("vital"))
    needs = counted if row.needs_all else row.needs
    connection.execute(
        update(supplies)
        .where(supplies.c.site == row.site, supplies.c.id == row.id)
        .values(members=members, needs=needs)
    )


def _touch(connection: Connection, site: str, now: datetime) -> None:
    """Whoever holds this site in memory sees by this that it must be read again."""
    connection.execute(update(sites).where(sites.c.id == site).values(updated_at=now))
