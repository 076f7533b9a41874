"""Puts a gateway together. Apart from bootstrap, so that a gateway alone does not carry the web and the database."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from device_profiles.schema import DeviceProfile
from gateway.metrics import of_gateway, of_telemetry
from gateway.reading import Registry
from gateway.service import Gateway, GatewayConfig
from gateway.telemetry import TelemetryStore, TelemetryUnavailable
from gateway.uplink import CommandUplink, Uplink
from gateway.uplink_http import HttpUplink
from services.clock import Clock, to_millis
from services.influx import make_influx
from services.metrics import Metrics
from services.metrics.listener import start_listener
from services.metrics.process import of_process
from services.profiles import load_library
from services.settings import Settings


def start_remote_gateway(stack: ExitStack, settings: Settings, clock: Clock) -> Gateway:
    """A gateway alone: it needs nothing but its disk to go on collecting.

    With an InfluxDB in its settings it writes the time series itself; else services store what they take.
    """
    library = load_library(settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    if settings.gateway_token_file is None:
        raise ValueError("COURTYARD_GATEWAY_TOKEN_FILE is not set; `courtyard token create` on services makes one")
    if not settings.gateway_token_file.is_file():
        raise ValueError(f"there is no token in {settings.gateway_token_file}; `courtyard token create` makes one")
    metrics = start_metrics(stack, settings, clock)
    now_millis = lambda: to_millis(clock.now())  # noqa: E731 - handed on
    uplink = HttpUplink(settings.services_url, settings.gateway_token_file, now_millis=now_millis)
    stack.callback(uplink.close)
    telemetry = None
    if settings.influx_url:
        telemetry = make_influx(settings, clock, library, lambda: _heard(gateway.registry))
        telemetry.start()
        stack.callback(telemetry.close)
        watch_telemetry(stack, metrics, telemetry, clock)
    gateway = make_gateway(settings, clock, library, uplink, telemetry, settings.mqtt, commands=uplink)
    gateway.start()
    stack.callback(gateway.stop)
    watch_gateway(stack, metrics, gateway, clock)
    return gateway


def _heard(registry: Registry) -> Registry:
    """Raises TelemetryUnavailable until the first device list has come, once in the life of a data folder: readings
    written without their place would stand apart for good, and until then they are safe in the journal."""
    if not registry.version:
        raise TelemetryUnavailable("services have not said yet where devices stand")
    return registry


def start_metrics(stack: ExitStack, settings: Settings, clock: Clock) -> Metrics:
    """This process's figures, and the listener for them where one is set."""
    metrics = Metrics()
    metrics.watch("process", of_process(settings.data_dir, clock))
    start_listener(stack, metrics, settings.metrics_address)
    return metrics


def watch_telemetry(stack: ExitStack, metrics: Metrics, store: TelemetryStore, clock: Clock) -> None:
    """Its figures, until it is closed."""
    metrics.watch("telemetry", of_telemetry(store, lambda: to_millis(clock.now())))
    stack.callback(metrics.forget, "telemetry")


def watch_gateway(stack: ExitStack, metrics: Metrics, gateway: Gateway, clock: Clock) -> None:
    """Its figures, until it is stopped: a closed journal tells nothing."""
    metrics.watch("gateway", of_gateway(gateway, lambda: to_millis(clock.now())))
    stack.callback(metrics.forget, "gateway")


def make_gateway(
    settings: Settings,
    clock: Clock,
    library: Mapping[str, DeviceProfile],
    uplink: Uplink,
    telemetry: TelemetryStore | None,
    mqtt_url: str,
    *,
    commands: CommandUplink,
    command_wait_seconds: float = 20.0,
) -> Gateway:
    """A gateway as the settings say, not started."""
    config = GatewayConfig(
        id=settings.gateway_id,
        data_dir=settings.data_dir,
        mqtt_url=mqtt_url,
        client_id=settings.mqtt_client_id,
        journal_max_bytes=settings.journal_max_bytes,
        command_wait_seconds=command_wait_seconds,
    )
    return Gateway(
        config=config,
        profiles=library.values(),
        uplink=uplink,
        telemetry=telemetry,
        now_millis=lambda: to_millis(clock.now()),
        commands=commands,
    )
