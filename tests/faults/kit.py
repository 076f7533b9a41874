"""A yard whose gateway and services run as processes that can be killed, and a publisher that keeps a ledger."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from sqlalchemy import func, select

from gateway.ports import free_port
from gateway.telemetry.sqlite import SqliteTelemetry
from services import bootstrap
from services.accounts.desk import add_token
from services.accounts.policy import Role
from services.bench.alarm import alarm_profile
from services.bench.mosquitto import Mosquitto
from services.bench.publisher import Publisher
from services.calm.names import STORMS
from services.clock import SystemClock
from services.database import Database
from services.settings import Settings
from services.sites.importer import import_site
from services.tables import alarms, tickets
from tests.gateway.kit import until

DEVICES = 40
EPISODE = 40
"""Every so many messages of its own a device goes hot, and cools with the next."""
TURN_MILLIS = 20
"""Between two messages of a device, as it says: a hundred episodes within a minute would count as one that flaps."""


def _site() -> dict[str, Any]:
    return {
        "site": "yard",
        "name": "Yard",
        "timezone": "Asia/Shanghai",
        "buildings": [{"id": "b1", "units": [{"id": "u1", "households": 1}]}],
        "devices": [{"id": f"d{n}", "profile": "bench"} for n in range(DEVICES)],
    }


class Program:
    """One of the product's commands as a process."""

    def __init__(self, arguments: list[str], folder: Path, ready: bytes, **environment: str) -> None:
        self._arguments = arguments
        self._log = folder / f"{arguments[0]}.log"
        self._ready = ready
        self._environment = {**os.environ, "COURTYARD_PROFILES_DIR": str(folder / "profiles"), **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._before = 0

    def start(self) -> None:
        self._log.touch()
        self._before = self._log.read_bytes().count(self._ready)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-c", "from services.cli.main import app; app()", *self._arguments],
                stdout=log,
                stderr=log,
                env=self._environment,
            )

    def wait_until_ready(self) -> None:
        until(
            lambda: self._log.read_bytes().count(self._ready) > self._before, 240, f"{self._arguments[0]} did not start"
        )

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(60)
            self._process = None


