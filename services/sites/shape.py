"""One site as the engine needs it in memory: its devices' places, its supplies, and who is told. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.notices.plan import Audience
from services.outages.impact import SupplyShape


@dataclass(frozen=True, kw_only=True)
class SiteShape:
    id: str
    timezone: str
    audience: Audience
    supplies: Mapping[str, SupplyShape] = field(default_factory=dict)
    """By id."""
