"""Who writes the time series where the settings name an InfluxDB: every reading arrives, and by one way only."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest
from ruamel.yaml import YAML

from gateway.ports import free_port
from gateway.registry import RegistryWatch
from gateway.service import Gateway
from gateway.telemetry import TelemetryUnavailable
from gateway.telemetry.spool import SpooledTelemetry
from services import bootstrap
from services.accounts.desk import add_token
from services.accounts.policy import Role
from services.adoption.history import note_rename
from services.bench.alarm import alarm_profile
from services.bench.mosquitto import Mosquitto
from services.bootstrap import Core
from services.clock import SystemClock
from services.gateway_node import start_remote_gateway
from services.settings import Settings
from services.sites.importer import import_site
from tests.fixtures_influxdb import Influx
from tests.fixtures_mosquitto import mosquitto
from tests.gateway.kit import now_millis, publish, until
from tests.gateway.telemetry.influx_kit import database, shared

__all__ = ["database", "mosquitto", "shared"]

SITE = {
    "site": "yard",
    "name": "Yard",
    "timezone": "Asia/Shanghai",
    "buildings": [{"id": "b1", "units": [{"id": "u1", "households": 1}]}],
    "devices": [{"id": "d1", "profile": "bench", "building": "b1"}],
}


class Yard:
    """Services with one device, and gateways beside them or elsewhere."""

    def __init__(self, folder: Path, stack: ExitStack, influx_url: str) -> None:
        self.folder = folder
        self._stack = stack
        (folder / "profiles").mkdir()
        for name, content in (("profiles/bench.yaml", alarm_profile()), ("site.yaml", SITE)):
            with (folder / name).open("w") as file:
                YAML().dump(content, file)
        self.http = f"127.0.0.1:{free_port()}"
        self.settings = Settings(
            data_dir=folder / "services", profiles_dir=folder / "profiles", influx_url=influx_url, http=self.http
        )
        self.core: Core = bootstrap.start_core(stack, self.settings, SystemClock())
        now = SystemClock().now()
        import_site(self.core.database, folder / "site.yaml", self.core.library, now)
        self.core.intake.reload()
        _, secret = add_token(self.core.database, name="gateway-1", role=Role.GATEWAY, now=now, who=None)
        (folder / "token").write_text(secret)

    @property
    def spool(self) -> SpooledTelemetry:
        assert isinstance(self.core.telemetry, SpooledTelemetry)
        return self.core.telemetry

    def gateway_elsewhere(self, mqtt: str, influx_url: str) -> Gateway:
        bootstrap.start_web(self._stack, self.core, None)
        gateway = self.gateway_alone(mqtt, influx_url)
        until(lambda: gateway.status().connected and bool(gateway.registry.devices))
        return gateway

    def gateway_alone(self, mqtt: str, influx_url: str) -> Gateway:
        """Services do not answer it yet."""
        settings = self.settings.model_copy(
            update={
                "data_dir": self.folder / "gateway",
                "mqtt": mqtt,
                "influx_url": influx_url,
                "services_url": f"http://{self.http}",
                "gateway_token_file": self.folder / "token",
            }
        )
        return start_remote_gateway(self._stack, settings, SystemClock())


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def waits_in_vain(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds for which somebody waited for a thread that did not end, however slow the machine is."""
    found: list[float] = []
    real = Thread.join

    def join(self: Thread, timeout: float | None = None) -> None:
        real(self, timeout)
        if timeout is not None and self.is_alive():
            found.append(timeout)

    monkeypatch.setattr(Thread, "join", join)
    return found


ALL_WAITING = (200, 201)
"""Entries of the journal: 200 messages, and where the gateway began to listen, unless that one was taken before."""


def measure(broker: Mosquitto, count: int) -> None:
    start = now_millis()
    publish(broker.port, [("bench/d1/telemetry", b'{"ts":%d,"u":230}' % (start + n)) for n in range(count)])


def stored(database: Influx) -> int:
    found = database.query("SELECT COUNT(u) FROM bench WHERE site = 'yard' AND building = 'b1' AND device = 'd1'")
    return int(found[0]["values"][0][1]) if found else 0  # type: ignore[index]


