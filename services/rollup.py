"""The time series in InfluxDB, looked after by services: its levels are there, and what is over is summed up."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from device_profiles.schema import DeviceProfile
from gateway.telemetry import TelemetryStore, TelemetryUnavailable
from services.settings import Settings
from services.ticker import Chore

if TYPE_CHECKING:
    from device_profiles.telemetry import Level
    from gateway.telemetry.retention import Kept

log = structlog.get_logger("courtyard.rollup")
EVERY = timedelta(seconds=20)
LOOK_EVERY = timedelta(hours=1)


def wanted_levels(settings: Settings) -> dict[Level, Kept]:
    """How long each level is to be kept, as the settings say."""
    from gateway.telemetry.retention import wanted

    return wanted(
        raw_days=settings.influx_raw_days,
        five_minutes_days=settings.influx_5m_days,
        hourly_days=settings.influx_1h_days,
    )


def rollup_chores(
    stack: ExitStack, settings: Settings, library: Mapping[str, DeviceProfile], store: TelemetryStore
) -> list[Chore]:
    """For a ticker of their own: they may take seconds, and nothing else waits for them. A database that is away is
    said once, and tried again. None where the store is no InfluxDB."""
    from gateway.telemetry.influx import InfluxTelemetry
    from gateway.telemetry.influxql import InfluxQl
    from gateway.telemetry.retention import look
    from gateway.telemetry.rollup import Rollup

    if not isinstance(store, InfluxTelemetry):
        return []
    at = store.address
    ql = stack.enter_context(InfluxQl(at.url, at.token, at.org))
    rollup = Rollup(ql, store.post, library)
    said = ""

    def patiently(problem: str) -> None:
        nonlocal said
        if problem and problem != said:
            log.warning("telemetry_not_kept_up", problem=problem)
        said = problem

    def set_up(_: datetime) -> None:
        """What a token may not do a person does with `courtyard telemetry setup`."""
        try:
            for change in look(ql, url=at.url, token=at.token, org=at.org, levels=wanted_levels(settings)).changes:
                change.carry_out()
                log.info("telemetry_set_up", change=change.said)
        except TelemetryUnavailable as error:
            log.warning("telemetry_not_set_up", problem=str(error), step="see `courtyard telemetry setup`")

    def sum_up(now: datetime) -> None:
        refused = rollup.refused
        try:
            rollup.run(now)
        except TelemetryUnavailable as error:
            patiently(str(error))
        else:
            patiently("")
        if rollup.refused > refused:
            log.warning("sums_refused", lines=rollup.refused - refused, step="a metric has changed its type?")

    return [Chore("telemetry levels", LOOK_EVERY, set_up), Chore("telemetry sums", EVERY, sum_up)]
