"""How intake's memory is read from the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from device_profiles.schema import Text
from gateway.reading import Millis
from services.calm.names import STORMS, storm_device
from services.calm.storm_alarm import LAST_CLEARED
from services.calm.storms import Cause, Limits, Raises
from services.clock import to_millis
from services.commands.store import load_outstanding
from services.groups.groups import Groups
from services.groups.names import PlaceName, names_of_places
from services.groups.store import load_groups
from services.ids import lowest_id
from services.intake.memory import (
    ActiveAlarm,
    Card,
    GatewayState,
    Library,
    Memory,
    OngoingOutage,
    SiteStamp,
    SiteState,
    Stamp,
    impairment_of,
    rule_of,
    state_of,
)
from services.intake.standing import Standing
from services.maintenance.store import BACKLOG, load_windows
from services.maintenance.windows import Windows
from services.notices.store import audience_of
from services.outages.impact import Loss, MemberShape, Served, SupplyShape
from services.presence.branches import Branches
from services.presence.breaks import BREAKS
from services.rules.automaton import Mark, Phase
from services.rules.compiled import CompiledRule
from services.rules.effective import Effective
from services.rules.in_force import effective_rules
from services.rules.state import DeviceState, restore_rule
from services.rules.stored import millis_or_none, restore_state
from services.tables import (
    alarms,
    device_states,
    devices,
    gateways,
    outages,
    rule_states,
    shadow_episodes,
    sites,
    supplies,
    tickets,
    units,
)

_STORMS = Limits()
_RAISES_KEPT = timedelta(hours=1)


def read_stamp(connection: Connection) -> Stamp:
    """Of each site, because the newest time of all of them may be of a clock that has gone back since."""
    columns = (sites.c.id, sites.c.updated_at, sites.c.book_version, sites.c.window_changes)
    return tuple(SiteStamp(*row) for row in connection.execute(select(*columns).order_by(sites.c.id)))


def load(connection: Connection, library: Library, now: datetime, storms: Limits = _STORMS) -> Memory:
    """Read everything. Gateways count as heard at `now`, so that a restart makes no device unknown."""
    # Before anything else: what is imported while we read shows as a change afterwards.
    stamp = read_stamp(connection)
    effective = effective_rules(connection, library)
    rows = connection.execute(select(devices)).all()
    active_rows = _active(connection)
    gateway_rows = connection.execute(select(gateways)).all()
    memory = Memory(
        stamp=stamp,
        effective=effective,
        devices={row.id: _device(row, effective) for row in rows if row.retired_at is None},
        cards={row.id: _card(row) for row in rows},
        by_address={(row.profile, row.address): row.id for row in rows if row.retired_at is None},
        retired={row.id for row in rows if row.retired_at is not None},
        unclaimed=sum(1 for row in rows if row.site is None),
        sites=_sites(connection, {row.id: row.parent or "" for row in rows}),
        gateways={row.id: _gateway(row, now) for row in gateway_rows if row.forgotten_at is None},
        forgotten={row.id: _gateway(row, now) for row in gateway_rows if row.forgotten_at is not None},
        active=Standing(),
        orphans=[],
        own_params={row.id: row.params for row in rows if row.retired_at is None and row.params},
        last_ticket_number=connection.scalar(select(func.max(tickets.c.number))) or 0,
        commands=load_outstanding(connection, library),
        windows=windows_of(connection, now),
    )
    _set_zones(connection, memory)
    memory.branches = Branches(memory.devices)
    _load_groups(connection, memory, library)
    _load_states(connection, memory)
    _load_marks(connection, memory)
    memory.cause_rules = cause_rules(memory)
    memory.raises = _raises(connection, storms, _earliest_raise(memory, now))
    for alarm in active_rows:
        _adopt(memory, alarm)
    memory.ended_storms = _ended_storms(connection, memory, _earliest_raise(memory, now))
    _load_shadows(connection, memory)
    forget_marks_without_alarm(memory, (*memory.devices.values(), *(group.state for group in memory.groups)))
    _load_outages(connection, memory)
    return memory


def windows_of(connection: Connection, now: datetime) -> Windows:
    """Of all sites, as far back as some gateway may still judge."""
    return load_windows(connection, now - BACKLOG)


def _active(connection: Connection) -> list[ActiveAlarm]:
    return [_of_row(row) for row in connection.execute(_with_ticket().where(alarms.c.state != "cleared"))]


def _with_ticket() -> Select[Any]:
    joined = alarms.outerjoin(tickets, tickets.c.alarm == alarms.c.id)
    return select(alarms, tickets.c.id.label("ticket")).select_from(joined)


def _of_row(row: Row[Any]) -> ActiveAlarm:
    return ActiveAlarm(
        id=row.id,
        site=row.site,
        device=row.device,
        child=row.child,
        rule=row.rule,
        severity=row.severity,
        profile=row.profile,
        reason=row.reason,
        ticket=row.ticket,
        raised_at=row.raised_at,
        suppressed_by=row.suppressed_by,
        parent=row.parent,
        flaps=row.flaps or 0,
        acknowledged_at=row.acknowledged_at,
        snoozed_until=row.snoozed_until,
        step=row.step or 0,
        step_at=row.step_at,
    )


def _device(row: Row[Any], effective: Effective) -> DeviceState:
    profile = effective.profile(row.site, row.profile, row.id) if row.site is not None else None
    params = effective.params(row.site, row.profile, row.id, row.params) if profile is not None else {}
    return DeviceState(
        id=row.id, site=row.site, profile_id=row.profile, profile=profile, params=params, parent=row.parent or ""
    )


def _set_zones(connection: Connection, memory: Memory) -> None:
    zones = {row.id: row.timezone for row in connection.execute(select(sites.c.id, sites.c.timezone))}
    for device in memory.devices.values():
        device.zone = zones.get(device.site or "", device.zone)


def _card(row: Row[Any]) -> Card:
    return Card(
        name=Text(zh=row.name_zh, en=row.name_en),
        place=Text(zh=row.place_zh, en=row.place_en),
        building=row.building,
    )


def _gateway(row: Row[Any], now: datetime) -> GatewayState:
    status = row.status or {}
    return GatewayState(
        id=row.id,
        cursor=row.cursor,
        stored=True,
        progress=millis_or_none(row.progress_at),
        heard_at=now,
        connected=bool(status.get("connected", True)),
        broker_lost_at=row.broker_lost_at,
        watching_since=millis_or_none(row.watching_since),
        status=status,
        last_heard_at=row.heard_at,
        home=row.home,
    )


def _sites(connection: Connection, parents: Mapping[str, str]) -> dict[str, SiteState]:
    households: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)
    for row in connection.execute(select(units)):
        households[row.site][row.building, row.id] = row.households
    shapes: dict[str, dict[str, SupplyShape]] = defaultdict(dict)
    for row in connection.execute(select(supplies).order_by(supplies.c.id)):
        shapes[row.site][row.id] = _supply(row, parents, households[row.site])
    return {
        site: SiteState(
            id=site,
            audience=audience_of(connection, site),
            supplies=shapes[site],
            supplies_of=_supplies_of(shapes[site]),
        )
        for site in connection.scalars(select(sites.c.id)).all()
    }


def _supply(row: Row[Any], parents: Mapping[str, str], households: Mapping[tuple[str, str], int]) -> SupplyShape:
    buildings = tuple(dict.fromkeys(entry["building"] for entry in row.scope))
    whole = {entry["building"] for entry in row.scope if entry["unit"] is None}
    parts = {(entry["building"], entry["unit"]) for entry in row.scope if entry["unit"] is not None}
    served = Served(
        buildings=buildings,
        units=tuple(f"{building}/{unit}" for building, unit in sorted(parts) if building not in whole),
        households=sum(count for unit, count in households.items() if unit[0] in whole or unit in parts),
    )
    members = tuple(
        MemberShape(
            device=member["device"],
            child=member["child"],
            vital=bool(member.get("vital")),
            parent=parents.get(member["device"], ""),
        )
        for member in row.members
    )
    return SupplyShape(id=row.id, service=row.service, needs=row.needs, members=members, served=served)


def _supplies_of(shapes: Mapping[str, SupplyShape]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    for shape in shapes.values():
        for device in shape.devices:
            found[device].append(shape.id)
    return {device: tuple(ids) for device, ids in found.items()}


def _load_states(connection: Connection, memory: Memory) -> None:
    for row in connection.execute(select(device_states)):
        device = memory.devices.get(row.device)
        if device is not None:
            restore_state(device, row)


def _load_groups(connection: Connection, memory: Memory, library: Library) -> None:
    """The rules over several devices, what their places are called, and which supplies they touch."""
    memory.groups = load_groups(connection, library, memory.devices).groups
    for place, found in names_of_places(connection, {one.state.id for one in memory.groups}).items():
        memory.cards[place] = card_of_place(found)
    join_supplies(memory.sites, memory.groups)


def card_of_place(found: PlaceName) -> Card:
    return Card(name=found.name, place=Text(zh="", en=""), building=found.building)


def join_supplies(sites: Mapping[str, SiteState], groups: Groups) -> None:
    """Rules over several devices are members of the supplies that they touch."""
    for group in groups:
        site, place = sites[group.rule.site], group.state.id
        for supply in set(group.rule.rule.supplies) & site.supplies.keys():
            shape = site.supplies[supply]
            # Without it there is no full service, and it does not count towards what is needed.
            member = MemberShape(device=place, vital=True)
            site.supplies[supply] = replace(shape, members=(*shape.members, member))
            site.supplies_of[place] = tuple(dict.fromkeys((*site.supplies_of.get(place, ()), supply)))


def _load_marks(connection: Connection, memory: Memory) -> None:
    for row in connection.execute(select(rule_states)):
        device = state_of(memory, row.device, row.rule)
        rule = rule_of(memory, row.device, row.rule)
        if device is not None and rule is not None:
            restore_rule(device, (row.child, row.rule), rule, row.state)
        elif device is not None and device.profile is not None:
            device.moved.add((row.child, row.rule))  # a rule that comes back later begins anew


def _adopt(memory: Memory, alarm: ActiveAlarm) -> None:
    """Take an active alarm over; the alarm table is right about what is active, whatever the automaton says."""
    if is_built_in(alarm):
        # The next tick judges a broken link; a storm is over with the last alarm under it.
        memory.active[alarm.device, alarm.child, alarm.rule] = alarm
        return
    rule = judging(memory, alarm)
    device = state_of(memory, alarm.device, alarm.rule)
    if rule is None or device is None:
        memory.orphans.append(alarm)
        return
    memory.active[alarm.device, alarm.child, alarm.rule] = alarm
    device.adopt((alarm.child, alarm.rule), to_millis(alarm.raised_at), alarm.severity)
    impairment = impairment_of(alarm, rule) if alarm.suppressed_by is None else None
    if impairment is not None:
        memory.sites[alarm.site].impairments[alarm.device][alarm.id] = impairment


def is_built_in(alarm: ActiveAlarm) -> bool:
    """It is about a broken link or a storm: no profile or site file has its rule."""
    return alarm.profile in (BREAKS, STORMS)


def judging(memory: Memory, alarm: ActiveAlarm) -> CompiledRule | None:
    """The rule by which an alarm stands; None where there is none that raises any."""
    state, rule = state_of(memory, alarm.device, alarm.rule), rule_of(memory, alarm.device, alarm.rule)
    if state is None or rule is None or rule.rule.mode == "shadow" or state.site != alarm.site:
        return None
    return rule


def is_on_trial(memory: Memory, site: str, device: str, rule_id: str) -> bool:
    rule, state = rule_of(memory, device, rule_id), state_of(memory, device, rule_id)
    return state is not None and rule is not None and rule.rule.mode == "shadow" and state.site == site


def _load_shadows(connection: Connection, memory: Memory) -> None:
    """What rules on trial have begun. One that is on trial no longer ends, and is judged anew."""
    for row in connection.execute(select(shadow_episodes).where(shadow_episodes.c.cleared_at.is_(None))):
        if is_on_trial(memory, row.site, row.device, row.rule):
            memory.shadows[row.device, row.child, row.rule] = row.id
        else:
            memory.shadow_orphans.append(row.id)


def forget_marks_without_alarm(memory: Memory, states: Iterable[DeviceState]) -> None:
    for device in states:
        for key, mark in list(device.marks.items()):
            known = (device.id, *key) in memory.active or (device.id, *key) in memory.shadows
            if mark.phase in (Phase.ACTIVE, Phase.CLEARING) and not known:
                device.set_mark(key, Mark())


def cause_rules(memory: Memory) -> frozenset[str]:
    profiles = {id(one.profile): one.profile for one in memory.devices.values() if one.profile is not None}
    rules = (rule for profile in profiles.values() for rule in profile.rules.values())
    return frozenset(cause for rule in rules for cause in rule.rule.suppressed_by)


def _ended_storms(
    connection: Connection, memory: Memory, since: datetime
) -> dict[tuple[str, str, str], tuple[ActiveAlarm, Millis]]:
    """Those that may go on, each the last of its kind."""
    names = [storm_device(site) for site in memory.sites]
    over = alarms.c.device.in_(names), alarms.c.state == "cleared", alarms.c.cleared_at >= since
    found = {
        (row.device, row.child, row.rule): (_of_row(row), to_millis(row.cleared_at))
        for row in connection.execute(_with_ticket().where(*over).order_by(alarms.c.cleared_at))
        if (row.reason.get("cleared") or {}).get("why") == LAST_CLEARED
    }
    return {key: one for key, one in found.items() if key not in memory.active}


def _earliest_raise(memory: Memory, now: datetime) -> datetime:
    """When alarms were raised at the earliest that a backlog of some gateway may add to."""
    heard = (one.last_heard_at for one in memory.gateways.values() if one.last_heard_at is not None)
    return max(min(heard, default=now), now - BACKLOG) - _RAISES_KEPT


def _raises(connection: Connection, limits: Limits, since: datetime) -> Raises:
    """When alarms were raised, each on its own or folded; those that were suppressed to their end never were."""
    found = Raises(limits)
    columns = (alarms.c.site, alarms.c.profile, alarms.c.rule, alarms.c.raised_at, alarms.c.suppressed_by)
    for row in connection.execute(select(*columns).where(alarms.c.id >= lowest_id(since), alarms.c.profile != STORMS)):
        if row.suppressed_by is None:
            found.note(Cause(row.site, row.profile, row.rule), to_millis(row.raised_at))
    return found


def _load_outages(connection: Connection, memory: Memory) -> None:
    for row in connection.execute(select(outages).where(outages.c.state == "ongoing")):
        memory.sites[row.site].outages[row.supply] = OngoingOutage(
            id=row.id,
            supply=row.supply,
            service=row.service,
            loss=Loss(row.loss),
            alarms=tuple(row.alarms),
            started_at=row.started_at,
        )
