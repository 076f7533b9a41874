"""`courtyard bench telemetry`: from the journal to a real InfluxDB, beside what that database takes at most.

The measured process is pinned to one core: it reads the journal, makes lines, writes them, and nothing else. A point is
one value of one metric; a reading here has eight.
"""

from __future__ import annotations

import http.client
import multiprocessing
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from gateway.forward import TELEMETRY_BATCH, Forwarder, Signal, TelemetryConsumer
from gateway.journal import Journal, NewEntry
from gateway.reading import Reading
from gateway.telemetry.influx import LINES_PER_REQUEST, InfluxAddress, InfluxTelemetry
from gateway.telemetry.lines import LineBuilder
from gateway.telemetry.refused import RefusedPoints
from services.bench.influxd import Influx
from services.bench.ingest import DEVICES, bench_profile, bench_registry

T = TypeVar("T")

POINTS_PER_READING = 8
_BACKLOG_SECONDS = 600
_LIMIT_THREADS = 2
_ENTRIES_AT_ONCE = 5000


def readings(start_ms: int, spacing_ms: int = 1000) -> Iterator[Reading]:
    """Without end: device n % 1000, each at its own next time."""
    for n in count():
        at = start_ms + n // DEVICES * spacing_ms
        values: dict[str, Any] = {
            "u": 220 + n % 17 / 10,
            "i": n % 97 / 100,
            "p": n % 1999 / 2,
            "e": n / 100,
            "t1": 20.0 + n % 30,
            "t2": 21.0 + n % 30,
            "rssi": -40 - n % 50,
            "load": n % 100 / 100,
        }
        yield Reading(f"d{n % DEVICES}", "", at, at + 120, "telemetry", values, profile="bench")


