"""Everything intake holds in memory, and how it is read from the database. What is not committed is not believed:
after a failed transaction all of it is thrown away and read again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select

from device_profiles.schema import DeviceProfile, Text
from gateway.presence import PresenceReason
from gateway.reading import Millis, Presence, Quality
from services.calm.names import STORMS
from services.calm.storms import Cause, Limits, Raises
from services.clock import to_millis
from services.commands.outstanding import Outstanding
from services.commands.store import load_outstanding
from services.groups.groups import Groups
from services.groups.names import names_of_places
from services.groups.places import is_place
from services.groups.store import load_groups
from services.ids import lowest_id
from services.intake.standing import Standing
from services.maintenance.store import BACKLOG, load_windows
from services.maintenance.windows import Windows
from services.notices.plan import Audience
from services.notices.store import audience_of
from services.outages.impact import Impairment, Loss, MemberShape, Served, SupplyShape
from services.presence.branches import Branches
from services.presence.breaks import BREAKS
from services.rules import book_store
from services.rules.automaton import Mark, Phase
from services.rules.compiled import CompiledRule
from services.rules.effective import BookInForce, Effective, Gone
from services.rules.engine import GatewayView
from services.rules.state import ChildState, DeviceState, restore_rule
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
_LONGEST_BACKLOG, _RAISES_KEPT = timedelta(days=7), timedelta(hours=1)
Library = Mapping[str, DeviceProfile]
Stamp = tuple[tuple[str, datetime], ...]


@dataclass(frozen=True, kw_only=True)
class Card:
    """What messages say about a device."""

    name: Text
    place: Text
    building: str | None


@dataclass(frozen=True, kw_only=True)
class ActiveAlarm:
    """An episode that is not over: active, or suppressed. Replaced, never changed."""

    id: str
    site: str
    device: str
    child: str
    rule: str
    severity: str
    profile: str
    reason: dict[str, Any]
    ticket: str | None
    raised_at: datetime
    suppressed_by: dict[str, Any] | None = None
    """What keeps it from raising: {"kind": "cause" | "maintenance", "id", "since"}. None: it is active."""
    parent: str | None = None
    """The alarm it is folded under: it has no ticket and no notice of its own."""
    flaps: int = 0
    """How often it has begun, since it counts as flapping; 0: it does not."""
    acknowledged_at: datetime | None = None
    snoozed_until: datetime | None = None
    step: int = 0
    """How many steps up it has gone because nobody acknowledged it."""
    step_at: datetime | None = None

    def is_snoozed(self, now: datetime) -> bool:
        """Somebody wants to hear nothing more of it for a while; that it has cleared is told all the same."""
        return self.snoozed_until is not None and now < self.snoozed_until


@dataclass(slots=True, kw_only=True)
class OngoingOutage:
    id: str
    supply: str
    service: str
    loss: Loss
    alarms: tuple[str, ...]
    started_at: datetime


@dataclass(slots=True, kw_only=True)
class GatewayState:
    id: str
    cursor: int = 0
    stored: bool = False
    progress: Millis | None = None
    heard_at: datetime
    connected: bool = True
    broker_lost_at: datetime | None = None
    """Since when it has had no session with its broker."""
    spoke_at: datetime | None = None
    """When it was really heard, since services started."""
    watching_since: Millis | None = None
    status: dict[str, Any] = field(default_factory=dict)
    last_heard_at: datetime | None = None
    """As it was stored when the state was read."""


@dataclass(kw_only=True)
class SiteState:
    id: str
    audience: Audience
    supplies: dict[str, SupplyShape]
    supplies_of: dict[str, tuple[str, ...]]
    """Device -> the supplies that its alarms can touch."""
    impairments: dict[str, dict[str, Impairment]] = field(default_factory=lambda: defaultdict(dict))
    """Device -> alarm -> what residents lose by it. By device, because a storm has thousands of them."""
    outages: dict[str, OngoingOutage] = field(default_factory=dict)
    """Supply -> its ongoing outage."""

    def impairments_of(self, shape: SupplyShape) -> list[Impairment]:
        found = (self.impairments[device] for device in sorted(shape.devices) if device in self.impairments)
        return [impairment for by_alarm in found for impairment in by_alarm.values()]


@dataclass(kw_only=True)
class Memory:
    stamp: Stamp
    """Changes when a site file was imported, by whatever process."""
    effective: Effective
    """Every profile as its site's rule book has it, and what of the books cannot be done."""
    devices: dict[str, DeviceState]
    cards: dict[str, Card]
    by_address: dict[tuple[str, str], str]
    retired: set[str]
    unclaimed: int
    sites: dict[str, SiteState]
    gateways: dict[str, GatewayState]
    active: Standing
    """(device, child, rule) -> the episode that is not over."""
    orphans: list[ActiveAlarm]
    """Active alarms whose device left service, or whose rule is gone, off or on trial: see `why_gone`."""
    last_ticket_number: int
    commands: Outstanding = field(default_factory=Outstanding)
    branches: Branches = field(default_factory=lambda: Branches({}))
    windows: Windows = field(default_factory=Windows)
    """When people work on something, and it is expected to look broken."""
    raises: Raises = field(default_factory=lambda: Raises(Limits()))
    """When alarms were raised last: so many of one rule at one site are a storm."""
    shadows: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """(device, child, rule) -> the episode of a rule on trial that is not over."""
    shadow_orphans: list[str] = field(default_factory=list)
    """Such episodes of rules that are not on trial any more."""
    cause_rules: frozenset[str] = frozenset()
    """Rules that others name as their cause."""
    groups: Groups = field(default_factory=Groups)
    """The rules over several devices."""
    also_told: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """A gateway's name in alarms -> the sites it serves beside the one where its alarm stands."""

    def view(self, gateway: str | None, now: datetime, silent_after_seconds: float) -> GatewayView:
        """How far a gateway lets us judge. One that has gone quiet says nothing about its devices."""
        if gateway is None and len(self.gateways) == 1:
            gateway = next(iter(self.gateways))
        state = self.gateways.get(gateway) if gateway is not None else None
        if state is None:
            return GatewayView(None, known=True)  # nothing is known of its way, and nothing was heard
        if (now - state.heard_at).total_seconds() > silent_after_seconds:
            return GatewayView(state.progress, False, state.watching_since, PresenceReason.UPLINK_CUT)
        if not state.connected:
            return GatewayView(state.progress, False, state.watching_since, PresenceReason.BROKER_DOWN)
        return GatewayView(state.progress, True, state.watching_since)


