"""Makes the tables of one site agree with its file. Idempotent: what is equal is not touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, or_, select, tuple_, update

from device_profiles.schema import Text
from services.adoption import history
from services.events import store as happened
from services.sites.model import BuildingEntry, Member, SiteDevice, SiteFile, Supply
from services.tables import buildings, device_states, devices, recipients, rule_states, sites, supplies, units


@dataclass(frozen=True, kw_only=True)
class Counts:
    added: int = 0
    changed: int = 0
    retired: int = 0
    """Devices leave service; everything else is removed."""
    unchanged: int = 0

    def __str__(self) -> str:
        said = (
            (self.added, "added"),
            (self.changed, "changed"),
            (self.retired, "retired"),
            (self.unchanged, "unchanged"),
        )
        return ", ".join(f"{count} {word}" for count, word in said if count) or "none"


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What an import did, per kind of thing."""

    site: str
    devices: Counts
    buildings: Counts
    units: Counts
    supplies: Counts
    recipients: Counts
    rules: Counts = Counts()
    feeds: Counts = Counts()
    adopted: tuple[str, ...] = field(default=())
    """Devices that had been heard before they stood in a file."""
    kept: tuple[str, ...] = field(default=())
    """Devices that were adopted on the page and stand in no file: they stay."""

    head_changed: bool = False
    """The site's own words changed: its name, zone, contact, the params of its profiles, its rules or its feeds."""

    @property
    def is_unchanged(self) -> bool:
        if self.head_changed:
            return False
        kinds = (self.devices, self.buildings, self.units, self.supplies, self.recipients)
        return not any(counts.added or counts.changed or counts.retired for counts in kinds)


def foreign_owners(connection: Connection, site: SiteFile) -> dict[str, str]:
    """Ids and addresses of this file that devices of other sites have: "id:…" or "address:…" -> site."""
    ids = [device.id for device in site.devices]
    pairs = [(device.profile, device.wire_address) for device in site.devices]
    query = select(devices).where(
        devices.c.site != site.site,
        devices.c.retired_at.is_(None),
        or_(devices.c.id.in_(ids), tuple_(devices.c.profile, devices.c.address).in_(pairs)),
    )
    wanted = {f"id:{one}" for one in ids} | {f"address:{profile}:{address}" for profile, address in pairs}
    found: dict[str, str] = {}
    for row in connection.execute(query):
        for key in (f"id:{row.id}", f"address:{row.profile}:{row.address}"):
            if key in wanted:
                found[key] = row.site
    return found


def adopted_ids(connection: Connection, site: SiteFile) -> dict[tuple[str, str], str]:
    """(profile, address) -> id of the devices of this site that were adopted on the page."""
    query = select(devices.c.id, devices.c.profile, devices.c.address).where(
        devices.c.site == site.site, devices.c.origin == "adopted", devices.c.retired_at.is_(None)
    )
    return {(row.profile, row.address): row.id for row in connection.execute(query)}


def sync(
    connection: Connection, site: SiteFile, members: Mapping[str, Sequence[Member]], now: datetime
) -> ImportReport:
    """Write the file into the tables, in the caller's transaction."""
    changed_head, rule_counts, feed_counts = _sync_head(connection, site, now)
    adopted = _adopt(connection, site, now)
    device_counts, kept = _sync_devices(connection, site, now)
    joined = joined_members(connection, site, members)
    report = ImportReport(
        site=site.site,
        buildings=_sync_rows(connection, buildings, site.site, ("id",), _building_rows(site)),
        units=_sync_rows(connection, units, site.site, ("building", "id"), _unit_rows(site)),
        devices=device_counts,
        supplies=_sync_rows(connection, supplies, site.site, ("id",), _supply_rows(site, joined)),
        recipients=_sync_rows(connection, recipients, site.site, ("id",), _recipient_rows(site)),
        adopted=adopted,
        kept=kept,
        rules=rule_counts,
        feeds=feed_counts,
        head_changed=changed_head,
    )
    if not report.is_unchanged:
        # Whoever holds this site in memory sees by this stamp that it must be read again.
        connection.execute(update(sites).where(sites.c.id == site.site).values(updated_at=now))
    return report


def _sync_head(connection: Connection, site: SiteFile, now: datetime) -> tuple[bool, Counts, Counts]:
    """Whether it changed, and what became of the rules and the feeds, which stand in the same row."""
    head: dict[str, Any] = {
        "name_zh": site.name.zh,
        "name_en": site.name.en,
        "timezone": site.timezone,
        "contact_zh": site.contact.zh,
        "contact_en": site.contact.en,
        "params": {profile: dict(values) for profile, values in site.params.items() if values},
        "rules": [rule.model_dump(mode="json", by_alias=True, exclude_unset=True) for rule in site.rules],
        "feeds": [feed.model_dump(mode="json", exclude_unset=True) for feed in site.feeds],
    }
    before = connection.execute(select(sites).where(sites.c.id == site.site)).mappings().one_or_none()
    rules, feeds = (_listed(before[name] if before else None, head[name]) for name in ("rules", "feeds"))
    if before is None:
        connection.execute(insert(sites).values(id=site.site, updated_at=now, **head))
        return True, rules, feeds
    if all((before[name] or type(value)()) == value for name, value in head.items()):
        return False, rules, feeds
    connection.execute(update(sites).where(sites.c.id == site.site).values(**head))
    return True, rules, feeds


