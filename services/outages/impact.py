"""What residents lose: active alarms and the site's supplies give none, degraded or full per supply. Pure.

A member is out when an alarm with a residents' wording of the supply's service hits it:
- an alarm on the whole device (or on the parent device) with a `full` wording takes all of its members out; a
  `degraded` one weakens them;
- an alarm on a child that is a member takes that member out, however the wording calls one child's loss: the supply's
  `needs` says what losing one means;
- an alarm on a child of a kind that the supply does not list (a pressure zone, where pumps are the members) counts
  like one on the device.
A `vital` member does not count towards `needs`: without it there is no service at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import NamedTuple

from gateway.reading import child_kind


class Loss(StrEnum):
    NONE = "none"
    DEGRADED = "degraded"
    FULL = "full"


class MemberShape(NamedTuple):
    device: str
    child: str = ""
    vital: bool = False
    parent: str = ""
    """The device that this one hangs on."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """Who is served: all buildings touched, units where only some are, households counted."""

    buildings: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    households: int = 0


def parts_touched(buildings: Iterable[str], units: Iterable[str]) -> list[tuple[str, str | None]]:
    """(building, None) where all of it is touched, (building, unit) for each unit where only some are."""
    partly: dict[str, list[str]] = {}
    for name in units:
        building, _, unit = name.partition("/")
        partly.setdefault(building, []).append(unit)
    return [(building, unit) for building in buildings for unit in partly.get(building, [None])]


@dataclass(frozen=True, kw_only=True)
class SupplyShape:
    id: str
    service: str
    needs: int
    members: tuple[MemberShape, ...]
    served: Served = Served()

    @property
    def devices(self) -> frozenset[str]:
        """Every device whose alarms can matter here."""
        return frozenset(self.members_near)

    @cached_property
    def members_near(self) -> dict[str, tuple[MemberShape, ...]]:
        """Device -> the members that are on it or hang on it. Looked up often: a storm has thousands of alarms."""
        near: dict[str, list[MemberShape]] = {}
        for member in self.members:
            for name in dict.fromkeys((member.device, member.parent)):
                if name:
                    near.setdefault(name, []).append(member)
        return {name: tuple(members) for name, members in near.items()}


@dataclass(frozen=True, kw_only=True)
class Impairment:
    """One active alarm that residents feel."""

    alarm: str
    device: str
    child: str
    service: str
    loss: Loss
    wording: str
    """Id of the residents' wording in the device's profile."""
    profile: str


@dataclass(frozen=True, kw_only=True)
class Impact:
    """What one supply is left with, and why."""

    loss: Loss
    causes: tuple[Impairment, ...]
    """The alarms that hit a member, the worst wording first."""
    working: int
    members: int


class _Member(IntEnum):
    OK = 0
    WEAK = 1
    OUT = 2


def assess(supply: SupplyShape, impairments: Iterable[Impairment]) -> Impact:
    """What is left of one supply. The loss is NONE while at least `needs` members are whole."""
    status = dict.fromkeys(supply.members, _Member.OK)
    causes: dict[str, Impairment] = {}
    near = supply.members_near
    for impairment in impairments:
        if impairment.service != supply.service:
            continue
        for member in near.get(impairment.device, ()):
            hit = _hit(supply, member, impairment)
            if hit is not _Member.OK:
                status[member] = max(status[member], hit)
                causes[impairment.alarm] = impairment
    counted = [status[member] for member in supply.members if not member.vital]
    vital = [status[member] for member in supply.members if member.vital]
    return Impact(
        loss=_loss(counted, vital, supply.needs),
        causes=tuple(sorted(causes.values(), key=lambda one: (one.loss is not Loss.FULL, one.alarm))),
        working=sum(one is not _Member.OUT for one in counted),
        members=len(counted),
    )


def _loss(counted: list[_Member], vital: list[_Member], needs: int) -> Loss:
    if _Member.OUT in vital or (counted and all(one is _Member.OUT for one in counted)):
        return Loss.FULL
    whole = sum(one is _Member.OK for one in counted)
    if _Member.WEAK in vital or whole < min(needs, len(counted)):
        return Loss.DEGRADED
    return Loss.NONE


def _hit(supply: SupplyShape, member: MemberShape, impairment: Impairment) -> _Member:
    by_wording = _Member.OUT if impairment.loss is Loss.FULL else _Member.WEAK
    if member.parent == impairment.device and member.device != impairment.device:
        return by_wording if not impairment.child else _Member.OK
    if member.device != impairment.device:
        return _Member.OK
    if not impairment.child:
        return by_wording
    if impairment.child == member.child:
        return by_wording if member.vital else _Member.OUT
    listed = {child_kind(one.child) for one in supply.members if one.device == impairment.device and one.child}
    return _Member.OK if child_kind(impairment.child) in listed else by_wording
