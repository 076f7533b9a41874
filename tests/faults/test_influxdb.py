"""InfluxDB killed, hung, full, away: the journal waits, nothing is lost, and the reason is said."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from gateway.forward import TELEMETRY_BATCH, Forwarder, Signal, TelemetryConsumer
from gateway.journal import Journal, NewEntry
from gateway.telemetry import TelemetryUnavailable
from gateway.telemetry.influx import InfluxTelemetry
from tests.fixtures_influxdb import Influx
from tests.gateway.kit import until
from tests.gateway.telemetry.influx_kit import reading, server, writer
from tests.gateway.telemetry.test_lines import AT


class SmallDisk:
    """A file system in memory at `folder`, of so many megabytes, seen only by what is started with `prefix`."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self._folder = folder
        self._megabytes = megabytes
        self._holder: subprocess.Popen[bytes]

    def __enter__(self) -> SmallDisk:
        self._folder.mkdir()
        mount = 'mount -t tmpfs -o "size=$1m" tmpfs "$0" && echo ready && exec sleep 1000'
        self._holder = subprocess.Popen(
            ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(self._folder), str(self._megabytes)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"ready\n":
            self.__exit__()
            pytest.skip("this machine lets nobody mount a small file system (unshare)")
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()
        self._holder.communicate()

    @property
    def prefix(self) -> list[str]:
        return ["nsenter", f"--target={self._holder.pid}", "--user", "--mount", "--preserve-credentials"]

    @property
    def _ballast(self) -> Path:
        return Path(f"/proc/{self._holder.pid}/root/{self._folder}/ballast")

    def fill(self) -> None:
        with suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def make_room(self) -> None:
        self._ballast.unlink()


MOST_WAITING = 20_000
"""Readings that may wait where nobody asks for more: else a slow machine has ever more to catch up with."""


class Plant:
    """A journal that is being written while a forwarder empties it into the database."""

    def __init__(self, folder: Path, store: InfluxTelemetry) -> None:
        self.journal = Journal(folder / "journal.db", consumers=("telemetry",), max_bytes=10**9)
        self.written = 0
        self._wanted = 0
        self._signal = Signal()
        self._store = store
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._measure)
        self.forwarder: Forwarder

    def __enter__(self) -> Plant:
        self.journal.start()
        self.forwarder = Forwarder(self.journal, TelemetryConsumer(self._store), self._signal, batch=TELEMETRY_BATCH)
        self.forwarder.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()
        self.forwarder.stop()
        self.journal.close()

    def finish(self) -> None:
        """No more is measured."""
        self._stopping.set()
        self._thread.join()

    def wait_for_more(self, readings: int) -> None:
        goal = self._wanted = self.written + readings
        until(lambda: self.written >= goal)

    def wait_until_empty(self) -> None:
        until(lambda: self.journal.cursor("telemetry") >= self.journal.last_seq, 60, f"{self.forwarder.error}")

    def _waiting(self) -> int:
        return self.journal.last_seq - self.journal.cursor("telemetry")

    def _measure(self) -> None:
        while not self._stopping.is_set():
            if self.written >= self._wanted and self._waiting() > MOST_WAITING:
                self._stopping.wait(0.02)
                continue
            batch = [NewEntry(AT + n, n, [reading(n)]) for n in range(self.written, self.written + 500)]
            self.journal.append(batch)
            self.journal.maintain()
            self.written += len(batch)
            self._signal.notify()
            self._stopping.wait(0.02)


def stored(database: Influx) -> set[int]:
    """Every measured_at that is in the database."""
    found: set[int] = set()
    while True:
        after = max(found, default=AT - 1)
        series = database.query(f"SELECT flow FROM water_pump WHERE time > {after}ms LIMIT 20000")
        if not series:
            return found
        values: list[list[int]] = series[0]["values"]  # type: ignore[assignment]
        found |= {row[0] for row in values}


def check(plant: Plant, database: Influx) -> None:
    """The ledger against the store."""
    plant.finish()
    plant.wait_until_empty()
    assert plant.written > 0
    assert stored(database) == set(range(AT, AT + plant.written))


def test_killed_again_and_again_under_load(tmp_path: Path) -> None:
    with server(tmp_path) as database, writer(database.url, tmp_path) as store, Plant(tmp_path, store) as plant:
        for _ in range(3):
            plant.wait_for_more(2000)
            database.kill()
            until(lambda: "telemetry: InfluxDB" in plant.forwarder.error)
            database.start()
            until(lambda: plant.forwarder.error == "")
        check(plant, database)


def test_hung_while_it_is_written_to(tmp_path: Path) -> None:
    with (
        server(tmp_path) as database,
        writer(database.url, tmp_path, timeout_seconds=2.0) as store,
        Plant(tmp_path, store) as plant,
    ):
        plant.wait_for_more(2000)
        database.signal(signal.SIGSTOP)
        until(lambda: "does not answer" in plant.forwarder.error)
        plant.wait_for_more(5000)  # collecting goes on
        database.signal(signal.SIGCONT)
        check(plant, database)


def test_while_it_hangs_pages_do_not_all_wait_for_it(tmp_path: Path) -> None:
    with server(tmp_path) as database, writer(database.url, tmp_path, timeout_seconds=3.0) as store:
        store.write([reading(1)])

        def ask() -> int:
            return len(store.range(device="pump-1", child="", metrics=["flow"], start=AT, end=AT + 10)["flow"])

        assert ask() == 1
        database.signal(signal.SIGSTOP)
        with pytest.raises(TelemetryUnavailable, match="does not answer"):
            ask()
        began = time.monotonic()
        for _ in range(5):
            with pytest.raises(TelemetryUnavailable, match="a moment ago"):
                ask()
        assert time.monotonic() - began < 12, "one after the other would have waited five times"
        database.signal(signal.SIGCONT)

        def answered() -> bool:
            try:
                return ask() == 1
            except TelemetryUnavailable:
                return False

        until(answered)


def test_not_there_yet_when_the_first_readings_come(tmp_path: Path) -> None:
    with server(tmp_path) as database:
        database.kill()
        with writer(database.url, tmp_path) as store, Plant(tmp_path, store) as plant:
            until(lambda: plant.forwarder.failures >= 1)
            plant.wait_for_more(2000)
            database.start()
            check(plant, database)


def test_the_disk_of_the_database_fills_up(tmp_path: Path) -> None:
    """On a file system of 16 MB of its own. InfluxDB 1.6 refuses until it is restarted, even with room again."""
    with ExitStack() as stack:
        disk = stack.enter_context(SmallDisk(tmp_path / "influxdb", 16))
        database = stack.enter_context(server(tmp_path, disk.prefix))
        store = stack.enter_context(writer(database.url, tmp_path))
        plant = stack.enter_context(Plant(tmp_path, store))
        plant.wait_for_more(2000)
        disk.fill()
        said = set[str]()
        until(lambda: said.add(plant.forwarder.error) or any("no space left" in one for one in said))
        assert all("make room on its disk" in one for one in said if "no space left" in one)
        plant.wait_for_more(2000)
        disk.make_room()
        database.kill()
        database.start()
        check(plant, database)
