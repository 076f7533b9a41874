"""What one device adds to the counts of a rule. Pure.

Of a device that is there, what it measured counts. Of one that is late or gone only its presence, its silence and the
ages of its values are known; of one that cannot be seen, or on which people are at work, nothing is. A device that was
never heard is no member yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from gateway.presence import Liveness
from gateway.reading import Millis, Value
from services.groups.rule import Asked, GroupRule
from services.rules.automaton import FOREVER, IDLE, Mark, Phase, elapse
from services.rules.compiled import DEVICE, Source
from services.rules.drifting import mean_stands_until
from services.rules.evaluation import delays_of
from services.rules.members import ages
from services.rules.seen import add_looks, visible
from services.rules.state import DeviceState
from services.rules.turning import turns_at
from services.rules.windows import Series, Watch

_ACTIVE = frozenset({Phase.ACTIVE, Phase.CLEARING})


class Count(NamedTuple):
    """Of one device, by one function of a rule: members as people read them, such as "charger-1 port:3"."""

    met: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    """Those that are known not to meet it."""


NOBODY = Count()


class Counted(NamedTuple):
    """Of one device, by each function of a rule."""

    counts: tuple[Count, ...]
    until: Millis
    """Event time of the device until which all this stands, unless something is heard."""


def counted(rule: GroupRule, device: DeviceState, at: Millis) -> Counted:
    """What a device adds, at its event time. At a start every device is asked by every rule, and later by each of its
    words: this is where that time goes."""
    if device.heard_at is None and not device.said:
        return Counted((NOBODY,) * len(rule.functions), FOREVER)
    counts: list[Count] = []
    until = FOREVER
    for one in rule.asked.get(device.profile_id, ()):
        count, stands_until = (_device if one.kind == DEVICE else _children)(rule, device, one, at)
        counts.append(count)
        until = min(until, stands_until)
    return Counted(tuple(counts), until)


def _device(rule: GroupRule, device: DeviceState, asked: Asked, at: Millis) -> tuple[Count, Millis]:
    """The device itself, and until when its answer stands."""
    holds, until = _answer(_Of(rule, device, "", asked, at))
    alone = (device.id,)
    return Count(alone) if holds is True else Count((), alone) if holds is None else Count((), (), alone), until


def _children(rule: GroupRule, device: DeviceState, asked: Asked, at: Millis) -> tuple[Count, Millis]:
    """Those of its children that are asked, and until when all their answers stand."""
    met: list[str] = []
    unknown: list[str] = []
    other: list[str] = []
    until = FOREVER
    for child in _members(device, asked.kind):
        holds, stands_until = _answer(_Of(rule, device, child, asked, at))
        (unknown if holds is None else met if holds is True else other).append(_name(device, child))
        until = min(until, stands_until)
    return Count(tuple(met), tuple(unknown), tuple(other)), until


def set_aside(rule: GroupRule, device: DeviceState) -> Counted:
    """What a device adds on which people are at work: whatever it says means nothing now."""
    if device.heard_at is None and not device.said:
        return Counted((NOBODY,) * len(rule.functions), FOREVER)
    asked = rule.asked.get(device.profile_id, ())
    names = (tuple(_name(device, child) for child in _members(device, one.kind)) for one in asked)
    return Counted(tuple(Count(unknown=some) for some in names), FOREVER)


def _members(device: DeviceState, kind: str) -> list[str]:
    if kind == DEVICE:
        return [""]
    prefix = f"{kind}:"
    return [child for child in device.children if child.startswith(prefix)]


def _name(device: DeviceState, child: str) -> str:
    return f"{device.id} {child}" if child else device.id


class _Of(NamedTuple):
    """Who is asked what, and when."""

    rule: GroupRule
    device: DeviceState
    child: str
    asked: Asked
    at: Millis

    @property
    def watches(self) -> Mapping[str, Watch]:
        return self.device.watches.get((self.child, self.rule.watcher_id), {})


def _answer(of: _Of) -> tuple[Value, Millis]:
    """Whether it meets the condition, and until when that stands."""
    _, device, child, asked, at = of
    there = device.liveness == Liveness.ONLINE
    values = _values(of, there=there)
    holds = asked.holds(values, _age_in(device, child, at) if asked.limited else _ageless)
    return holds, _until(of, values, there=there) if asked.moves_by_time else FOREVER


def _values(of: _Of, *, there: bool) -> dict[str, Value]:
    rule, device, child, asked, at = of
    found = visible(device, child, rule.compiled, asked.reads if there else asked.steady, at)
    if "silence" in found:
        found["silence"] = _silence(device, at)
    if there and asked.looks:
        add_looks(found, device, (child, rule.watcher_id), asked.looks, at)
    for name, id in asked.alarms:
        found[name] = _has_alarm(device, child, id, at)
    return found


def _age_in(device: DeviceState, child: str, at: Millis) -> Callable[[str], float | None]:
    """Nobody knows what was said meanwhile by a device that cannot be seen."""
    return _ageless if device.liveness == Liveness.UNKNOWN else ages(device, child, at)


def _ageless(_name: str) -> float | None:
    return None


def _silence(device: DeviceState, at: Millis) -> float | None:
    """Seconds; None while it cannot be seen."""
    since = _quiet_since(device)
    if since is None or device.liveness == Liveness.UNKNOWN:
        return None
    return max(0, at - since) / 1000


def _quiet_since(device: DeviceState) -> Millis | None:
    """Event time since which it has said nothing, as far as anybody listened."""
    if device.heard_at is None:
        return None
    return max(device.event_now(device.heard_at), device.listening_from or 0)


def _has_alarm(device: DeviceState, child: str, rule: str, at: Millis) -> bool | None:
    """Whether a rule has an alarm on it: one that stands is known, that there is none only while the device is."""
    own = device.profile.rules.get(rule) if device.profile is not None else None
    if own is None or own.rule.mode == "shadow":
        return False
    mark = device.marks.get((child, rule), IDLE)
    # A delay may be over by now, whoever was the last to look.
    if elapse(mark, delays_of(device, (child, rule), own), at).mark.phase in _ACTIVE:
        return True
    return False if device.liveness in (Liveness.ONLINE, Liveness.STALE) else None


# --- until when ------------------------------------------------------------------------------------------------------


def _until(of: _Of, values: Mapping[str, Value], *, there: bool) -> Millis:
    """When something about it changes by itself, or may."""
    asked, at = of.asked, of.at
    until = FOREVER
    if asked.rest:
        until = _next_look(asked.rest, at if not asked.drifts else _drifts_from(of, values) if there else FOREVER)
    if there and asked.ageing:
        until = min(until, _grows_old(of))
    if there and asked.turning:
        until = min(until, _looks_turn(of) - 1)
    if asked.limits or asked.alarms:
        for turns in (*_ages_turn(of, values), *_alarms_turn(of.device, of.child, asked)):
            # At that moment it is asked again, and right after: `>` turns later than `>=`.
            if turns >= at:
                until = min(until, max(at, turns - 1))
    return until


def _next_look(rest: Millis, after: Millis) -> Millis:
    """The moment before the first look behind `after`. Looks are taken at whole multiples, whoever spoke meanwhile."""
    return FOREVER if after >= FOREVER else (after // rest + 1) * rest - 1


def _drifts_from(of: _Of, values: Mapping[str, Value]) -> Millis:
    """Up to when no mean passes anything that it is compared with."""
    watches, until = of.watches, FOREVER
    for look, limits in of.asked.drifts:
        series = watches.get(look.key)
        if isinstance(series, Series) and look.look.name in values:
            known = [one for one in (limit(values, _ageless) for limit in limits) if isinstance(one, float | int)]
            until = min(until, mean_stands_until(series, of.at, known))
    return until


def _grows_old(of: _Of) -> Millis:
    """When the first value that counts now is too old to count."""
    until = FOREVER
    for read in of.asked.ageing:
        state = of.device.children[of.child if read.source is Source.OWN else ""]
        measured = state.times.get(read.key)
        if measured is not None and measured + read.fresh_for >= of.at:
            until = min(until, measured + read.fresh_for)
    return until


def _looks_turn(of: _Of) -> Millis:
    """When the first thing that looks back may say something else."""
    watches = of.watches
    known = (watches.get(one.key) for one in of.asked.turning)
    since = of.device.listening_from
    return min((turns_at(one, of.at, since) for one in known if one is not None), default=FOREVER)


def _ages_turn(of: _Of, values: Mapping[str, Value]) -> Iterator[Millis]:
    """When a name is as old as what its age is compared with."""
    device, asked, at = of.device, of.asked, of.at
    if not asked.limits or device.liveness == Liveness.UNKNOWN:
        return
    age = ages(device, of.child, at)
    for name, seconds in asked.limits:
        old = _silence(device, at) if name == "silence" else age(name)
        limit = seconds(values, _ageless)
        if old is not None and isinstance(limit, float | int):
            yield at - round(old * 1000) + round(limit * 1000)


def _alarms_turn(device: DeviceState, child: str, asked: Asked) -> Iterator[Millis]:
    """When a delay is over after which there is an alarm, or is none any more."""
    for _, id in asked.alarms:
        own = device.profile.rules.get(id) if device.profile is not None else None
        mark = device.marks.get((child, id), IDLE)
        if own is not None and mark.counting:
            yield _over(mark, mark.held, *delays_of(device, (child, id), own), phase=mark.phase)


def _over(mark: Mark, held: Millis, raise_after: Millis, clear_after: Millis, *, phase: Phase) -> Millis:
    over = mark.at + max(0, (raise_after if phase is Phase.PENDING else clear_after) - held)
    return over if over <= mark.valid_until else FOREVER
