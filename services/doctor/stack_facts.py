"""What the doctor looks at in the rest of the stack: time series, Grafana, PostgreSQL, metrics, secrets, disks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path


@dataclass(frozen=True)
class InfluxFacts:
    where: str
    """Its address, without a password."""
    mistake: str = ""
    """Why it does not answer, or does not let us in."""
    version: str = ""
    not_set_up: str = ""
    """Its words where the database or one of its levels is missing."""
    cannot_write: str = ""
    kept: Mapping[str, timedelta] = field(default_factory=dict)
    """Level -> how long it keeps points; zero is for ever."""
    to_change: tuple[str, ...] = ()
    """What `courtyard telemetry setup` would do, in words."""
    now: datetime | None = None


@dataclass(frozen=True)
class ForwardFacts:
    """How far the time series are behind the journal of this machine, and what they did not take."""

    waiting: int = 0
    oldest_at: datetime | None = None
    refused: int = 0
    refused_last: str = ""


@dataclass(frozen=True)
class GrafanaFacts:
    where: str
    mistake: str = ""
    version: str = ""
    cannot: tuple[str, ...] = ()
    """What this version cannot do."""
    unsound: Mapping[str, str] = field(default_factory=dict)
    """Datasource -> what Grafana said when it asked it."""
    datasources: int = 0
    not_as_built: tuple[str, ...] = ()
    """Folders and dashboards that are missing or differ."""
    as_built: int = 0


@dataclass(frozen=True)
class PostgresFacts:
    version: str
    version_number: int
    """As server_version_num: 150004 is 15.4."""
    bytes: int
    largest: tuple[tuple[str, int], ...] = ()
    connections: int = 0
    most_connections: int = 0
    encrypted: bool = False
    local: bool = True
    """Reached over a Unix socket or loopback."""


@dataclass(frozen=True)
class BrokerDoorFacts:
    """What a broker lets in, beside the gateway with its password."""

    where: str
    anonymous: bool = False
    refused_filters: tuple[str, ...] = ()
    """Subscriptions of the profiles that it refuses to the gateway's account."""
    asked: int = 0


@dataclass(frozen=True)
class SecretFacts:
    """Files and settings that hold secrets; what is wrong with each, never what it is."""

    files: int = 0
    readable_by_others: tuple[Path, ...] = ()
    weak: tuple[str, ...] = ()
    """Settings whose password is a well-known or very short one."""


@dataclass(frozen=True)
class SpaceFacts:
    """What the data folder will grow to."""

    free_bytes: int
    telemetry_bytes: int = 0
    telemetry_days: float = 0
    """The span of time it holds."""
    telemetry_kept_days: int = 0
    telemetry_max_bytes: int = 0
    """Its cap; 0: none."""
    journal_bytes: int = 0
    journal_max_bytes: int = 0


@dataclass(frozen=True)
class MetricsFacts:
    where: str
    mistake: str = ""
    samples: int = 0
    open_to_all: bool = False
    """It listens on an address that others reach."""
