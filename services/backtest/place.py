"""A device as a backtest knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from device_profiles.schema import Text
from gateway.reading import Value


class Place(NamedTuple):
    """One device in service."""

    id: str
    profile: str
    parent: str
    own_params: Mapping[str, Value]
    """As the site file has them."""
    name: Text
