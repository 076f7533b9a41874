"""Breaks of the way, watched when time passes: what intake remembers, handed to the decisions of services.presence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

from device_profiles.schema import Text
from services.clock import to_millis
from services.intake.consequences import Consequences
from services.intake.memory import Card, Memory
from services.presence.breaks import (
    BREAKS,
    PARENT_DOWN,
    Breaks,
    GatewaySeen,
    Key,
    Limits,
    Standing,
    Verdict,
    as_standing,
    judge_gateway,
    judge_parent,
)
from services.presence.gateways import gateway_device, gateway_name
from services.rules.state import DeviceState


def watch(memory: Memory, breaks: Breaks, consequences: Consequences, now: datetime) -> None:
    """Raise and clear the alarms about broken links."""
    active = {(key[0], key[2]): alarm.site for key, alarm in memory.active.items() if alarm.profile == BREAKS}
    verdicts = [*_gateways(memory, breaks.limits, active, now), *_parents(memory, breaks.limits)]
    for firing in breaks.firings(verdicts, active, _names(memory), to_millis(now)):
        consequences.follow(firing)


def _names(memory: Memory) -> Callable[[str], Text | None]:
    def name(id: str) -> Text | None:
        card = memory.cards.get(id)
        return None if card is None else card.name

    return name


def _gateways(
    memory: Memory, limits: Limits, active: dict[Key, str], now: datetime
) -> Iterator[tuple[DeviceState, str, Verdict]]:
    for state in memory.gateways.values():
        seen = GatewaySeen(state.id, state.heard_at, state.spoke_at, state.connected, state.broker_lost_at)
        id = gateway_device(state.id)
        judged = judge_gateway(seen, now, limits)
        alarms = {rule for device, rule in active if device == id}
        broken = any(one.broken for one in judged.values())
        standing = standing_of(memory, state.id, now, limits) if broken else Standing.ALONE
        for rule, verdict in as_standing(judged, standing, alarms):
            if not verdict.broken and (id, rule) not in active:
                continue
            site = active.get((id, rule)) or home_of(memory, state.id)
            if site is None:
                continue  # none of its devices stands anywhere: there is nobody to tell
            name = gateway_name(state.id)
            memory.also_told[id] = tuple(one for one in sites_of(memory, state.id) if one != site)
            memory.cards[id] = Card(name=name, place=Text(zh="", en=""), building=None)
            yield DeviceState(id=id, site=site, profile_id=BREAKS, profile=None, params={}), rule, verdict


def standing_of(memory: Memory, gateway: str, now: datetime, limits: Limits) -> Standing:
    """Whether devices are out of sight when this gateway is, and whether that is told by another one's alarm."""
    home = home_of(memory, gateway)
    serving = {one.gateway for one in memory.devices.values() if one.site is not None and one.site == home}
    others = [one for one in serving if one in memory.gateways and one != gateway]
    serves = any(one.gateway == gateway and one.site is not None for one in memory.devices.values())
    if serves or not others:
        return Standing.ALONE
    heard = any(memory.view(one, now, limits.silent_after.total_seconds()).known for one in others)
    return Standing.SPARE if heard else Standing.MOOT


def home_of(memory: Memory, gateway: str) -> str | None:
    """The site where most of a gateway's devices stand, else that whose devices it heard last; where there is one site
    only, that site."""
    stands = Counter(one.site for one in memory.devices.values() if one.gateway == gateway and one.site is not None)
    if stands:
        return min(stands, key=lambda site: (-stands[site], site))
    state = memory.gateways.get(gateway)
    if state is not None and state.home in memory.sites:
        return state.home
    return next(iter(memory.sites)) if len(memory.sites) == 1 else None


def sites_of(memory: Memory, gateway: str) -> list[str]:
    """Every site that a gateway serves."""
    return sorted({one.site for one in memory.devices.values() if one.gateway == gateway and one.site is not None})


def _parents(memory: Memory, limits: Limits) -> Iterator[tuple[DeviceState, str, Verdict]]:
    for parent, below in memory.branches.parents():
        if parent.site is None or (parent.profile is not None and PARENT_DOWN in parent.profile.rules):
            continue  # a profile's own rule of that name says it instead
        gateway = memory.gateways.get(parent.gateway or "") or next(
            (memory.gateways[one.gateway] for one in below if one.gateway in memory.gateways), None
        )
        yield parent, PARENT_DOWN, judge_parent(parent, below, gateway.progress if gateway else None, limits)
