"""`courtyard bench alarm`: publish -> ticket committed -> webhook received, over background load.

The product runs as it does in `courtyard up` (gateway, services, outbox, pages in one process) on a real Mosquitto. The
clock starts before the triggering message is published, and stops when another process sees the ticket in the database
and when a real HTTP server has the webhook; all on one machine, so one clock.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from gateway.ports import free_port
from services.bench.ingest import bench_profile, messages
from services.bench.mosquitto import Mosquitto
from services.bench.publisher import Publisher
from services.intake.intake import STORM_OVER

_BACKGROUND_DEVICES = 1000


def alarm_profile() -> dict[str, Any]:
    """The bench device with one rule that raises at once and opens a ticket."""
    text = {"zh": "过热", "en": "Too hot"}
    profile = json.loads(bench_profile().model_dump_json(by_alias=True, exclude_defaults=True))
    profile["rules"] = [
        {
            "id": "hot",
            "name": text,
            "when": "t1 >= 80",
            "clear": {"when": "t1 < 70", "for": "0s"},
            "severity": "critical",
            # Its devices are heated again and again, and every time is to be an episode of its own.
            "flapping": {"times": 100, "within": "1m"},
            "source": {"kind": "judgement"},
            "ticket": "hot",
        }
    ]
    profile["tickets"] = {"hot": {"title": text, "trade": "electrical", "priority": "P1", "due": "1h"}}
    return dict(profile)


def sites(alarms: int, sink_port: int) -> list[dict[str, Any]]:
    """The background at one site, the alarms at others: more than ten of one rule at one site would be a storm, with
    one ticket for all of them."""
    calm = [[f"a{n}" for n in range(first, min(first + STORM_OVER, alarms))] for first in range(0, alarms, STORM_OVER)]
    background = [f"d{n}" for n in range(_BACKGROUND_DEVICES)]
    return [_site(f"bench-{n}", devices, sink_port) for n, devices in enumerate([background, *calm])]


def _site(id: str, devices: list[str], sink_port: int) -> dict[str, Any]:
    name = {"zh": "基准", "en": "Bench"}
    return {
        "site": id,
        "name": name,
        "timezone": "Asia/Shanghai",
        "buildings": [{"id": "b1", "name": name, "units": [{"id": "u1", "name": name, "households": 1}]}],
        "devices": [{"id": device, "profile": "bench", "name": name} for device in devices],
        "recipients": [
            {
                "id": "sink",
                "name": "Sink",
                "audience": "crew",
                "channel": "webhook",
                "to": f"http://127.0.0.1:{sink_port}/hook",
                "about": ["ticket"],
            }
        ],
    }


def _product(folder: str, mqtt_url: str, http_port: int, pipe: Connection) -> None:
    from services import bootstrap
    from services.cli.shared import set_up_logging
    from services.clock import SystemClock
    from services.settings import Settings
    from services.sites.importer import import_site

    set_up_logging("error")
    settings = Settings(
        data_dir=Path(folder) / "data",
        profiles_dir=Path(folder) / "profiles",
        http=f"127.0.0.1:{http_port}",
        webhook_allow_private=True,
    )
    clock = SystemClock()
    with ExitStack() as stack:
        core = bootstrap.start_core(stack, settings, clock)
        for file in sorted(Path(folder).glob("site-*.yaml")):
            import_site(core.database, file, core.library, clock.now())
        core.intake.reload()
        gateway = bootstrap.start_gateway(stack, core, mqtt_url)
        bootstrap.start_clockwork(stack, core)
        bootstrap.start_outbox(stack, core)
        bootstrap.start_web(stack, core, gateway)
        while not gateway.status().connected:
            time.sleep(0.05)
        time.sleep(0.5)  # the SUBACK
        pipe.send("ready")
        pipe.recv()
        pipe.send({"received": gateway.status().received, "cpu": time.process_time()})


def _background(port: int, per_second: int, seconds: float, start_ms: int) -> None:
    publisher = Publisher(port, "bench-background", window=2000)
    publisher.publish(messages(int(per_second * seconds), start_ms), per_second=per_second)
    publisher.close()


class _Sink:
    """Notes when which ticket's webhook arrived."""

    def __init__(self) -> None:
        self.seen: dict[str, float] = {}
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at = time.time()
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                sink.seen.setdefault(json.dumps(body), at)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def times_by(self, devices: list[str]) -> dict[str, float]:
        """device -> first webhook that names it."""
        found: dict[str, float] = {}
        for body, at in self.seen.items():
            for device in devices:
                if f'"{device}"' in body:
                    found[device] = min(at, found.get(device, at))
        return found


