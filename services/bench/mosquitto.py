"""A real Mosquitto in a folder of its own, for figures and for tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from gateway.ports import free_port

DEFAULT_CONFIG = """
listener {port} 127.0.0.1
allow_anonymous true
max_inflight_messages 1000
max_queued_messages 0
max_packet_size 2000000
persistence true
persistence_location {folder}/
persistence_file mosquitto.db
autosave_interval 1800
log_type error
log_type warning
"""

_START_SECONDS = 60.0


class MosquittoMissing(Exception):
    """No Mosquitto on this machine; the text says how to get one."""


def find_mosquitto() -> str:
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise MosquittoMissing("mosquitto is not installed; on Debian: apt-get install mosquitto")
    return found


class Mosquitto:
    """Start, kill, start again: the port stays. Use as a context manager."""

    def __init__(self, folder: Path, *, config: str = DEFAULT_CONFIG, port: int | None = None) -> None:
        self._folder = folder
        self._config = config
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:  # started as root, Mosquitto becomes the user "mosquitto" and must reach its folder
            for folder in (self._folder, *self._folder.parents):
                if folder.stat().st_mode & 0o001 == 0:
                    folder.chmod(folder.stat().st_mode | 0o011)
            self._folder.chmod(0o777)
        path = self._folder / "mosquitto.conf"
        path.write_text(self._config.format(port=self.port, folder=self._folder))
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([find_mosquitto(), "-c", str(path)], stdout=log, stderr=log)
        self._wait_until_listening()

    def _wait_until_listening(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                raise RuntimeError(f"mosquitto ended: {(self._folder / 'mosquitto.log').read_text()[-500:]}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"mosquitto did not listen within {_START_SECONDS:g} s")

    def kill(self) -> None:
        """SIGKILL: what a power cut or the OOM killer would do."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
