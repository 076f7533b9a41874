"""kill -9 of the gateway, twenty times at random moments under 2,000 messages a second.

The publisher keeps a ledger: a message counts once the broker has acknowledged it. Afterwards every message of the
ledger is in the store exactly once, and there are exactly as many tickets as the ledger has alarm episodes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from sqlalchemy import func, select

from gateway.ports import free_port
from services import bootstrap
from services.accounts.desk import add_token
from services.accounts.policy import Role
from services.bench.alarm import alarm_profile
from services.bench.mosquitto import Mosquitto
from services.bench.publisher import Publisher
from services.clock import SystemClock
from services.settings import Settings
from services.sites.importer import import_site
from services.tables import alarms, tickets
from tests.gateway.kit import now_millis, until

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow, pytest.mark.timeout(300)]

DEVICES = 40
PER_SECOND = 2000
KILLS = 20
EPISODE = 40
"""Every so many messages of its own a device goes hot, and cools with the next."""


def site() -> dict[str, Any]:
    devices = [{"id": f"d{n}", "profile": "bench"} for n in range(DEVICES)]
    return {
        "site": "yard",
        "name": "Yard",
        "timezone": "Asia/Shanghai",
        "buildings": [{"id": "b1", "units": [{"id": "u1", "households": 1}]}],
        "devices": devices,
    }


def stream(stop: threading.Event, start_ms: int) -> Iterator[tuple[bytes, bytes]]:
    """Message n is the (n // DEVICES)th of device n % DEVICES; its time and its place in the order are one."""
    n = 0
    while not stop.is_set():
        turn, device = divmod(n, DEVICES)
        hot = turn % EPISODE == EPISODE - 2
        payload = f'{{"ts":{start_ms + turn},"u":{turn},"t1":{95 if hot else 40}}}'
        yield f"bench/d{device}/telemetry".encode(), payload.encode()
        n += 1


class LoadThread(threading.Thread):
    def __init__(self, port: int, start_ms: int) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self._publisher = Publisher(port, "ledger")
        self._start_ms = start_ms

    def run(self) -> None:
        self._publisher.publish(stream(self.stop, self._start_ms), per_second=PER_SECOND)
        self._publisher.close()

    @property
    def acknowledged(self) -> int:
        return self._publisher.acknowledged


class GatewayProcess:
    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self._arguments, self._environment, self._log = arguments, environment, log
        self._process: subprocess.Popen[bytes] | None = None

    def _connects(self) -> int:
        return self._log.read_bytes().count(b"broker_connected")

    def wait_until_connected(self) -> None:
        until(lambda: self._connects() > self._before, 30, "the gateway did not start")

    def start(self) -> None:
        self._log.touch()
        self._before = self._connects()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from services.cli.main import app; app()", "gateway", *self._arguments],
                stdout=log,
                stderr=log,
                env=self._environment,
            )

    def end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(10)


def test_nothing_acknowledged_is_lost_and_no_ticket_is_doubled(mosquitto: Mosquitto, tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    (tmp_path / "profiles").mkdir()
    yaml = YAML()
    with (tmp_path / "profiles" / "bench.yaml").open("w") as file:
        yaml.dump(alarm_profile(), file)
    with (tmp_path / "site.yaml").open("w") as file:
        yaml.dump(site(), file)
    http = f"127.0.0.1:{free_port()}"
    settings = Settings(data_dir=tmp_path / "services", profiles_dir=tmp_path / "profiles", http=http)
    clock = SystemClock()
    with ExitStack() as stack:
        core = bootstrap.start_core(stack, settings, clock)
        import_site(core.database, tmp_path / "site.yaml", core.library, clock.now())
        core.intake.reload()
        bootstrap.start_clockwork(stack, core)
        bootstrap.start_web(stack, core, None)
        (tmp_path / "token").write_text(gateway_token(core))
        gateway = GatewayProcess(
            ["--data", str(tmp_path / "gateway"), "--mqtt", mosquitto.url, "--services", f"http://{http}",
             "--token-file", str(tmp_path / "token"), "--id", "gateway-1"],
            {**os.environ, "COURTYARD_PROFILES_DIR": str(tmp_path / "profiles"), "COURTYARD_LOG_LEVEL": "info"},
            tmp_path / "gateway.log",
        )  # fmt: skip
        stack.callback(lambda: gateway.end(signal.SIGKILL))
        gateway.start()
        gateway.wait_until_connected()
        time.sleep(0.5)  # the SUBACK

        start_ms = now_millis() - 3_600_000 // 10
        load = LoadThread(mosquitto.port, start_ms)
        load.start()
        for _ in range(KILLS):
            # Mostly in full flight; now and then while it is still starting.
            if dice.random() < 0.85:
                gateway.wait_until_connected()
            time.sleep(dice.uniform(0.0, 1.5))
            gateway.end(signal.SIGKILL)
            gateway.start()
        load.stop.set()
        load.join(60)
        assert not load.is_alive()
        sent = load.acknowledged
        assert sent > KILLS * 1000, "there was real load"

        turns = [sent // DEVICES + (1 if device < sent % DEVICES else 0) for device in range(DEVICES)]
        episodes = sum(sum(1 for turn in range(count) if turn % EPISODE == EPISODE - 2) for count in turns)
        until(lambda: core.telemetry.count() >= sent, 60, "readings are missing")
        until(lambda: count_of(core, tickets) >= episodes, 30, "tickets are missing")
        time.sleep(1)  # long enough for a double to show

        for device, expected in enumerate(turns):
            points = core.telemetry.range(
                device=f"d{device}", child="", metrics=["u"], start=0, end=start_ms * 2, limit=10**7
            )["u"]
            assert [p.value for p in points] == list(range(expected)), f"device d{device}, seed {seed}"
        assert core.telemetry.count() == sent
        assert count_of(core, alarms) == episodes
        assert count_of(core, tickets) == episodes
        with core.database.read() as connection:
            assert connection.execute(select(func.count(tickets.c.alarm.distinct()))).scalar() == episodes
        print(json.dumps({"seed": seed, "kills": KILLS, "acknowledged": sent, "stored": sent, "episodes": episodes}))


def gateway_token(core: bootstrap.Core) -> str:
    _, secret = add_token(core.database, name="gateway-1", role=Role.GATEWAY, now=core.clock.now(), who=None)
    return secret


def count_of(core: bootstrap.Core, table: Any) -> int:
    with core.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())
