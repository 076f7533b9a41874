"""Everything on record about one alarm: what was decided, who belongs to it, where its thresholds come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from device_profiles.schema import DeviceProfile, Rule, Text
from gateway.reading import Value
from services.commands.store import CommandRecord, list_commands
from services.presence.breaks import BREAKS, break_profile
from services.rulebook.rules import Origin, ParamValue, read_rule
from services.rules import book_store
from services.rules.book import RuleChange, changes_of
from services.rules.book_store import Version
from services.rules.effective import Effective, Library
from services.rules.explaining import Member, members_of, rule_as_raised
from services.rules.in_force import effective_rules
from services.rules.store import Alarm, Decision, decisions_about, get_alarm, list_alarms
from services.rules.trial_store import Correction, corrections_of
from services.scope import Scope
from services.tables import alarms, devices, maintenance_windows, outages

_VERSIONS_LOOKED_AT = 200
_MEMBERS_SHOWN = 50
_OUTAGES_LOOKED_AT = 200
_AROUND = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Said:
    """A version of the rule book that says something."""

    version: int
    who: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class ParamThen:
    """A threshold as it was when the alarm was raised, and who says so."""

    name: str
    label: Text
    value: Value
    uom: str
    origin: Origin | None
    """None: it has been changed since, and the site file keeps no versions."""
    said: Said | None
    """Where it is the rule book."""
    now: Value
    """What it is now."""


@dataclass(frozen=True, kw_only=True)
class OutageOf:
    id: str
    state: str
    what: Text
    started_at: datetime


@dataclass(frozen=True, kw_only=True)
class AlarmRecord:
    alarm: Alarm
    profile: DeviceProfile | None
    """As the site has it; None where it is unknown, or the alarm is of no profile's rule."""
    rule: Rule | None
    """With the conditions by which it was raised."""
    decisions: tuple[Decision, ...]
    others: Mapping[str, Alarm]
    """Alarms that its decisions name, by id: causes, the storm."""
    windows: Mapping[str, str]
    """Maintenance windows that its decisions name: id -> title."""
    members: tuple[Member, ...]
    """Who was counted when it was raised."""
    names: Mapping[str, Text]
    """Of the members' devices."""
    member_profile: DeviceProfile | None
    """In whose names the condition on them can be read, where it is a rule over several devices."""
    folded: tuple[Alarm, ...]
    """The newest that are folded under it."""
    folded_count: int
    params: tuple[ParamThen, ...]
    changed_by: Said | None
    """The version of the rule book that had changed its rule."""
    outages: tuple[OutageOf, ...]
    commands: tuple[CommandRecord, ...]
    corrections: tuple[Correction, ...]
    """What late data said of its rule, around its time."""


def alarm_record(connection: Connection, library: Library, scope: Scope, id: str) -> AlarmRecord | None:
    """None where there is no such alarm in the scope."""
    alarm = get_alarm(connection, scope, id)
    if alarm is None:
        return None
    effective = effective_rules(connection, library)
    profile, rule = _rule(effective, alarm)
    decisions = tuple(decisions_about(connection, alarm.id))
    members, versions = members_of(alarm), _versions(connection, alarm)
    return AlarmRecord(
        alarm=alarm,
        profile=profile,
        rule=rule,
        decisions=decisions,
        others=_others(connection, scope, alarm, decisions),
        windows=_windows(connection, alarm, decisions),
        members=members,
        names=_names(connection, {one.device for one in members}),
        member_profile=_profile_of(connection, library, members),
        folded=tuple(list_alarms(connection, scope, under=alarm.id, limit=_MEMBERS_SHOWN)),
        folded_count=connection.scalar(select(func.count()).where(alarms.c.parent == alarm.id)) or 0,
        params=_params(connection, effective, alarm, profile, versions),
        changed_by=_changed_by(alarm, versions),
        outages=tuple(_outages(connection, alarm)),
        commands=tuple(_commands(connection, scope, alarm)),
        corrections=_corrections(connection, alarm),
    )


def _rule(effective: Effective, alarm: Alarm) -> tuple[DeviceProfile | None, Rule | None]:
    profile = effective.schema(alarm.site, alarm.profile, alarm.device)
    if alarm.profile == BREAKS:
        profile = break_profile(alarm.reason.get("for_seconds") or 0)
    known = effective.library.get(alarm.profile)
    rules = (*(profile.rules if profile else ()), *(known.rules if known else ()))  # also one that is off by now
    found = next((one for one in rules if one.id == alarm.rule), None)
    return profile, None if found is None else rule_as_raised(alarm, found)


# --- others that belong to it ----------------------------------------------------------------------------------------


def _named(alarm: Alarm, decisions: Iterable[Decision], kind: str) -> set[str]:
    """What suppressed it, of one kind: "cause" or "maintenance"."""
    told = [one.data for one in decisions if one.kind == "suppressed" and one.data.get("by") == kind]
    standing = alarm.suppressed_by or {}
    return {str(one["id"]) for one in told} | ({str(standing["id"])} if standing.get("kind") == kind else set())


def _others(connection: Connection, scope: Scope, alarm: Alarm, decisions: Iterable[Decision]) -> dict[str, Alarm]:
    wanted = _named(alarm, decisions, "cause")
    wanted |= {str(one.data["alarm"]) for one in decisions if one.kind == "cause"}
    wanted |= {alarm.parent} if alarm.parent else set()
    found = (get_alarm(connection, scope, one) for one in sorted(wanted))
    return {one.id: one for one in found if one is not None}