def _listed(before: list[dict[str, Any]] | None, after: list[dict[str, Any]]) -> Counts:
    old, new = ({one["id"]: one for one in some or ()} for some in (before, after))
    same = sum(1 for id, one in new.items() if old.get(id) == one)
    added = len(new.keys() - old.keys())
    return Counts(added=added, changed=len(new) - added - same, retired=len(old.keys() - new.keys()), unchanged=same)


def _sync_rows(
    connection: Connection, table: Table, site: str, key: tuple[str, ...], wanted: list[dict[str, Any]]
) -> Counts:
    """Insert, update and delete so that the rows of one site are `wanted`."""
    at = {column: table.c[column] for column in key}
    before = {
        tuple(row[column] for column in key): dict(row)
        for row in connection.execute(select(table).where(table.c.site == site)).mappings()
    }
    after = {tuple(row[column] for column in key): row for row in wanted}
    changed = [row for one, row in after.items() if one in before and before[one] != row]
    added = [row for one, row in after.items() if one not in before]
    gone = [one for one in before if one not in after]
    for one in gone:
        matches = [at[column] == value for column, value in zip(key, one, strict=True)]
        connection.execute(delete(table).where(table.c.site == site, *matches))
    for row in changed:
        matches = [at[column] == row[column] for column in key]
        connection.execute(update(table).where(table.c.site == site, *matches).values(**row))
    if added:
        connection.execute(insert(table), added)
    unchanged = len(after) - len(changed) - len(added)
    return Counts(added=len(added), changed=len(changed), retired=len(gone), unchanged=unchanged)


def _sync_devices(connection: Connection, site: SiteFile, now: datetime) -> tuple[Counts, tuple[str, ...]]:
    """What the file lists is the file's. Adopted devices that it does not list stay; their ids are given back."""
    query = select(devices).where(or_(devices.c.site == site.site, devices.c.id.in_([one.id for one in site.devices])))
    before = {row["id"]: dict(row) for row in connection.execute(query).mappings()}
    after = {device.id: _as_replaced(_device_row(site.site, device), before.get(device.id)) for device in site.devices}
    left = [one for one, row in before.items() if one not in after and row["retired_at"] is None]
    kept = tuple(sorted(one for one in left if before[one]["origin"] == "adopted"))
    gone = [one for one in left if one not in kept]
    if gone:
        # Retire first: their addresses may go to others in the same file.
        connection.execute(update(devices).where(devices.c.id.in_(gone)).values(retired_at=now))
    changed = [one for one, row in after.items() if one in before and not _agrees(before[one], row)]
    if changed:
        _free_addresses(connection, changed)
    for one in changed:
        connection.execute(update(devices).where(devices.c.id == one).values(**after[one]))
        if before[one]["address"] != after[one]["address"]:
            history.forget_renames(connection, one)  # what speaks at the old address is another device
        if before[one]["profile"] != after[one]["profile"]:
            _forget(connection, one)
    added = [row for one, row in after.items() if one not in before]
    if added:
        connection.execute(insert(devices), added)
    unchanged = len(after) - len(changed) - len(added)
    counts = Counts(added=len(added), changed=len(changed), retired=len(gone), unchanged=unchanged)
    return counts, kept


