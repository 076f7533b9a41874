"""Everything intake holds in memory; `services.intake.loading` reads it from the database. What is not committed is not
believed: after a failed transaction all of it is thrown away and read again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from device_profiles.schema import DeviceProfile, Text
from gateway.presence import PresenceReason
from gateway.reading import Millis
from services.calm.storms import Limits, Raises
from services.commands.outstanding import Outstanding
from services.groups.groups import Groups
from services.groups.places import is_place
from services.intake.standing import Standing
from services.maintenance.windows import Windows
from services.notices.plan import Audience
from services.outages.impact import Impairment, Loss, SupplyShape
from services.presence.branches import Branches
from services.rules.compiled import CompiledRule
from services.rules.effective import Effective, Gone
from services.rules.engine import GatewayView
from services.rules.state import DeviceState

Library = Mapping[str, DeviceProfile]


class SiteStamp(NamedTuple):
    """By this a change is seen that others have written, in whatever process."""

    site: str
    updated_at: datetime
    """When its site file was imported, or a device adopted: all of it is read again."""
    book: int
    """The version of its rule book."""
    windows: int
    """How often its maintenance windows were changed."""


Stamp = tuple[SiteStamp, ...]


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
    regrades: int = 0
    """How often its severity has changed since it was read."""

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
    home: str | None = None
    """The site whose devices it heard last."""


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
    """What of each site was read."""
    effective: Effective
    """Every profile as its site's rule book has it, and what of the books cannot be done."""
    devices: dict[str, DeviceState]
    cards: dict[str, Card]
    by_address: dict[tuple[str, str], str]
    retired: set[str]
    unclaimed: int
    sites: dict[str, SiteState]
    gateways: dict[str, GatewayState]
    forgotten: dict[str, GatewayState] = field(default_factory=dict)
    """Those that were taken down for good: nothing is judged by them until they speak again."""
    active: Standing
    """(device, child, rule) -> the episode that is not over."""
    orphans: list[ActiveAlarm]
    """Active alarms whose device left service, or whose rule is gone, off or on trial: see `why_gone`."""
    last_ticket_number: int
    own_params: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Device -> what the site file gives it, of those that are given anything."""
    commands: Outstanding = field(default_factory=Outstanding)
    branches: Branches = field(default_factory=lambda: Branches({}))
    windows: Windows = field(default_factory=Windows)
    """When people work on something, and it is expected to look broken."""
    raises: Raises = field(default_factory=lambda: Raises(Limits()))
    """When alarms were raised last: so many of one rule at one site are a storm."""
    ended_storms: dict[tuple[str, str, str], tuple[ActiveAlarm, Millis]] = field(default_factory=dict)
    """(device, child, rule) of a storm's alarm -> it, and when it cleared: one that begins again soon goes on."""
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


def state_of(memory: Memory, device: str, rule: str) -> DeviceState | None:
    """Where a rule keeps its marks: a device, or what a rule over several devices is judged for."""
    group = memory.groups.get(device, rule)
    return memory.devices.get(device) if group is None else group.state


def rule_of(memory: Memory, device: str, rule: str) -> CompiledRule | None:
    state = state_of(memory, device, rule)
    return state.profile.find(rule) if state is not None and state.profile is not None else None


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