def _windows(connection: Connection, alarm: Alarm, decisions: Iterable[Decision]) -> dict[str, str]:
    wanted = _named(alarm, decisions, "maintenance")
    query = select(maintenance_windows.c.id, maintenance_windows.c.title).where(maintenance_windows.c.id.in_(wanted))
    return {row.id: row.title for row in connection.execute(query)} if wanted else {}


def _names(connection: Connection, ids: set[str]) -> dict[str, Text]:
    query = select(devices.c.id, devices.c.name_zh, devices.c.name_en).where(devices.c.id.in_(ids))
    return {row.id: Text(zh=row.name_zh, en=row.name_en) for row in connection.execute(query)} if ids else {}


def _profile_of(connection: Connection, library: Library, members: Iterable[Member]) -> DeviceProfile | None:
    """Of the first of them that has one."""
    query = select(devices.c.profile).where(devices.c.id.in_({one.device for one in members})).limit(1)
    return library.get(connection.scalar(query) or "")


def _outages(connection: Connection, alarm: Alarm) -> Iterable[OutageOf]:
    """Those that it still causes, as an outage forgets an alarm that has cleared."""
    query = select(outages).where(outages.c.site == alarm.site, outages.c.started_at >= alarm.raised_at)
    if alarm.state != "cleared":
        query = select(outages).where(outages.c.site == alarm.site, outages.c.state == "ongoing")
    for row in connection.execute(query.order_by(outages.c.started_at).limit(_OUTAGES_LOOKED_AT)):
        if alarm.id in row.alarms:
            what = Text(zh=row.what_zh, en=row.what_en)
            yield OutageOf(id=row.id, state=row.state, what=what, started_at=row.started_at)


def _commands(connection: Connection, scope: Scope, alarm: Alarm) -> list[CommandRecord]:
    found = list_commands(connection, scope, device=alarm.device, limit=_MEMBERS_SHOWN)
    return [one for one in found if one.alarm == alarm.id]


def _corrections(connection: Connection, alarm: Alarm) -> tuple[Correction, ...]:
    since = (alarm.pending_since or alarm.raised_at) - _AROUND
    until = None if alarm.cleared_at is None else alarm.cleared_at + _AROUND
    return corrections_of(connection, alarm.device, since=since, until=until, rule=alarm.rule, child=alarm.child)


# --- where its thresholds come from ----------------------------------------------------------------------------------


def _versions(connection: Connection, alarm: Alarm) -> list[Version]:
    """Those of the rule book that were in force when it was raised or before, the newest first."""
    found = book_store.list_versions(connection, alarm.site, limit=_VERSIONS_LOOKED_AT)
    return [one for one in found if one.at is not None and one.at <= alarm.raised_at]


def _changed_by(alarm: Alarm, versions: list[Version]) -> Said | None:
    def change(version: Version) -> RuleChange | None:
        return changes_of(alarm.profile, version.book, alarm.device).get(alarm.rule)

    return _first_to_say(versions, change) if versions and change(versions[0]) is not None else None


def _first_to_say(versions: list[Version], said: Callable[[Version], Any]) -> Said | None:
    """The oldest version since which it has been said without a break."""
    found, wanted = None, said(versions[0])
    for one in versions:
        if said(one) != wanted or one.at is None:
            break
        found = Said(version=one.version, who=one.who, at=one.at)
    return found


def _params(
    connection: Connection,
    effective: Effective,
    alarm: Alarm,
    profile: DeviceProfile | None,
    versions: list[Version],
) -> tuple[ParamThen, ...]:
    if profile is None or alarm.profile not in effective.library:
        return ()
    given = connection.scalar(select(devices.c.params).where(devices.c.id == alarm.device)) or {}
    try:
        now = read_rule(effective, alarm.site, alarm.profile, alarm.rule, alarm.device, given).params
    except KeyError:
        return ()  # the profile has no such rule any more
    values: Mapping[str, Value] = alarm.reason.get("values") or {}
    return tuple(_param(alarm, one, values.get(one.name, one.value), versions) for one in now)


def _param(alarm: Alarm, now: ParamValue, value: Value, versions: list[Version]) -> ParamThen:
    origin: Origin | None = now.origin if value == now.value else "profile" if value == now.default else None
    said, in_book = None, _in_book(alarm, now, value, versions)
    if in_book is not None:
        origin, said = in_book
    return ParamThen(name=now.name, label=now.label, value=value, uom=now.uom, origin=origin, said=said, now=now.value)


def _in_book(alarm: Alarm, now: ParamValue, value: Value, versions: list[Version]) -> tuple[Origin, Said | None] | None:
    """Where the rule book gave it this value, unless something else stands over the book."""
    places: tuple[tuple[Origin, Callable[[Version], Value]], ...] = (
        ("book_device", lambda version: _of_device(version, alarm, now.name)),
        ("book", lambda version: version.book.params.get(alarm.profile, {}).get(now.name)),
    )
    for place, told in places:
        if versions and told(versions[0]) == value and (value != now.value or now.origin == place):
            return place, _first_to_say(versions, told)
    return None


def _of_device(version: Version, alarm: Alarm, param: str) -> Value:
    own = version.book.devices.get(alarm.device)
    return None if own is None else own.params.get(param)