def read_stamp(connection: Connection) -> Stamp:
    """Of each site, because the newest time of all of them may be of a clock that has gone back since."""
    query = select(sites.c.id, sites.c.updated_at).order_by(sites.c.id)
    return tuple((row.id, row.updated_at) for row in connection.execute(query))


def load(connection: Connection, library: Library, now: datetime, storms: Limits = _STORMS) -> Memory:
    """Read everything. Gateways count as heard at `now`, so that a restart makes no device unknown."""
    # Before anything else: what is imported while we read shows as a change afterwards.
    stamp = read_stamp(connection)
    effective = effective_rules(connection, library)
    rows = connection.execute(select(devices)).all()
    active_rows = _active(connection)
    memory = Memory(
        stamp=stamp,
        effective=effective,
        devices={row.id: _device(row, effective) for row in rows if row.retired_at is None},
        cards={row.id: _card(row) for row in rows},
        by_address={(row.profile, row.address): row.id for row in rows if row.retired_at is None},
        retired={row.id for row in rows if row.retired_at is not None},
        unclaimed=sum(1 for row in rows if row.site is None),
        sites=_sites(connection, {row.id: row.parent or "" for row in rows}),
        gateways={row.id: _gateway(row, now) for row in connection.execute(select(gateways))},
        active=Standing(),
        orphans=[],
        last_ticket_number=connection.scalar(select(func.max(tickets.c.number))) or 0,
        commands=load_outstanding(connection, library),
        windows=load_windows(connection, now - BACKLOG),
    )
    _set_zones(connection, memory)
    memory.branches = Branches(memory.devices)
    _load_groups(connection, memory, library)
    _load_states(connection, memory)
    _load_marks(connection, memory)
    memory.cause_rules = _cause_rules(memory)
    memory.raises = _raises(connection, storms, _earliest_raise(memory, now))
    for alarm in active_rows:
        _adopt(memory, alarm)
    _load_shadows(connection, memory)
    _forget_marks_without_alarm(memory)
    _load_outages(connection, memory)
    return memory


def effective_rules(connection: Connection, library: Library) -> Effective:
    """The rules that run: profiles, rule books and the params of the site files, as they stand in the database."""
    books = {
        site: BookInForce(found.version, *book_store.read_content(found.content))
        for site, found in book_store.newest_of_all(connection).items()
    }
    return Effective(library, books, book_store.site_params(connection))


def state_of(memory: Memory, device: str, rule: str) -> DeviceState | None:
    """Where a rule keeps its marks: a device, or what a rule over several devices is judged for."""
    group = memory.groups.get(device, rule)
    return memory.devices.get(device) if group is None else group.state


def rule_of(memory: Memory, device: str, rule: str) -> CompiledRule | None:
    state = state_of(memory, device, rule)
    return state.profile.rules.get(rule) if state is not None and state.profile is not None else None


def why_gone(memory: Memory, alarm: ActiveAlarm) -> Gone:
    """Why an alarm's rule raises none now: its device left service, or its rule was taken away, switched off or put on
    trial."""
    if is_place(alarm.device):
        return Gone("site_rule_gone", 0)
    device = memory.devices.get(alarm.device)
    if device is None or device.site != alarm.site:
        return Gone("device_gone", 0)
    return memory.effective.gone(alarm.site, device.profile_id, device.id, alarm.rule)


def impairment_of(alarm: ActiveAlarm, rule: CompiledRule) -> Impairment | None:
    """What residents lose by an alarm; None where its rule has no words for them."""
    if rule.wording is None or rule.rule.residents is None:
        return None
    return Impairment(
        alarm=alarm.id,
        device=alarm.device,
        child=alarm.child,
        service=rule.wording.service,
        loss=Loss(rule.wording.loss),
        wording=rule.rule.residents,
        profile=alarm.profile,
    )


