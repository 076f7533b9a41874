"""What the web application and the workers are given: built once, in bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from device_profiles.schema import DeviceProfile
from gateway.quarantine import QuarantineEntry
from gateway.reading import GatewayStatus
from gateway.telemetry import TelemetryStore
from services.backtest.jobs import Jobs
from services.changes import Changes
from services.clock import Clock
from services.database import Database
from services.metrics import Metrics
from services.settings import Settings

if TYPE_CHECKING:
    from services.intake import Intake


class LocalGateway(Protocol):
    """A gateway that runs in the same process."""

    def status(self) -> GatewayStatus: ...
    def quarantine_list(self, *, limit: int = 100, before: int | None = None) -> list[QuarantineEntry]: ...
    def quarantine_replay(self, ids: list[int] | None = None) -> tuple[int, int]:
        """Decode set-aside messages again, oldest first: (taken in, still refused)."""
        ...


@dataclass(frozen=True)
class Context:
    settings: Settings
    database: Database
    library: Mapping[str, DeviceProfile]
    telemetry: TelemetryStore
    changes: Changes
    clock: Clock
    intake: Intake
    gateway: LocalGateway | None = None
    """None where gateways run elsewhere and deliver over HTTP."""
    metrics: Metrics = field(default_factory=Metrics)
    jobs: Jobs = field(default_factory=Jobs)
    """Backtests that people have asked for, by themselves or before rules are changed."""
