"""`courtyard bench ingest`: a real Mosquitto, QoS 1, decode + journal + acknowledge, nothing else on the path."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from device_profiles.schema import DeviceProfile
from gateway.decode import Decoder
from gateway.ingest import Ingest
from gateway.journal import Journal
from gateway.mqtt import BrokerAddress, MqttSession
from gateway.reading import DeviceEntry, Registry
from services.bench.mosquitto import Mosquitto
from services.bench.publisher import Publisher

DEVICES = 1000
_FIELDS = ("u", "i", "p", "e", "t1", "t2", "rssi", "load")


def bench_profile() -> DeviceProfile:
    """A device with eight numeric fields in flat JSON and its own clock."""
    return DeviceProfile.model_validate(
        {
            "profile": "bench",
            "family": "bench",
            "name": {"zh": "基准", "en": "Bench"},
            "availability": {"period": "60s"},
            "metrics": {name: {"name": {"zh": name, "en": name}, "range": [-1000, 100000]} for name in (*_FIELDS, "n")},
            "bindings": [
                {
                    "id": "telemetry",
                    "topic": "bench/{address}/telemetry",
                    "decode": [{"json": True}],
                    "time": {"path": "ts", "format": "unix_ms"},
                    "fields": {name: name for name in _FIELDS},
                }
            ],
        }
    )


def bench_registry() -> Registry:
    return Registry(
        version="1",
        devices=[DeviceEntry(id=f"d{n}", profile="bench", address=f"d{n}", site="bench") for n in range(DEVICES)],
    )


def messages(count: int, start_ms: int) -> Iterator[tuple[bytes, bytes]]:
    """Distinct (topic, payload) pairs: device n % 1000 at its own next millisecond."""
    topics = [b"bench/d%d/telemetry" % n for n in range(DEVICES)]
    for n in range(count):
        payload = (
            f'{{"ts":{start_ms + n // DEVICES},"u":{220 + n % 17 / 10:.1f},"i":{n % 97 / 100:.3f},'
            f'"p":{n % 1999 / 2:.1f},"e":{n / 100:.2f},"t1":{20 + n % 30:.1f},"t2":{21 + n % 30:.1f},'
            f'"rssi":-{40 + n % 50},"load":{n % 100 / 100:.2f}}}'
        ).encode()
        yield topics[n % DEVICES], payload


def _gateway(port: int, folder: str, count: int, pipe: Connection) -> None:
    """The measured process: one thread from socket to acknowledgement."""
    journal = Journal(Path(folder) / "journal.db", consumers=("bench",), max_bytes=8 * 1024**3)
    journal.start()
    decoder = Decoder([bench_profile()], bench_registry())
    ingest = Ingest(
        decoder=decoder, journal=journal, now_millis=lambda: int(time.time() * 1000), on_commit=lambda: None
    )
    session = MqttSession(
        BrokerAddress("127.0.0.1", port, False, None, None), client_id="bench", filters=decoder.filters
    )
    session.connect()
    ingest.connection_opened()
    session.read(0.5)  # the SUBACK
    pipe.send("ready")
    started = cpu_started = 0.0
    while ingest.counters.received < count:
        batch = session.read(1.0)
        if batch and not started:
            started, cpu_started = time.perf_counter(), time.process_time()
        if batch:
            ingest.take(batch, session)
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    session.close()
    journal.close()
    pipe.send({"seconds": elapsed, "cpu": cpu, "rss_mb": peak_kb / 1024, "quarantined": ingest.counters.quarantined})


def _publish(port: int, count: int, start_ms: int) -> None:
    publisher = Publisher(port, "bench-publisher", window=2000)
    publisher.publish(messages(count, start_ms))
    publisher.close()


def run(count: int) -> dict[str, Any]:
    """Publish `count` messages and measure the gateway process that takes them in."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="courtyard-bench-") as folder:
        with Mosquitto(Path(folder) / "mosquitto") as broker:
            ours, theirs = context.Pipe()
            gateway = context.Process(target=_gateway, args=(broker.port, folder, count, theirs))
            gateway.start()
            ours.recv()
            publisher = context.Process(target=_publish, args=(broker.port, count, int(time.time() * 1000)))
            publisher.start()
            figures = ours.recv()
            publisher.join()
            gateway.join()
        stored = _distinct_readings(Path(folder) / "journal.db")
    return {
        "messages": count,
        "messages_per_second": round(count / figures["seconds"]),
        "cpu_us_per_message": round(figures["cpu"] / count * 1e6, 1),
        "peak_rss_mb": round(figures["rss_mb"], 1),
        "lost": count - stored,
        "quarantined": figures["quarantined"],
        "cores": os.cpu_count(),
    }


def _distinct_readings(path: Path) -> int:
    """Readings in the journal, each identity once."""
    from gateway.journal.entries import decode

    db = sqlite3.connect(path)
    try:
        rows = db.execute("SELECT body FROM entries")
        return len({(r.device, r.measured_at) for (body,) in rows for r in decode(body)})
    finally:
        db.close()


if __name__ == "__main__":
    print(json.dumps(run(100_000)))