def _active(connection: Connection) -> list[ActiveAlarm]:
    query = (
        select(alarms, tickets.c.id.label("ticket"))
        .select_from(alarms.outerjoin(tickets, tickets.c.alarm == alarms.c.id))
        .where(alarms.c.state != "cleared")
    )
    return [
        ActiveAlarm(
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
        for row in connection.execute(query)
    ]


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
        progress=None if row.progress_at is None else to_millis(row.progress_at),
        heard_at=now,
        connected=bool(status.get("connected", True)),
        broker_lost_at=row.broker_lost_at,
        watching_since=_millis(row.watching_since),
        status=status,
        last_heard_at=row.heard_at,
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
        if device is None:
            continue
        heard = None if row.last_heard_at is None else to_millis(row.last_heard_at)
        measured = None if row.measured_at is None else to_millis(row.measured_at)
        device.children[row.child] = ChildState(
            values=row._mapping["values"],
            times=row.value_times,
            flags={name: Quality(flag) for name, flag in row.flags.items()},
            measured_at=measured,
            heard_at=heard,
        )
        if measured is not None and (device.last_measured is None or measured > device.last_measured):
            device.last_measured, device.last_received = measured, heard or measured
        said = {source: Presence(word) for source, word in (row.said or {}).items()}
        if row.child:
            device.children[row.child].said = said
            continue
        device.gateway, device.heard_at, device.said = row.gateway, heard, said
        device.liveness, device.reason = row.presence, row.reason or PresenceReason.NEVER_HEARD.value
        device.since, device.down_since = _millis(row.since), _millis(row.down_since)
        device.back_since = _millis(row.back_since)


def _millis(at: datetime | None) -> Millis | None:
    return None if at is None else to_millis(at)


def _load_groups(connection: Connection, memory: Memory, library: Library) -> None:
    """The rules over several devices, what their places are called, and which supplies they touch."""
    memory.groups = load_groups(connection, library, memory.devices).groups
    for place, found in names_of_places(connection, {one.state.id for one in memory.groups}).items():
        memory.cards[place] = Card(name=found.name, place=Text(zh="", en=""), building=found.building)
    for group in memory.groups:
        site, place = memory.sites[group.rule.site], group.state.id
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


def _adopt(memory: Memory, alarm: ActiveAlarm) -> None:
    """Take an active alarm over; the alarm table is right about what is active, whatever the automaton says."""
    if alarm.profile in (BREAKS, STORMS):
        # The next tick judges a broken link; a storm is over with the last alarm under it.
        memory.active[alarm.device, alarm.child, alarm.rule] = alarm
        return
    rule = rule_of(memory, alarm.device, alarm.rule)
    device, key = state_of(memory, alarm.device, alarm.rule), (alarm.child, alarm.rule)
    if device is None or rule is None or rule.rule.mode == "shadow" or device.site != alarm.site:
        memory.orphans.append(alarm)
        return
    memory.active[alarm.device, alarm.child, alarm.rule] = alarm
    device.adopt(key, to_millis(alarm.raised_at), alarm.severity)
    impairment = impairment_of(alarm, rule) if alarm.suppressed_by is None else None
    if impairment is not None:
        memory.sites[alarm.site].impairments[alarm.device][alarm.id] = impairment


def _load_shadows(connection: Connection, memory: Memory) -> None:
    """What rules on trial have begun. One that is on trial no longer ends, and is judged anew."""
    for row in connection.execute(select(shadow_episodes).where(shadow_episodes.c.cleared_at.is_(None))):
        rule = rule_of(memory, row.device, row.rule)
        state = state_of(memory, row.device, row.rule)
        if state is None or rule is None or rule.rule.mode != "shadow" or state.site != row.site:
            memory.shadow_orphans.append(row.id)
        else:
            memory.shadows[row.device, row.child, row.rule] = row.id


def _forget_marks_without_alarm(memory: Memory) -> None:
    for device in (*memory.devices.values(), *(group.state for group in memory.groups)):
        for key, mark in list(device.marks.items()):
            known = (device.id, *key) in memory.active or (device.id, *key) in memory.shadows
            if mark.phase in (Phase.ACTIVE, Phase.CLEARING) and not known:
                device.set_mark(key, Mark())


def _cause_rules(memory: Memory) -> frozenset[str]:
    profiles = {id(one.profile): one.profile for one in memory.devices.values() if one.profile is not None}
    rules = (rule for profile in profiles.values() for rule in profile.rules.values())
    return frozenset(cause for rule in rules for cause in rule.rule.suppressed_by)


def _earliest_raise(memory: Memory, now: datetime) -> datetime:
    """When alarms were raised at the earliest that a backlog of some gateway may add to."""
    heard = (one.last_heard_at for one in memory.gateways.values() if one.last_heard_at is not None)
    return max(min(heard, default=now), now - _LONGEST_BACKLOG) - _RAISES_KEPT


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
