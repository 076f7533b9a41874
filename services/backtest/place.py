"""A site as a backtest knows it: its devices, and the lanes in which their rules are judged."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from device_profiles.schema import Text
from gateway.reading import Value

RuleKey = tuple[str, str]
"""(profile, rule)"""


class Lane(IntEnum):
    BOTH = 0
    OLD = 1
    NEW = 2


SIDES = (Lane.OLD, Lane.NEW)


class Place(NamedTuple):
    """One device in service."""

    id: str
    profile: str
    parent: str
    own_params: Mapping[str, Value]
    """As the site file has them."""
    name: Text
    building: str = ""
    gateway: str = ""
    """That it was heard by last."""


class Yard(NamedTuple):
    """What stands at a site, as far as rules ask."""

    site: str
    timezone: str
    site_params: Mapping[str, Mapping[str, Value]]
    """Profile -> param -> value, from the site file."""
    places: tuple[Place, ...]
    site_rules: tuple[Mapping[str, Any], ...] = ()
    """Over several devices, as the site file has them."""
    feeds: tuple[Mapping[str, Any], ...] = ()
    """What several devices get their power or connection by, as the site file has them."""
    gateways: tuple[str, ...] = ()
    """Those whose own alarms stand here."""
