"""What happened to one alarm, from what stands on record: pending, active, suppressed, why it took so long. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from device_profiles.expression import Value
from device_profiles.schema import DeviceProfile, Rule
from services.rules.store import Alarm, Decision
from services.rules.thresholds import Threshold, clear_thresholds_of, thresholds_of

_MET = frozenset({"raised", "suppressed", "folded"})
_THROUGH = frozenset({"raised", "folded"})
_LEAST_STANDSTILL = timedelta(seconds=1)

Kind = Literal["pending", "suppressed", "active"]
Counted = Literal["met", "unknown", "not_met"]


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of an alarm's life. `end` None: it goes on."""

    kind: Kind
    start: datetime
    end: datetime | None


class Member(NamedTuple):
    """One of those that were counted, and how."""

    device: str
    child: str
    counted: Counted = "met"


def met_at(alarm: Alarm, decisions: Iterable[Decision]) -> datetime:
    """When its delay was over. `raised_at` is later where it was suppressed first."""
    return next((one.at for one in decisions if one.kind in _MET), alarm.raised_at)


def stood_still(alarm: Alarm, decisions: Iterable[Decision]) -> timedelta:
    """For how long its delay did not run, because data were missing, too old or not to be trusted."""
    if alarm.pending_since is None:
        return timedelta(0)
    held = timedelta(seconds=alarm.reason.get("for_seconds") or 0)
    still = met_at(alarm, decisions) - alarm.pending_since - held
    return still if held and still > _LEAST_STANDSTILL else timedelta(0)


def stretches(alarm: Alarm, decisions: Iterable[Decision]) -> tuple[Stretch, ...]:
    """Its life from when the condition began to hold until it cleared, in order, without holes."""
    marks = [(one.at, one.kind) for one in decisions if one.kind in _MET]
    if not marks:
        marks = [(alarm.raised_at, "suppressed" if alarm.state == "suppressed" else "raised")]
    begins: list[tuple[datetime, Kind]] = []
    if alarm.pending_since is not None and alarm.pending_since < marks[0][0]:
        begins.append((alarm.pending_since, "pending"))
    for at, kind in marks:
        now: Kind = "active" if kind in _THROUGH else "suppressed"
        if not begins or begins[-1][1] != now:
            begins.append((at, now))
    ends = [at for at, _ in begins[1:]] + [alarm.cleared_at]
    return tuple(Stretch(kind=kind, start=at, end=end) for (at, kind), end in zip(begins, ends, strict=True))


def rule_as_raised(alarm: Alarm, rule: Rule) -> Rule:
    """The rule with the conditions that the alarm was raised by, which may have been changed since."""
    reason = alarm.reason
    when, clear = reason.get("condition") or rule.when, rule.clear.when
    told = reason.get("clear")
    if isinstance(told, str):
        clear = None if told == f"not ({when})" else told
    return rule.model_copy(update={"when": when, "clear": rule.clear.model_copy(update={"when": clear})})


def lines_of(profile: DeviceProfile, rule: Rule, values: Mapping[str, Value]) -> list[tuple[Threshold, bool]]:
    """(line, whether it is that of the clear condition); each place once."""
    own = thresholds_of(profile, rule, values)
    drawn = {(one.metric, one.look, one.value) for one in own}
    clears = [
        one for one in clear_thresholds_of(profile, rule, values) if (one.metric, one.look, one.value) not in drawn
    ]
    return [(one, False) for one in own] + [(one, True) for one in clears]


def members_of(alarm: Alarm) -> tuple[Member, ...]:
    """Who was counted when it was raised, as far as they are named, those first that met it: of a storm the first
    devices."""
    storm = alarm.reason.get("storm")
    if isinstance(storm, Mapping):
        return tuple(Member(str(device), "") for device in storm.get("devices", ()))
    values: Mapping[str, Any] = alarm.reason.get("values") or {}
    found: dict[str, Counted] = {}
    for name, counted in sorted(_counted(values), key=lambda one: _ORDER.index(one[1])):
        found.setdefault(name, counted)  # who met one function of a rule met it, whatever another one says
    return tuple(_member(alarm, name)._replace(counted=counted) for name, counted in found.items())


_ORDER: tuple[Counted, ...] = ("met", "unknown", "not_met")


def _counted(values: Mapping[str, Any]) -> Iterator[tuple[str, Counted]]:
    """Every name in the values that say who it was."""
    for key, told in values.items():
        counted: Counted | None = None
        if key.endswith(" not met by"):
            counted = "not_met"
        elif key.endswith(" unknown of"):
            counted = "unknown"
        elif key.endswith(" met by"):
            counted = "met"
        if counted is not None:
            yield from ((name, counted) for name in _named(told))


def _named(told: object) -> list[str]:
    """The names of `3/10: port:1, port:4, …`."""
    return [name for name in str(told).partition(": ")[2].split(", ") if name and name != "…"]


def _member(alarm: Alarm, name: str) -> Member:
    """A child of the alarm's own device, or as rules of a site say it: `device`, `device child`."""
    device, _, child = name.partition(" ")
    if not child and ":" in device and alarm.profile != "courtyard_site_rules":
        return Member(alarm.device, device)
    return Member(device, child)
