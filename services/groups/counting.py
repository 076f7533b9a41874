"""What one device adds to the counts of a rule. Pure.

Of a device that is there, what it measured counts. Of one that is late or gone only its presence is known; of one that
cannot be seen nothing is. A device that was never heard is no member yet.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.presence import Liveness
from gateway.reading import Millis, Value, child_kind
from services.groups.rule import DEVICE, Asked, GroupRule
from services.rules.automaton import FOREVER, IDLE, Phase
from services.rules.compiled import Source
from services.rules.seen import visible
from services.rules.state import DeviceState

_ACTIVE = frozenset({Phase.ACTIVE, Phase.CLEARING})


class Count(NamedTuple):
    """Of one device, by one function of a rule."""

    met: tuple[str, ...] = ()
    """Members that meet it, as people read them: "charger-1 port:3"."""
    known: int = 0
    members: int = 0


class Counted(NamedTuple):
    """Of one device, by each function of a rule."""

    counts: tuple[Count, ...]
    until: Millis
    """Event time of the device until which all this can be trusted."""


def counted(rule: GroupRule, device: DeviceState, at: Millis) -> Counted:
    """What a device adds, at its event time."""
    asked = rule.asked.get(device.profile_id, ())
    if device.heard_at is None and not device.said:
        return Counted((Count(),) * len(rule.functions), FOREVER)
    until = min((_until(device, one, at) for one in asked), default=FOREVER)
    return Counted(tuple(_count(rule, device, one, at) for one in asked), until)


def _members(device: DeviceState, kind: str) -> list[str]:
    return [""] if kind == DEVICE else [child for child in device.children if child_kind(child) == kind]


def _count(rule: GroupRule, device: DeviceState, asked: Asked, at: Millis) -> Count:
    met, known, members = [], 0, 0
    for child in _members(device, asked.kind):
        members += 1
        holds = asked.holds(_values(rule, device, child, asked, at), _ageless)
        known += holds is not None
        if holds is True:
            met.append(f"{device.id} {child}" if child else device.id)
    return Count(tuple(met), known, members)


def _values(rule: GroupRule, device: DeviceState, child: str, asked: Asked, at: Millis) -> dict[str, Value]:
    there = device.liveness == Liveness.ONLINE
    found = visible(device, child, rule.compiled, asked.reads if there else asked.steady, at)
    for name, id in asked.alarms:
        found[name] = _has_alarm(device, child, id)
    return found


def _has_alarm(device: DeviceState, child: str, rule: str) -> bool | None:
    """Whether a rule has an alarm on it: one that stands is known, that there is none only while the device is."""
    own = device.profile.rules.get(rule) if device.profile is not None else None
    if own is None or own.rule.mode == "shadow":
        return False
    if device.marks.get((child, rule), IDLE).phase in _ACTIVE:
        return True
    return False if device.liveness in (Liveness.ONLINE, Liveness.STALE) else None


def _until(device: DeviceState, asked: Asked, at: Millis) -> Millis:
    """When the first value that counts now is too old to count."""
    until = FOREVER
    for read in asked.reads:
        if read.fresh_for >= FOREVER:
            continue
        for child in _members(device, asked.kind) if read.source is Source.OWN else [""]:
            measured = device.children[child].times.get(read.key)
            if measured is not None and measured + read.fresh_for >= at:
                until = min(until, measured + read.fresh_for)
    return until


def _ageless(_name: str) -> float | None:
    """Conditions on members know no ages: the grammar refuses them."""
    return None