def test_a_gateway_with_an_influxdb_writes_it_itself_once_it_is_there(
    tmp_path: Path, stack: ExitStack, mosquitto: Mosquitto, database: Influx
) -> None:
    database.kill()
    yard = Yard(tmp_path, stack, database.url)
    gateway = yard.gateway_elsewhere(mosquitto.url, database.url)
    measure(mosquitto, 200)
    until(lambda: yard.core.intake.readings >= 200, why="alarms waited for the time series")
    until(lambda: "telemetry: InfluxDB" in gateway.status().last_error)
    until(lambda: gateway.status().telemetry_waiting in ALL_WAITING)
    with pytest.raises(TelemetryUnavailable):
        yard.core.telemetry.range(device="d1", child="", metrics=["u"], start=0, end=1)
    database.start()
    until(lambda: stored(database) == 200)
    assert yard.spool.journal.last_seq == 0, "services were spared the work"


def test_what_a_new_gateway_takes_before_it_has_heard_of_services_is_filed_where_its_devices_stand(
    tmp_path: Path, stack: ExitStack, mosquitto: Mosquitto, database: Influx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RegistryWatch.__init__, "__kwdefaults__", {"ask_seconds": 0.3})  # else ten
    yard = Yard(tmp_path, stack, database.url)
    gateway = yard.gateway_alone(mosquitto.url, database.url)
    until(lambda: gateway.status().connected)
    measure(mosquitto, 200)
    until(lambda: "where devices stand" in gateway.status().last_error)
    until(lambda: gateway.status().telemetry_waiting in ALL_WAITING)
    bootstrap.start_web(stack, yard.core, None)
    until(lambda: stored(database) == 200)
    assert len(database.query("SHOW SERIES ON telemetry")[0]["values"]) == 1  # type: ignore[arg-type]


def test_what_a_gateway_without_one_delivers_services_write(
    tmp_path: Path, stack: ExitStack, mosquitto: Mosquitto, database: Influx
) -> None:
    yard = Yard(tmp_path, stack, database.url)
    yard.gateway_elsewhere(mosquitto.url, "")
    database.kill()
    measure(mosquitto, 200)
    until(lambda: yard.core.intake.readings >= 200, why="alarms waited for the time series")
    until(lambda: yard.spool.waiting > 0)
    database.start()
    until(lambda: stored(database) == 200)


def test_in_one_process_the_gateways_own_journal_feeds_it(
    tmp_path: Path, stack: ExitStack, mosquitto: Mosquitto, database: Influx
) -> None:
    yard = Yard(tmp_path, stack, database.url)
    gateway = bootstrap.start_gateway(stack, yard.core, mosquitto.url)
    until(lambda: gateway.status().connected)
    start = now_millis()
    measure(mosquitto, 200)
    until(lambda: stored(database) == 200)
    assert yard.spool.journal.last_seq == 0
    asked = yard.core.context.telemetry.range(
        device="d1", child="", metrics=["u"], start=start - 1000, end=start + 60_000
    )
    assert len(asked["u"]) == 200, "pages read from InfluxDB"


def test_an_influxdb_that_hangs_holds_up_no_delay_and_no_silence(tmp_path: Path, stack: ExitStack) -> None:
    """Adopted devices' history is filed in the time series for a day: alarms must not wait for that."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # takes connections, and never says anything
        yard = Yard(tmp_path, stack, f"http://127.0.0.1:{hanging.getsockname()[1]}")
        with yard.core.database.write() as connection:
            note_rename(connection, "bench:d1", "d1", SystemClock().now())
        ticker = bootstrap.start_clockwork(stack, yard.core)
        until(lambda: ticker.chores[0].runs >= 4, why="the tick waited for the time series")
        assert ticker.chores[0].name == "tick"


def test_an_influxdb_that_hangs_holds_up_no_stop_and_nothing_is_lost(
    tmp_path: Path, mosquitto: Mosquitto, database: Influx, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_vain = waits_in_vain(monkeypatch)
    with ExitStack() as stopping:
        yard = Yard(tmp_path, stopping, database.url)
        gateway = bootstrap.start_gateway(stopping, yard.core, mosquitto.url)
        until(lambda: gateway.status().connected)
        measure(mosquitto, 1)
        until(lambda: stored(database) == 1)
        database.signal(signal.SIGSTOP)
        try:
            bootstrap.start_clockwork(stopping, yard.core)
            measure(mosquitto, 199)
            until(lambda: yard.core.intake.readings >= 200)
            in_vain.clear()
            began = time.monotonic()
            stopping.close()
            took = time.monotonic() - began
        finally:
            database.signal(signal.SIGCONT)
    assert sum(in_vain) < 9, "the forwarder and the sums, one after the other, once took ten seconds and more"
    assert took < 28, "an InfluxDB is waited for half a minute, when nobody stops"
    with ExitStack() as again:
        core = bootstrap.start_core(again, yard.settings, SystemClock())
        bootstrap.start_gateway(again, core, mosquitto.url)
        until(lambda: stored(database) == 200)
