"""The embedded MQTT broker of `courtyard up`: amqtt in a process of its own, for one machine and for demos.

It keeps nothing on disk and speaks MQTT 3.1.1 on loopback only; a real community runs Mosquitto (docker-compose.yml).
`python -m gateway.broker --listen 127.0.0.1:1883` runs it alone.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import queue
import subprocess
import sys
import threading
from typing import IO

from gateway import ports

_START_SECONDS = 60.0
_STOP_SECONDS = 1.5
READY = "listening"


class BrokerNotStarted(Exception):
    """The embedded broker cannot run; the message says why and what to do."""


class EmbeddedBroker:
    """Owns the broker's process. It ends with `stop()`, and by itself when this process dies in any way."""

    def __init__(self, host: str = "127.0.0.1", port: int = 1883) -> None:
        self.host = host
        self.port = port
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://{self.host}:{self.port}"

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Returns once clients can connect. Port 0 takes any free port. Raises BrokerNotStarted."""
        check_loopback(self.host)
        if self.port == 0:
            self.port = ports.free_port(self.host)
        elif not ports.is_free(self.host, self.port):
            raise BrokerNotStarted(taken(self.host, self.port))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway.broker", "--listen", f"{self.host}:{self.port}", "--until-stdin-closes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            # A ctrl-C in the terminal reaches the whole group; the broker must outlive the gateway that reads from it.
            start_new_session=True,
        )
        said = _first_line(self._process.stdout, _START_SECONDS)
        if not said.startswith(READY):
            self.stop()
            raise BrokerNotStarted(f"the embedded broker did not start: {said.strip() or 'it said nothing'}")

    def stop(self) -> None:
        """Ends the process within two seconds; stopping twice is fine."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def taken(host: str, port: int) -> str:
    who = ports.holder(port)
    return f"port {port} is taken by {who}; if that is a broker, use it with --mqtt mqtt://{host}:{port}, else stop it"


def check_loopback(host: str) -> None:
    """The embedded broker lets everybody in, so nobody outside this machine may reach it."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise BrokerNotStarted(f"the embedded broker knows no passwords and listens on loopback only, not on {host}")


def _first_line(pipe: IO[str] | None, seconds: float) -> str:
    lines: queue.Queue[str] = queue.Queue()
    if pipe is None:
        return ""
    threading.Thread(target=lambda: lines.put(pipe.readline()), daemon=True).start()
    try:
        return lines.get(timeout=seconds)
    except queue.Empty:
        return f"not ready after {seconds:g} s"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gateway.broker", description="Courtyard's embedded MQTT broker")
    parser.add_argument("--listen", default="127.0.0.1:1883", metavar="HOST:PORT")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the process that started this one")
    arguments = parser.parse_args()
    host, _, port = arguments.listen.rpartition(":")
    check_loopback(host)

    # Only the child pays for importing amqtt.
    from gateway.broker_process import Ending, serve

    serve(host, int(port), Ending.STDIN if arguments.until_stdin_closes else Ending.SIGNAL)


if __name__ == "__main__":
    main()
