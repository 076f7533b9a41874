"""How fast history is replayed: a history of its own in the embedded time series, read back and judged, end to end."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from device_profiles.library import SHIPPED, load
from device_profiles.schema import DeviceProfile
from gateway.reading import Millis, Reading, Value
from gateway.telemetry import TelemetryStore
from gateway.telemetry.sqlite import SqliteTelemetry
from services import migrations
from services.backtest import Focus, Report, Variant, run
from services.backtest.history import SqliteHistory
from services.backtest.parallel import cores
from services.clock import to_millis
from services.database import Database
from services.rules.book import RuleBook
from services.sites.importer import import_site

_PROFILE = "booster_set"
_RULE = "pressure_low"
_EVERY: Millis = 10_000
_DEVICES = 40
_CHILDREN = ("", "zone:1", "zone:2", "pump:1", "pump:2", "pump:3")
_MOST_VALUES = 8
_START = datetime(2026, 3, 1, tzinfo=UTC)
_AT_ONCE = 5000
_LOW_TICKS, _LOW_EVERY = 20, 40
"""Each set loses its pressure for so many ticks, once in so many stretches of that length."""
_RANGES = {
    "outlet_pressure": (0.54, 0.56),
    "setpoint": (0.55, 0.55),
    "tank_level": (60.0, 70.0),
    "inlet_pressure": (0.25, 0.3),
    "room_temp": (18.0, 20.0),
    "room_humidity": (40.0, 50.0),
    "voltage_l1": (228.0, 232.0),
    "voltage_l2": (228.0, 232.0),
    "voltage_l3": (228.0, 232.0),
    "power_factor": (0.92, 0.95),
    "static_pressure": (0.4, 0.42),
    "dwelling_pressure": (0.25, 0.3),
    "tap_pressure": (0.15, 0.18),
    "surge_pressure": (0.5, 0.6),
    "current_l1": (9.0, 9.2),
    "current_l2": (9.0, 9.2),
    "current_l3": (9.0, 9.2),
    "vibration": (1.0, 1.5),
    "frequency": (40.0, 42.0),
    "run_hours": (1000.0, 1000.0),
    "current": (9.0, 9.2),
    "energy": (5000.0, 5000.0),
}
"""Where the values of sound pumps lie."""


class _Sources(NamedTuple):
    database: Database
    library: Mapping[str, DeviceProfile]
    telemetry: TelemetryStore


def measure(*, readings: int, report: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Make that many readings of pump sets, then replay them with one rule made calmer, and with all rules."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="courtyard-bench-")))
        database = Database.sqlite(folder / "c.db")
        database.start()
        stack.callback(database.close)
        migrations.upgrade(database)
        library = load(SHIPPED)
        import_site(database, _site(), library, _START)
        store = SqliteTelemetry(folder / "telemetry.db")
        store.start()
        stack.callback(store.close)
        report(f"Writing {readings} readings…")
        end = _fill(store, library[_PROFILE], readings)
        sources = _Sources(database, library, store)
        report("Replaying one rule…")
        path = folder / "telemetry.db"
        one = _replay(sources, end, _RULE, path, cores())
        report("The same on one core…")
        single = _replay(sources, end, _RULE, path, 1)
        report("Replaying all rules…")
        every = _replay(sources, end, "", path, cores())
        report("Reading alone…")
        alone = _scan(store, end)
    return {
        "readings": readings,
        "readings_looked_at": one.readings,
        "devices": _DEVICES,
        "readings_per_second": round(readings / one.total_seconds),
        "one_core_readings_per_second": round(readings / single.total_seconds),
        "all_rules_readings_per_second": round(readings / every.total_seconds),
        "scan_readings_per_second": round(alone),
        "scan_seconds": one.scan_seconds,
        "engine_seconds": one.engine_seconds,
        "all_rules_engine_seconds": every.engine_seconds,
        "processes": one.processes,
        "alarms_old": one.old.alarms,
        "alarms_new": one.new.alarms,
    }


def _site() -> str:
    named = "{zh: 泵, en: Pumps}"
    devices = "\n".join(
        f"  - {{id: set-{n}, profile: {_PROFILE}, address: set-{n}, name: {named}}}" for n in range(_DEVICES)
    )
    return (
        "site: bench\nname: {zh: 台, en: Bench}\ntimezone: Asia/Shanghai\n"
        f"buildings: [{{id: 1, units: [{{id: 1, households: 10}}]}}]\ndevices:\n{devices}\n"
    )


def _fill(store: SqliteTelemetry, profile: DeviceProfile, readings: int) -> datetime:
    made, last = _readings(profile, readings), to_millis(_START)
    while some := list(islice(made, _AT_ONCE)):
        store.write(some)
        last = some[-1].measured_at
    return datetime.fromtimestamp(last / 1000 + 1, UTC)


def _readings(profile: DeviceProfile, count: int) -> Iterator[Reading]:
    """Every device and child each ten seconds, with numbers that wander; now and then a set loses its pressure."""
    dice, start = random.Random(1), to_millis(_START)
    names = {child: _names(profile, child.partition(":")[0]) for child in _CHILDREN}
    made = 0
    for tick in range(count):
        for device in range(_DEVICES):
            low = (tick // _LOW_TICKS + device) % _LOW_EVERY == 0
            for number, child in enumerate(_CHILDREN):
                at = start + tick * _EVERY + device * 200 + number * 10
                yield Reading(
                    f"set-{device}",
                    child,
                    at,
                    at + 40,
                    "telemetry",
                    {name: value_of(dice, name, is_low=low) for name in names[child]},
                )
                made += 1
                if made == count:
                    return


def _names(profile: DeviceProfile, scope: str) -> tuple[str, ...]:
    found = [name for name, metric in profile.metrics.items() if (metric.scope or "") == scope]
    return tuple(found[:_MOST_VALUES])


def value_of(dice: random.Random, name: str, *, is_low: bool) -> Value:
    """Of a sound set, or of one that has lost its pressure."""
    low, high = _RANGES.get(name, (0.0, 10.0))
    if name == "outlet_pressure" and is_low:
        return 0.2
    return round(low + dice.random() * (high - low), 3)


def _replay(sources: _Sources, end: datetime, rule: str, history: Path, processes: int) -> Report:
    calmer = RuleBook.model_validate({"rules": {_PROFILE: {_RULE: {"for": "5m"}}}})
    old, new = Variant(sources.library, RuleBook()), Variant(sources.library, calmer)
    focus = Focus(rule=(_PROFILE, rule)) if rule else Focus()
    where = SqliteHistory(history)
    return run(
        sources.database,
        sources.telemetry,
        "bench",
        old,
        new,
        _START,
        end,
        focus=focus,
        history=where,
        processes=processes,
    )


def _scan(store: SqliteTelemetry, end: datetime) -> float:
    devices = [f"set-{n}" for n in range(_DEVICES)]
    began, count = perf_counter(), 0
    for _ in store.scan(devices=devices, start=to_millis(_START - timedelta(days=1)), end=to_millis(end)):
        count += 1
    return count / (perf_counter() - began)
