"""`courtyard stack up --demo` as a visitor runs it, for tests: its files, its databases, its broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import psycopg

from gateway.mqtt import MqttUnavailable
from gateway.mqtt_client import MqttListener
from services.stack.keys import Keys

ROOT = Path(__file__).parents[2]
T = TypeVar("T")


def born(pid: int) -> str | None:
    """When the process of this number began, in the kernel's ticks; None where there is none. A number is soon given
    to somebody else where many processes come and go."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


class RunningStack:
    """One process in a session of its own, like in a terminal."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "stack"
        self.keys = Keys(self.data / "secrets")
        self._log = folder / "stack.log"

    def start(self, seconds: float) -> None:
        program = [sys.executable, "-c", "from services.cli.main import app; app()"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*program, "stack", "up", "--demo", "--tls", "--data", str(self.data)],
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={name: value for name, value in os.environ.items() if not name.startswith("COURTYARD_")},
                start_new_session=True,
            )
        self.until(lambda: "The stack is up" in self.said, seconds)

    @property
    def said(self) -> str:
        return self._log.read_text()

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data / "stack.json").read_text())
        return found

    def port(self, name: str) -> int:
        return int(self.state["ports"][name])

    def until(self, look: Callable[[], T], seconds: float) -> T:
        """The first answer that is true, or a failure with what the stack said."""
        deadline = time.monotonic() + seconds
        while not (found := look()):
            assert self.process.poll() is None, self.said[-3000:]
            assert time.monotonic() < deadline, f"not within {seconds} s; it said {self.said[-800:]}\n{self.logs()}"
            time.sleep(0.1)
        return found

    def logs(self) -> str:
        ends = [(log.name, log.read_text(errors="replace")[-300:]) for log in (self.data / "logs").glob("*.log")]
        return "\n".join(f"== {name}\n{end}" for name, end in ends)

    def kill(self, name: str) -> None:
        os.kill(self.state["pids"][name], signal.SIGKILL)

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(90)

    # --- what stands where -------------------------------------------------------------------------------------------

    def rows(self, statement: str, *values: object, role: str = "courtyard") -> list[tuple[Any, ...]]:
        """From PostgreSQL, as the product or as Grafana."""
        file = {"courtyard": "postgres_app_password", "grafana": "postgres_reader_password"}[role]
        where = f"host=127.0.0.1 port={self.port('postgres:5432')} dbname=courtyard user={role}"
        with psycopg.connect(where, password=self.keys.read(file), connect_timeout=20) as connection:
            return connection.execute(statement.encode(), values or None).fetchall()

    def rows_when_it_is_back(self, statement: str) -> list[tuple[Any, ...]]:
        """None while PostgreSQL recovers from its end."""
        try:
            return self.rows(statement)
        except psycopg.OperationalError:
            return []

    def influxql(self, query: str) -> list[dict[str, Any]]:
        """Series, asked for as Grafana's datasource does: POST, the reader's account."""
        answer = httpx.post(
            f"http://127.0.0.1:{self.port('influxdb:8086')}/query",
            data={"db": "telemetry", "q": query, "epoch": "ms"},
            auth=("grafana", self.keys.read("influx_grafana_password")),
            trust_env=False,
            timeout=30,
        )
        answer.raise_for_status()
        (result,) = answer.json()["results"]
        assert "error" not in result, result
        series: list[dict[str, Any]] = result.get("series", [])
        return series

    def broker(self, user: str, password: str) -> str:
        return f"mqtt://{user}:{password}@127.0.0.1:{self.port('mosquitto:1883')}"

    def password(self, file: str) -> str:
        """Out of a URL that a secret holds."""
        return urlsplit(self.keys.read(file)).password or ""

    def new_device(self, name: str) -> str:
        """An account, as an operator gives it; once it is let in."""
        password = self.keys.add_device(name)

        def is_let_in() -> bool:
            try:
                with MqttListener(self.broker(name, password), f"{name}-try", [], seconds=60) as listener:
                    listener.connect()
            except MqttUnavailable:
                return False
            return True

        self.until(is_let_in, 60)
        return password

    @property
    def notices(self) -> list[dict[str, Any]]:
        file = self.data / "volumes" / "demo-data" / "demo-notices.jsonl"
        text = file.read_text() if file.exists() else ""
        whole, _, _ = text.rpartition("\n")  # the last line may be on its way
        return [json.loads(line) for line in whole.splitlines()]


def panel_query(board: Path, title: str, **variables: str) -> str:
    """The query of a committed panel, filled in as Grafana would over the last quarter of an hour."""
    panels = json.loads(board.read_text())["panels"]
    flat = [inner for panel in panels for inner in panel.get("panels") or [panel]]
    (query,) = {target["query"] for panel in flat if panel.get("title") == title for target in panel["targets"]}
    filled = str(query).replace("$timeFilter", "time > now() - 15m").replace("$__interval", "1s")
    for name, value in variables.items():
        filled = filled.replace(f"${{{name}:regex}}", value).replace(f"${name}", value)
    assert "$" not in filled.replace("$/", "/"), filled
    return filled