class _TicketWatch:
    """Sees tickets appear in the database, from outside."""

    def __init__(self, database: Path) -> None:
        self.seen: dict[str, float] = {}
        self._database = database
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        db = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)
        last = 0
        while not self._stop.wait(0.004):
            for number, device in db.execute("SELECT number, device FROM tickets WHERE number > ?", (last,)):
                self.seen.setdefault(device, time.time())
                last = max(last, number)
        db.close()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def _triggers(alarms: int, published: dict[str, float]) -> Iterator[tuple[bytes, bytes]]:
    for n in range(alarms):
        device = f"a{n}"
        now = time.time()
        published[device] = now
        yield f"bench/{device}/telemetry".encode(), f'{{"ts":{int(now * 1000)},"t1":85.0,"u":230}}'.encode()


def run(*, alarms: int, background: int) -> dict[str, Any]:
    """Raise `alarms` alarms, ten a second, over `background` messages a second."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="courtyard-bench-") as name:
        folder = Path(name)
        sink = _Sink()
        (folder / "profiles").mkdir()
        yaml = YAML()
        with (folder / "profiles" / "bench.yaml").open("w") as file:
            yaml.dump(alarm_profile(), file)
        for one in sites(alarms, sink.port):
            with (folder / f"site-{one['site']}.yaml").open("w") as file:
                yaml.dump(one, file)
        with Mosquitto(folder / "mosquitto") as broker:
            ours, theirs = context.Pipe()
            product = context.Process(target=_product, args=(name, broker.url, free_port(), theirs))
            product.start()
            theirs.close()
            ours.recv()
            watch = _TicketWatch(folder / "data" / "courtyard.db")
            seconds = alarms / 10 + 4
            load = context.Process(target=_background, args=(broker.port, background, seconds, int(time.time() * 1000)))
            if background:
                load.start()
                time.sleep(2)
            published: dict[str, float] = {}
            publisher = Publisher(broker.port, "bench-alarms")
            for trigger in _triggers(alarms, published):
                publisher.publish(iter([trigger]))
                time.sleep(0.1)
            if background:
                load.join()
            _wait(lambda: len(watch.seen) >= alarms and len(sink.seen) >= alarms)
            watch.stop()
            publisher.close()
            ours.send("stop")
            figures = ours.recv()
            product.join()
        sink.server.shutdown()
        return _figures(published, watch.seen, sink.times_by(list(published)), figures, background, seconds)


def _wait(done: Any) -> None:
    deadline = time.monotonic() + 20
    while not done() and time.monotonic() < deadline:
        time.sleep(0.05)


def _figures(
    published: dict[str, float],
    tickets: dict[str, float],
    webhooks: dict[str, float],
    product: dict[str, float],
    background: int,
    seconds: float,
) -> dict[str, Any]:
    ticket_ms = sorted((tickets[d] - at) * 1000 for d, at in published.items() if d in tickets)
    webhook_ms = sorted((webhooks[d] - at) * 1000 for d, at in published.items() if d in webhooks)
    return {
        "alarms": len(published),
        "background_per_second": background,
        "ticket_p50_ms": _percentile(ticket_ms, 50),
        "ticket_p99_ms": _percentile(ticket_ms, 99),
        "webhook_p50_ms": _percentile(webhook_ms, 50),
        "webhook_p99_ms": _percentile(webhook_ms, 99),
        "tickets_missing": len(published) - len(ticket_ms),
        "webhooks_missing": len(published) - len(webhook_ms),
        "product_cpu_share": round(product["cpu"] / seconds, 2),
        "cores": os.cpu_count(),
    }


def _percentile(values: list[float], percent: int) -> float | None:
    """The smallest value that at least `percent` of them do not exceed."""
    if not values:
        return None
    return round(values[max(0, -(-len(values) * percent // 100) - 1)], 1)
