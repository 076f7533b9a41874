"""The InfluxDB of the settings. Apart from bootstrap, for a gateway alone writes to it as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from device_profiles.schema import DeviceProfile
from gateway.reading import Registry
from gateway.telemetry.refused import FILE, RefusedPoints
from services.clock import Clock, to_millis
from services.settings import Settings

if TYPE_CHECKING:
    from gateway.telemetry.influx import InfluxAddress, InfluxTelemetry


def influx_address(settings: Settings) -> InfluxAddress:
    from gateway.telemetry.influx import InfluxAddress  # its client costs half a second: for those who have a database

    return InfluxAddress(
        url=settings.influx_url.rstrip("/"),
        token=settings.influx_token.strip(),
        org=settings.influx_org,
        gzip=settings.influx_gzip,
    )


def make_influx(
    settings: Settings, clock: Clock, library: Mapping[str, DeviceProfile], registry: Callable[[], Registry]
) -> InfluxTelemetry:
    """Not started. `registry` says where devices stand, from memory."""
    from gateway.telemetry.influx import InfluxTelemetry

    return InfluxTelemetry(
        influx_address(settings),
        library=library,
        registry=registry,
        set_aside=RefusedPoints(settings.data_dir / FILE),
        now_millis=lambda: to_millis(clock.now()),
    )