def run(*, points: int, backlog_rate: int, report: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Throughput over `points`; and, where `backlog_rate` is not 0, the drain of ten minutes of that many readings a
    second while as many go on coming in. Raises InfluxMissing."""
    wanted = max(1, points // POINTS_PER_READING)
    lines_per_second, line_us = _lines()
    report("What the database takes at most…")
    limit = _with_database(lambda database, _: _limit(database, wanted))
    report(f"{wanted} readings from the journal…")
    main = _with_database(lambda database, folder: _drained(database, folder, wanted, 0))
    figures = {
        "points": wanted * POINTS_PER_READING,
        "points_per_second": round(wanted * POINTS_PER_READING / main["seconds"]),
        "lost": main["lost"],
        "database_limit_points_per_second": round(limit),
        "lines_per_second": round(lines_per_second),
        "line_us": round(line_us, 2),
        "cpu_us_per_point": round(main["cpu"] / wanted / POINTS_PER_READING * 1e6, 2),
        "peak_rss_mb": round(main["rss_mb"], 1),
        "cores": os.cpu_count(),
    }
    if backlog_rate:
        report(f"Ten minutes of {backlog_rate} readings/s wait, and as many come in…")
        figures |= backlog(backlog_rate)
    return figures


def backlog(rate: int) -> dict[str, Any]:
    """Ten minutes of so many readings a second wait; they are drained while as many go on coming in."""
    waiting = rate * _BACKLOG_SECONDS
    drained = _with_database(lambda database, folder: _drained(database, folder, waiting, rate))
    per_second = drained["taken"] / drained["seconds"]
    return {
        "backlog_input_points_per_second": rate * POINTS_PER_READING,
        "backlog_points": waiting * POINTS_PER_READING,
        "backlog_drained_seconds": round(drained["seconds"], 1),
        "backlog_drain_points_per_second": round(per_second * POINTS_PER_READING),
        "backlog_drain_times_input": round(per_second / rate, 1),
        "backlog_lost": drained["lost"],
    }


def _with_database(work: Callable[[Influx, Path], T]) -> T:
    with tempfile.TemporaryDirectory(prefix="courtyard-bench-") as name:
        folder = Path(name)
        with Influx(folder / "influxdb") as database:
            return work(database, folder)


# --- the measured process ----------------------------------------


def _drained(database: Influx, folder: Path, waiting: int, rate: int) -> dict[str, Any]:
    """Drain a journal of so many readings, while `rate` a second go on coming in."""
    start_ms = int(time.time() * 1000) - 3_600_000
    _fill(folder, waiting, start_ms)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_measured, args=(database.url, str(folder), start_ms, waiting, rate, theirs))
    process.start()
    figures: dict[str, Any] = ours.recv()
    process.join()
    if figures["problem"]:
        raise RuntimeError(figures["problem"])
    return {**figures, "lost": figures["written"] * POINTS_PER_READING - _stored(database)}


def _measured(url: str, folder_name: str, start_ms: int, waiting: int, rate: int, pipe: Connection) -> None:
    """One core of ours: journal, lines, requests."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    folder = Path(folder_name)
    store = _store(url, folder)
    journal = _journal(folder)
    signal = Signal()
    feed = _Feed(journal, signal, islice(readings(start_ms), waiting, None), rate)
    forwarder = Forwarder(journal, TelemetryConsumer(store), signal, batch=TELEMETRY_BATCH)
    started, cpu_started = time.perf_counter(), time.process_time()
    forwarder.start()
    feed.start()
    while journal.cursor("telemetry") < journal.last_seq and not forwarder.error:
        time.sleep(0.01)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    taken = journal.cursor("telemetry")
    feed.stop()
    while journal.cursor("telemetry") < journal.last_seq and not forwarder.error:
        time.sleep(0.01)
    written, problem = journal.cursor("telemetry"), forwarder.error
    forwarder.stop()
    journal.close()
    store.close()
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {"seconds": seconds, "cpu": cpu, "taken": taken, "written": written, "rss_mb": peak_kb / 1024}
    pipe.send({**figures, "problem": problem})


class _Feed:
    """Readings that come in meanwhile, journaled ten times a second; without a rate, none."""

    def __init__(self, journal: Journal, signal: Signal, source: Iterator[Reading], rate: int) -> None:
        self._journal = journal
        self._signal = signal
        self._source = source
        self._each = rate // 10
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed")

    def start(self) -> None:
        if self._each:
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._each:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(0.1):
            self._journal.append(_entries(islice(self._source, self._each)))
            self._journal.maintain()
            self._signal.notify()


def _fill(folder: Path, waiting: int, start_ms: int) -> None:
    journal = _journal(folder)
    source = islice(readings(start_ms), waiting)
    while entries := _entries(islice(source, _ENTRIES_AT_ONCE)):
        journal.append(entries)
    journal.close()


def _entries(source: Iterator[Reading]) -> list[NewEntry]:
    return [NewEntry(reading.received_at, 0, [reading]) for reading in source]


def _journal(folder: Path) -> Journal:
    journal = Journal(folder / "journal.db", consumers=("telemetry",), max_bytes=64 * 1024**3)
    journal.start()
    return journal


def _store(url: str, folder: Path) -> InfluxTelemetry:
    profile, registry = bench_profile(), bench_registry()
    store = InfluxTelemetry(
        InfluxAddress(url=url),
        library={profile.profile: profile},
        registry=lambda: registry,
        set_aside=RefusedPoints(folder / "refused.db"),
        now_millis=lambda: int(time.time() * 1000),
    )
    store.start()
    return store


def _stored(database: Influx) -> int:
    """Values of all metrics."""
    found = database.query("SELECT COUNT(*) FROM bench")
    counts: list[Any] = found[0]["values"][0][1:] if found else []  # type: ignore[index]
    return sum(counts)


# --- what is possible ----------------------------------------


def _builder() -> LineBuilder:
    profile, registry = bench_profile(), bench_registry()
    return LineBuilder({profile.profile: profile}, lambda: registry)


def _lines() -> tuple[float, float]:
    """Lines a second in memory, and microseconds each; the best of some rounds."""
    builder, some = _builder(), list(islice(readings(1_780_000_000_000), 20_000))
    best = min(_timed(lambda: "\n".join(builder.build(some).texts).encode()) for _ in range(7))
    return len(some) / best, best / len(some) * 1e6


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _limit(database: Influx, wanted: int) -> float:
    """Points a second of prepared requests, sent to the database itself by two connections at once."""
    builder, source = _builder(), islice(readings(int(time.time() * 1000) - 3_600_000), wanted)
    bodies = []
    while some := list(islice(source, LINES_PER_REQUEST)):
        bodies.append("\n".join(builder.build(some).texts).encode())
    threads = [
        threading.Thread(target=_send, args=(database.direct_url, bodies[lane::_LIMIT_THREADS]))
        for lane in range(_LIMIT_THREADS)
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    return _stored(database) / seconds


def _send(url: str, bodies: list[bytes]) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    for body in bodies:
        connection.request("POST", "/write?db=telemetry&precision=ms", body)
        connection.getresponse().read()
    connection.close()
