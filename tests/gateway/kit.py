"""A gateway for tests: real decoder, journal and telemetry; services are a ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from device_profiles.schema import DeviceProfile
from gateway.reading import Batch, DeviceEntry, Reading, Registry
from gateway.service import Gateway, GatewayConfig
from gateway.telemetry.sqlite import SqliteTelemetry


def now_millis() -> int:
    return int(time.time() * 1000)


def until(done: Callable[[], bool], seconds: float = 60, why: str = "it did not come about in time") -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, why
        time.sleep(0.01)


def meter_profile(**fields: object) -> DeviceProfile:
    """A meter that counts: {"n": 1}, without a clock of its own unless `time` says so."""
    binding: dict[str, object] = {
        "id": "telemetry",
        "topic": "meters/{address}/telemetry",
        "decode": [{"json": True}],
        "fields": {"n": "n"},
    }
    binding.update(fields)
    return DeviceProfile.model_validate(
        {
            "profile": "meter",
            "family": "meter",
            "name": {"zh": "表", "en": "Meter"},
            "availability": {"period": "60s"},
            "metrics": {"n": {"name": {"zh": "数", "en": "Number"}}},
            "bindings": [binding],
        }
    )


class Ledger:
    """Stands for services: a cursor, and everything it was given."""

    def __init__(self) -> None:
        self.held = 0
        self.readings: list[Reading] = []
        self.batches: list[Batch] = []

    def cursor(self, gateway: str) -> int:
        return self.held

    def deliver(self, batch: Batch) -> int:
        self.batches.append(batch)
        self.readings += batch.readings
        self.held = max(self.held, batch.last_seq)
        return self.held

    def registry(self) -> Registry:
        entries = [DeviceEntry(id=f"meter-{n}", profile="meter", address=f"m{n}", site="yard") for n in range(20)]
        return Registry(version="1", devices=entries)

    @property
    def numbers(self) -> list[object]:
        return [r.values["n"] for r in self.readings]


_made: list[tuple[Gateway, SqliteTelemetry]] = []


def make_gateway(
    folder: Path, url: str, ledger: Ledger, *profiles: DeviceProfile, now: Callable[[], int] = now_millis
) -> tuple[Gateway, SqliteTelemetry]:
    telemetry = SqliteTelemetry(folder / "telemetry.db")
    telemetry.start()
    config = GatewayConfig(
        id="gateway-1", data_dir=folder, mqtt_url=url, client_id="gateway-under-test", journal_max_bytes=10**8
    )
    gateway = Gateway(
        config=config, profiles=profiles or (meter_profile(),), uplink=ledger, telemetry=telemetry,
        now_millis=now,
    )  # fmt: skip
    _made.append((gateway, telemetry))
    return gateway, telemetry


def stop_what_is_left() -> None:
    """The gateways of a test that failed before it could stop them: they must not run into the next one."""
    for gateway, telemetry in _made:
        if gateway._thread.is_alive():
            gateway.stop()
            telemetry.close()
    _made.clear()


def publish(port: int, messages: list[tuple[str, bytes]], *, retain: bool = False) -> None:
    """Publish at QoS 1 and wait until the broker has acknowledged every message."""
    client = paho.Client(CallbackAPIVersion.VERSION2, "test-publisher")
    client.max_queued_messages_set(0)
    client.max_inflight_messages_set(500)
    client.connect("127.0.0.1", port)
    client.loop_start()
    sent = [client.publish(topic, payload, qos=1, retain=retain) for topic, payload in messages]
    for info in sent:
        info.wait_for_publish(60)
        assert info.is_published()
    client.disconnect()
    client.loop_stop()