def _agrees(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(before[name] == value for name, value in wanted.items())


def _as_replaced(wanted: dict[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """A module that was swapped on site has a new address, which the file may not know yet: as long as it says the
    old one, the new one stays. Any other word of the file is newer."""
    if before is None or before["replaced_address"] is None or before["replaced_address"] != wanted["address"]:
        return wanted
    return wanted | {"address": before["address"], "replaced_address": before["replaced_address"]}


def joined_members(
    connection: Connection, site: SiteFile, members: Mapping[str, Sequence[Member]]
) -> dict[str, list[Member]]:
    """The file's members of each supply, and the adopted devices that were said to serve it."""
    found = {supply: list(listed) for supply, listed in members.items()}
    query = select(devices.c.id, devices.c.serves).where(
        devices.c.site == site.site, devices.c.origin == "adopted", devices.c.retired_at.is_(None)
    )
    for row in connection.execute(query.order_by(devices.c.id)):
        for entry in row.serves or ():
            member = Member(device=row.id, child=entry["child"], vital=entry["vital"])
            listed = found.get(entry["supply"])
            if listed is not None and all((one.device, one.child) != (member.device, member.child) for one in listed):
                listed.append(member)
    return found


def _free_addresses(connection: Connection, changed: list[str]) -> None:
    """Two devices that swap addresses would meet the unique index half-way."""
    for one in changed:
        connection.execute(update(devices).where(devices.c.id == one).values(address=f"#{one}"))


def _forget(connection: Connection, device: str) -> None:
    """Another kind of device now: the values of the old kind mean nothing."""
    connection.execute(delete(device_states).where(device_states.c.device == device))
    connection.execute(delete(rule_states).where(rule_states.c.device == device))


def _adopt(connection: Connection, site: SiteFile, now: datetime) -> tuple[str, ...]:
    """Unclaimed rows of devices that now stand in the file make room for them."""
    pairs = [(device.profile, device.wire_address) for device in site.devices]
    ids = [device.id for device in site.devices]
    query = select(devices.c.id, devices.c.profile, devices.c.address).where(
        devices.c.site.is_(None),
        or_(tuple_(devices.c.profile, devices.c.address).in_(pairs), devices.c.id.in_(ids)),
    )
    rows = connection.execute(query).all()
    if rows:
        found = [row.id for row in rows]
        connection.execute(delete(device_states).where(device_states.c.device.in_(found)))
        connection.execute(delete(devices).where(devices.c.id.in_(found)))
    by_pair = dict(zip(pairs, ids, strict=True))
    for row in rows:
        if (row.profile, row.address) in by_pair:
            id = by_pair[row.profile, row.address]
            happened.rename(connection, row.id, id, site=site.site)
            history.note_rename(connection, row.id, id, now)
    return tuple(sorted(by_pair.get((row.profile, row.address), row.id) for row in rows))


def _device_row(site: str, device: SiteDevice) -> dict[str, Any]:
    name = _named(device.name, device.id, device.id)
    return {
        "id": device.id,
        "site": site,
        "profile": device.profile,
        "address": device.wire_address,
        "name_zh": name.zh,
        "name_en": name.en,
        "building": device.building,
        "unit": device.unit,
        "place_zh": device.place.zh,
        "place_en": device.place.en,
        "params": dict(device.params),
        "parent": device.parent,
        "retired_at": None,
        "origin": "file",
        "serves": [],
        "replaced_address": None,
        "ignored_at": None,
    }


def _named(name: Text | None, zh: str, en: str) -> Text:
    return name or Text(zh=zh, en=en)


def _building_rows(site: SiteFile) -> list[dict[str, Any]]:
    return [_building_row(site.site, building, number) for number, building in enumerate(site.buildings)]


def _building_row(site: str, building: BuildingEntry, position: int) -> dict[str, Any]:
    name = _named(building.name, f"{building.id}号楼", f"Building {building.id}")
    return {"site": site, "id": building.id, "name_zh": name.zh, "name_en": name.en, "position": position}


def _unit_rows(site: SiteFile) -> list[dict[str, Any]]:
    rows = []
    for building in site.buildings:
        for unit in building.units:
            name = _named(unit.name, f"{unit.id}单元", f"Stairwell {unit.id}")
            rows.append(
                {
                    "site": site.site,
                    "building": building.id,
                    "id": unit.id,
                    "name_zh": name.zh,
                    "name_en": name.en,
                    "households": unit.households,
                }
            )
    return rows


def _supply_rows(site: SiteFile, members: Mapping[str, Sequence[Member]]) -> list[dict[str, Any]]:
    return [_supply_row(site, supply, members[supply.id]) for supply in site.supplies]


def _supply_row(site: SiteFile, supply: Supply, members: Sequence[Member]) -> dict[str, Any]:
    counted = sum(1 for member in members if not member.vital)
    everywhere = not supply.buildings and not supply.units
    whole = [building.id for building in site.buildings] if everywhere else list(supply.buildings)
    scope = [{"building": one, "unit": None} for one in whole]
    scope += [{"building": one.building, "unit": one.unit} for one in supply.units]
    return {
        "site": site.site,
        "id": supply.id,
        "service": supply.service,
        "name_zh": supply.name.zh if supply.name else "",
        "name_en": supply.name.en if supply.name else "",
        "needs": supply.needs or counted,
        "needs_all": supply.needs is None,
        "members": [{"device": one.device, "child": one.child, "vital": one.vital} for one in members],
        "scope": scope,
    }


def _recipient_rows(site: SiteFile) -> list[dict[str, Any]]:
    return [
        {
            # Recipients of two sites may have the same id in their files.
            "id": f"{site.site}:{to.id}",
            "site": site.site,
            "name": to.name or to.id,
            "audience": to.audience,
            "channel": to.channel,
            "target": to.to,
            "language": to.lang,
            "about": list(to.about),
            "min_severity": to.min_severity.value,
            "buildings": list(to.buildings),
            "step": to.step,
            "digest": to.digest,
        }
        for to in site.recipients
    ]
