"""A real InfluxDB 1 in a folder of its own, with the shim in front of it, for figures and for tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from gateway.ports import free_port
from services.stack.shim import Shim

_START_SECONDS = 60.0


class InfluxMissing(OSError):
    """No InfluxDB on this machine; the text says how to get one."""


def find_influxd() -> str:
    found = shutil.which("influxd")
    if found is None:
        raise InfluxMissing("influxd is not installed; on Debian: apt-get install influxdb")
    return found


class Influx:
    """Start, kill, start again: the ports stay. `url` is that of the shim, `direct_url` the database's own.

    `settings` are InfluxDB's own, such as INFLUXDB_DATA_CACHE_MAX_MEMORY_SIZE; `prefix` is a command to start it by."""

    def __init__(self, folder: Path, prefix: Sequence[str] = (), **settings: str) -> None:
        self.folder = folder
        self._prefix = prefix
        self._settings = settings
        self._address = f"127.0.0.1:{free_port()}"
        self._rpc = f"127.0.0.1:{free_port()}"
        self.direct_url = f"http://{self._address}"
        self._shim = Shim("127.0.0.1:0", self.direct_url)
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(base_url=self.direct_url, trust_env=False, timeout=30)

    @property
    def url(self) -> str:
        return self._shim.url

    def __enter__(self) -> Influx:
        find_influxd()
        self._shim.start()
        try:
            self.start()
            self.query("CREATE DATABASE telemetry")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.client.close()
        self._shim.stop()

    def start(self) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "INFLUXDB_REPORTING_DISABLED": "true",
            "INFLUXDB_BIND_ADDRESS": self._rpc,
            "INFLUXDB_META_DIR": str(self.folder / "meta"),
            "INFLUXDB_DATA_DIR": str(self.folder / "data"),
            "INFLUXDB_DATA_WAL_DIR": str(self.folder / "wal"),
            "INFLUXDB_HTTP_BIND_ADDRESS": self._address,
            "INFLUXDB_HTTP_LOG_ENABLED": "false",
            "INFLUXDB_MONITOR_STORE_ENABLED": "false",
        } | self._settings
        program = [*self._prefix, find_influxd(), "run", "-config", os.devnull]
        self.process = subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait(self.process)

    def set(self, name: str, value: str) -> None:
        """One of InfluxDB's own settings, from its next start."""
        self._settings[name] = value

    def signal(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL: what it has not written down is lost to it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def query(self, text: str, database: str = "telemetry") -> list[dict[str, object]]:
        """The series of all statements; times in milliseconds. An error of any statement fails."""
        answer = self.client.post("/query", params={"db": database, "epoch": "ms"}, data={"q": text})
        answer.raise_for_status()
        results = answer.json()["results"]
        errors = [result["error"] for result in results if "error" in result]
        if errors:
            raise ValueError(f"{text}: {errors[0]}")
        return [series for result in results for series in result.get("series", [])]

    def _wait(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.client.get("/ping").raise_for_status()
                return
            except httpx.HTTPError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
