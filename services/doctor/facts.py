"""What the doctor looks at, as plain facts. Gathered in probes, judged in findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from services.holding import Owner


@dataclass(frozen=True)
class Urllib3Facts:
    version: str
    replaced_by: str = ""
    """The file through which urllib3-future took its place."""


@dataclass(frozen=True)
class FolderFacts:
    path: Path
    exists: bool
    is_folder: bool
    writable: bool
    free_bytes: int
    user: str = ""
    damaged: tuple[str, ...] = ()
    """Names of files that were moved aside."""
    is_shut: bool = False
    """This user may not even look."""


@dataclass(frozen=True)
class PortFacts:
    host: str
    port: int
    free: bool = False
    holder: str = ""
    courtyard_version: str = ""
    """Who answers there, if it is Courtyard."""
    mistake: str = ""


@dataclass(frozen=True)
class BrokerFacts:
    where: str
    embedded: bool = False
    free: bool = False
    holder: str = ""
    accepted: bool = False
    said: str = ""
    mistake: str = ""


@dataclass(frozen=True)
class JournalFacts:
    exists: bool
    max_bytes: int
    bytes: int = 0
    waiting: Mapping[str, int] = field(default_factory=dict)
    quarantine_entries: int = 0
    shed: int = 0
    newest_at: datetime | None = None
    damage: str = ""
    shut: str = ""
    """Why it cannot be opened at all."""


@dataclass(frozen=True)
class GatewayFacts:
    id: str
    progress_at: datetime | None
    connected: bool = True
    last_error: str = ""
    messages_per_second: float = 0


@dataclass(frozen=True)
class OutboxFacts:
    queued: int = 0
    delivered: int = 0
    failed: int = 0
    overdue: int = 0
    last_error: str = ""


@dataclass(frozen=True)
class RuleFacts:
    """Rules that cannot be evaluated."""

    problems: tuple[str, ...] = ()
    """`site profile/rule: why`, what somebody has to mend."""
    never_sent: int = 0
    """Rules that read what no device of their site has ever sent."""
    sites: tuple[str, ...] = ()
    """Where."""


@dataclass(frozen=True)
class DatabaseFacts:
    kind: str
    exists: bool = True
    unreachable: str = ""
    damage: str = ""
    revision: str | None = None
    newest_revision: str | None = None
    admins: int = 0
    sites: int = 0
    devices: int = 0
    zones: tuple[str, ...] = ()
    """Time zones of the sites."""
    unknown_profiles: tuple[str, ...] = ()
    unclaimed: tuple[str, ...] = ()
    """`address (profile)` of devices that were heard and stand in no site file."""
    silent_values: tuple[str, ...] = ()
    """`device: metric` of devices that speak and leave a value out."""
    faulty_values: tuple[str, ...] = ()
    """`device: metric` that the device itself calls faulty."""
    gateways: tuple[GatewayFacts, ...] = ()
    outbox: OutboxFacts = OutboxFacts()
    now: datetime | None = None
    """The database server's own clock."""
    holder: Owner | None = None
    """The process that judges by it; None: nobody, or it may not be asked."""


@dataclass(frozen=True)
class ProfileFacts:
    count: int
    mistakes: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()


@dataclass(frozen=True)
class MailFacts:
    where: str
    """Host and port, never the password; empty when no mail server is set."""
    mistake: str = ""


@dataclass(frozen=True)
class RemoteFacts:
    url: str
    version: str = ""
    mistake: str = ""
    now: datetime | None = None
    """What its Date header said."""
