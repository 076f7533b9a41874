"""A real InfluxDB 1.x for tests: Debian's `influxd`, in a folder of its own, on ports of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from gateway.ports import free_port

START_SECONDS = 20.0


def installed() -> bool:
    return shutil.which("influxd") is not None


@contextmanager
def influxdb(folder: Path) -> Iterator[httpx.Client]:
    """A client of a fresh server with one database, `telemetry`."""
    address = f"127.0.0.1:{free_port()}"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "INFLUXDB_REPORTING_DISABLED": "true",
        "INFLUXDB_BIND_ADDRESS": f"127.0.0.1:{free_port()}",
        "INFLUXDB_META_DIR": str(folder / "meta"),
        "INFLUXDB_DATA_DIR": str(folder / "data"),
        "INFLUXDB_DATA_WAL_DIR": str(folder / "wal"),
        "INFLUXDB_HTTP_BIND_ADDRESS": address,
        "INFLUXDB_HTTP_LOG_ENABLED": "false",
    }
    program = ["influxd", "run", "-config", os.devnull]
    with subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            with httpx.Client(base_url=f"http://{address}", trust_env=False) as client:
                _wait_for(client, server)
                client.post("/query", params={"q": "CREATE DATABASE telemetry"}).raise_for_status()
                yield client
        finally:
            server.terminate()


def _wait_for(client: httpx.Client, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client.get("/ping").raise_for_status()
            return
        except httpx.HTTPError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