class Yard:
    """Site, profile and token are made; `gateway` and `services` are not started yet."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.folder = folder
        self.broker = broker
        self._write("profiles/bench.yaml", alarm_profile())
        self._write("site.yaml", _site())
        self._prepare()
        http = f"127.0.0.1:{free_port()}"
        self.services = Program(["services", "--data", str(folder / "services"), "--http", http], folder, b"http://")
        self.gateway = Program(
            ["gateway", "--data", str(folder / "gateway"), "--mqtt", broker.url, "--services", f"http://{http}",
             "--token-file", str(folder / "token"), "--id", "gateway-1"],
            folder,
            b"broker_connected",
        )  # fmt: skip

    def _write(self, name: str, content: dict[str, Any]) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            YAML().dump(content, file)

    def _prepare(self) -> None:
        settings = Settings(data_dir=self.folder / "services", profiles_dir=self.folder / "profiles")
        now = SystemClock().now()
        with ExitStack() as stack:
            core = bootstrap.start_core(stack, settings, SystemClock())
            import_site(core.database, self.folder / "site.yaml", core.library, now)
            _, secret = add_token(core.database, name="gateway-1", role=Role.GATEWAY, now=now, who=None)
        (self.folder / "token").write_text(secret)

    def taken(self) -> int:
        """Readings that services have stored up to now."""
        with ExitStack() as stack:
            return self._telemetry(stack).count()

    def episodes(self) -> int:
        """Begun up to now."""
        with ExitStack() as stack:
            return _count(self._database(stack), alarms, _NO_STORM)

    def start(self, stack: ExitStack) -> None:
        stack.callback(self.services.kill)
        stack.callback(self.gateway.kill)
        self.services.start()
        self.gateway.start()
        self.services.wait_until_ready()
        self.gateway.wait_until_ready()
        until(lambda: self.broker_has_subscriber(), 240, "the gateway did not subscribe")

    def broker_has_subscriber(self) -> bool:
        """A message of an unclaimed device arrives: everything is connected."""
        publisher = Publisher(self.broker.port, "probe")
        publisher.publish(iter([(b"bench/probe/telemetry", b'{"u":1}')]))
        publisher.close()
        with ExitStack() as stack:
            return _stored(self._telemetry(stack), "bench:probe") > 0

    def _telemetry(self, stack: ExitStack) -> SqliteTelemetry:
        telemetry = SqliteTelemetry(self.folder / "services" / "telemetry.db")
        telemetry.start()
        stack.callback(telemetry.close)
        return telemetry

    def _database(self, stack: ExitStack) -> Database:
        database = Database.sqlite(self.folder / "services" / "courtyard.db")
        database.start()
        stack.callback(database.close)
        return database

    def check_against(self, acknowledged: int, start_ms: int) -> dict[str, int]:
        """Every message of the ledger is stored once; every episode of the ledger has one ticket, its own or that of
        the one storm it is folded under: all devices go hot together. Returns counts."""
        turns = [acknowledged // DEVICES + (device < acknowledged % DEVICES) for device in range(DEVICES)]
        episodes = sum(sum(1 for turn in range(count) if _is_hot(turn)) for count in turns)
        with ExitStack() as stack:
            telemetry = self._telemetry(stack)
            database = self._database(stack)

            def of_the_ledger() -> int:
                return telemetry.count() - _stored(telemetry, "bench:probe")

            until(lambda: of_the_ledger() >= acknowledged, 240, "readings are missing")
            until(lambda: _count(database, alarms, _NO_STORM) >= episodes, 240, "episodes are missing")
            for device, expected in enumerate(turns):
                values = _values(telemetry, f"d{device}")
                assert values == list(range(expected)), f"device d{device}: a reading is missing, doubled or misplaced"
            assert of_the_ledger() == acknowledged
            assert _count(database, alarms, _NO_STORM) == episodes
            told = _tickets_of_episodes(database)
        counts = {"acknowledged": acknowledged, "stored": acknowledged, "episodes": episodes}
        return {**counts, "tickets": told}


_NO_STORM = alarms.c.profile != STORMS


def _tickets_of_episodes(database: Database) -> int:
    """Checks that each episode has its ticket, and no ticket is without one; how many tickets there are."""
    with database.read() as connection:
        stood = {row.id: row for row in connection.execute(select(alarms))}
        opened = connection.scalars(select(tickets.c.alarm)).all()
    folded = [row.parent for row in stood.values() if row.parent is not None]
    assert all(stood[parent].profile == STORMS for parent in folded), "folded under something else"
    assert {id for id, row in stood.items() if row.profile == STORMS} == set(folded), "a storm of nothing"
    assert sorted(opened) == sorted(id for id, row in stood.items() if row.parent is None), "missing, doubled or extra"
    return len(opened)


class Load(threading.Thread):
    """Publishes at QoS 1 until stopped. What the broker has acknowledged is the ledger."""

    at_most: int | None = None
    """Where it holds its breath until this is raised; None: nowhere."""

    def __init__(self, broker: Mosquitto, start_ms: int, per_second: int) -> None:
        super().__init__(daemon=True)
        self._ending = threading.Event()
        self._publisher = Publisher(broker.port, "ledger")
        self._start_ms = start_ms
        self._per_second = per_second

    @property
    def acknowledged(self) -> int:
        return self._publisher.acknowledged

    def run(self) -> None:
        self._publisher.publish(self._stream(), per_second=self._per_second)
        self._publisher.close()

    def _stream(self) -> Iterator[tuple[bytes, bytes]]:
        """Message n is the (n // DEVICES)th of device n % DEVICES; its time says its place in the order."""
        n = 0
        while not self._ending.is_set():
            if self.at_most is not None and n >= self.at_most:
                self._ending.wait(0.02)
                continue
            turn, device = divmod(n, DEVICES)
            payload = f'{{"ts":{self._start_ms + turn * TURN_MILLIS},"u":{turn},"t1":{95 if _is_hot(turn) else 40}}}'
            yield f"bench/d{device}/telemetry".encode(), payload.encode()
            n += 1

    def end(self) -> int:
        """Stop; returns how many messages the broker has acknowledged, which is all of them."""
        self._ending.set()
        self.join(240)
        assert not self.is_alive()
        assert self._publisher.acknowledged == self._publisher.sent
        return self._publisher.acknowledged


def _is_hot(turn: int) -> bool:
    return turn % EPISODE == EPISODE - 2


def _values(telemetry: SqliteTelemetry, device: str) -> list[Any]:
    found = telemetry.range(device=device, child="", metrics=["u"], start=0, end=2**53, limit=10**7)
    return [point.value for point in found["u"]]


def _stored(telemetry: SqliteTelemetry, device: str) -> int:
    return len(_values(telemetry, device))


def _count(database: Database, table: Any, *where: Any) -> int:
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one())
