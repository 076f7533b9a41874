"""`courtyard bench storm`: thousands of devices fail within one second; how long until what follows is decided.

The readings are handed to intake as a gateway hands them, in batches, all of them waiting from the start. A decision
counts as made when the transaction of its batch has committed: alarm, ticket, outage, notices and cursor.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from sqlalchemy import func, select

from device_profiles.schema import DeviceProfile
from gateway.reading import Batch, Reading
from services import migrations
from services.calm.names import STORMS
from services.changes import Changes
from services.clock import to_millis
from services.database import Database
from services.intake import Intake
from services.sites.importer import import_site
from services.tables import alarms, notices, sites, tickets

BATCH = 500
_PER_BUILDING = 50
_START = datetime(2026, 3, 2, 8, tzinfo=UTC)
_NAME = {"zh": "基准", "en": "Bench"}


class _Clock:
    def __init__(self) -> None:
        self.time = _START

    def now(self) -> datetime:
        return self.time


def storm_profile() -> DeviceProfile:
    """A device whose one rule raises at once, opens a ticket and is felt by residents."""
    return DeviceProfile.model_validate(
        {
            "profile": "bench_station",
            "family": "ebike_charger",
            "name": _NAME,
            "metrics": {"voltage": {"name": _NAME, "uom": "V"}},
            "availability": {"period": "1m"},
            "bindings": [],
            "rules": [
                {
                    "id": "mains_lost",
                    "name": _NAME,
                    "when": "voltage < 100",
                    "clear": {"when": "voltage > 180", "for": "0s"},
                    "severity": "major",
                    "source": {"kind": "judgement"},
                    "ticket": "mains",
                    "residents": "no_charging",
                }
            ],
            "tickets": {"mains": {"title": _NAME, "trade": "electrical", "priority": "P2", "due": "4h"}},
            "residents": {"no_charging": {"service": "charging", "what": _NAME}},
        }
    )


def site(devices: int) -> dict[str, Any]:
    """Fifty stations to a building, each building with a supply of them."""
    buildings = range(-(-devices // _PER_BUILDING))
    recipient = {"name": "Sink", "channel": "webhook", "to": "https://sink.example/hook"}
    return {
        "site": "bench",
        "name": _NAME,
        "timezone": "Asia/Shanghai",
        "buildings": [
            {"id": f"b{n}", "name": _NAME, "units": [{"id": "u1", "name": _NAME, "households": 100}]} for n in buildings
        ],
        "devices": [
            {"id": f"d{n}", "profile": "bench_station", "name": _NAME, "building": f"b{n // _PER_BUILDING}"}
            for n in range(devices)
        ],
        "supplies": [
            {
                "id": f"s{n}",
                "service": "charging",
                "buildings": [f"b{n}"],
                "members": [
                    {"device": f"d{one}"} for one in range(n * _PER_BUILDING, min((n + 1) * _PER_BUILDING, devices))
                ],
            }
            for n in buildings
        ],
        "recipients": [
            {**recipient, "id": "engineer", "audience": "engineers"},
            {**recipient, "id": "crew", "audience": "crew"},
        ],
    }


def run(devices: int = 5000, url: str = "") -> dict[str, Any]:
    """`decided_…_ms`: from the moment all of it waited until the batch of an alarm was committed; `decided_cpu_ms`:
    what this process took for all of it, whatever else ran on the machine.

    `url`: an empty database; without it, SQLite in a folder that is thrown away. Raises ValueError where the database
    holds a site already.
    """
    with tempfile.TemporaryDirectory(prefix="courtyard-bench-") as folder:
        database = Database(url or f"sqlite:///{Path(folder) / 'storm.db'}")
        database.start()
        try:
            return _run(database, devices)
        finally:
            database.close()


def _run(database: Database, devices: int) -> dict[str, Any]:
    migrations.upgrade(database)
    with database.read() as connection:
        known = connection.scalar(select(func.count()).select_from(sites)) or 0
    if known:
        raise ValueError(f"found a database with {known} sites, expected an empty one: make one for this bench")
    clock, library = _Clock(), {"bench_station": storm_profile()}
    import_site(database, json.dumps(site(devices), indent=1), library, _START)
    intake = Intake(database, library, clock, Changes())
    intake.start()
    seq = _hand_over(intake, clock, devices, voltage=230.0, seq=0)[1]
    clock.time += timedelta(seconds=30)
    cpu = process_time()
    decided, seq = _hand_over(intake, clock, devices, voltage=0.0, seq=seq)
    cpu_ms = round((process_time() - cpu) * 1000, 1)
    figures = {"devices": devices, **_percentiles("decided", decided), "decided_cpu_ms": cpu_ms, **_counts(database)}
    began = perf_counter()
    intake.tick(clock.time)
    figures["tick_ms"] = round((perf_counter() - began) * 1000, 1)
    clock.time += timedelta(minutes=5)
    cleared, seq = _hand_over(intake, clock, devices, voltage=230.0, seq=seq)
    return {**figures, **_percentiles("cleared", cleared), "left": _left(database), "cores": os.cpu_count()}


def _hand_over(intake: Intake, clock: _Clock, devices: int, *, voltage: float, seq: int) -> tuple[list[float], int]:
    """One reading of each device, all within a second; milliseconds until each was committed, and the last number."""
    waited: list[float] = []
    began = perf_counter()
    for readings in _batches(clock.time, devices, voltage):
        batch = Batch("bench", seq + 1, seq + len(readings), to_millis(clock.time), readings)
        seq = intake.take(batch)
        waited += [(perf_counter() - began) * 1000] * len(readings)
    return waited, seq


def _batches(now: datetime, devices: int, voltage: float) -> Iterator[list[Reading]]:
    at = to_millis(now)
    for first in range(0, devices, BATCH):
        yield [
            Reading(
                f"d{n}", "", at - 1000 + n * 1000 // devices, at, "t", {"voltage": voltage}, profile="bench_station"
            )
            for n in range(first, min(first + BATCH, devices))
        ]


def _percentiles(name: str, waited: list[float]) -> dict[str, float]:
    found = sorted(waited)
    return {
        f"{name}_p{percent}_ms": round(found[max(0, -(-len(found) * percent // 100) - 1)], 1) for percent in (50, 99)
    }


def _counts(database: Database) -> dict[str, int]:
    mine = alarms.c.profile != STORMS
    wanted = {
        "alarms": select(func.count()).select_from(alarms).where(mine),
        "folded": select(func.count()).select_from(alarms).where(alarms.c.parent.is_not(None)),
        "storms": select(func.count()).select_from(alarms).where(alarms.c.profile == STORMS),
        "tickets": select(func.count()).select_from(tickets),
        "notices": select(func.count()).select_from(notices).where(notices.c.subject_kind != "outage"),
    }
    with database.read() as connection:
        return {name: connection.scalar(query) or 0 for name, query in wanted.items()}


def _left(database: Database) -> int:
    """Alarms that should have cleared, storms among them."""
    with database.read() as connection:
        return connection.scalar(select(func.count()).select_from(alarms).where(alarms.c.state != "cleared")) or 0
