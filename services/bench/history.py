"""A long history of many devices in a data folder of its own, to run `courtyard backtest` on at full size."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from device_profiles.library import SHIPPED, load
from gateway.reading import Millis, Reading, Value
from gateway.telemetry.sqlite import SqliteTelemetry
from services import migrations
from services.bench.backtest import value_of
from services.clock import to_millis
from services.database import Database
from services.sites.importer import import_site

_PROFILE = "booster_set"
_ZONE = "zone:1"
_NAMES = ("outlet_pressure", "setpoint", "static_pressure", "dwelling_pressure", "tap_pressure", "surge_pressure")
_EVERY = timedelta(minutes=1)
_LOW_MINUTES, _LOW_EVERY = 20, 2000
"""A set loses its pressure for so long, once in so many minutes."""
_APART = 4
"""Minutes between the failures of two neighbours: alone, as a storm would fold them into one alarm."""
_PREPARED = 997
"""Different readings that are drawn from: to make each anew would take longer than to store it."""
_AT_ONCE = 50_000


class Shape(NamedTuple):
    """How much history: every device says one reading a minute."""

    devices: int
    days: int
    end: datetime

    @property
    def start(self) -> datetime:
        return self.end - timedelta(days=self.days)

    @property
    def readings(self) -> int:
        return self.devices * (timedelta(days=self.days) // _EVERY)


def make(folder: Path, shape: Shape, report: Callable[[int], None] = lambda _: None) -> dict[str, Any]:
    """A data folder with that history; `report` is told how many readings are stored. Raises ValueError where the
    folder has something in it."""
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: found files in it, expected a new folder: name another one")
    folder.mkdir(parents=True, exist_ok=True)
    _make_site(folder, shape)
    store = SqliteTelemetry(folder / "telemetry.db")
    store.start()
    with closing(store):
        made, stored = _readings(shape), 0
        while some := list(islice(made, _AT_ONCE)):
            store.write(some)
            stored += len(some)
            report(stored)
        return {"devices": shape.devices, "readings": stored, "bytes": store.used_bytes()}


def _make_site(folder: Path, shape: Shape) -> None:
    named = "{zh: 泵, en: Pumps}"
    devices = "\n".join(
        f"  - {{id: set-{n}, profile: {_PROFILE}, address: set-{n}, name: {named}}}" for n in range(shape.devices)
    )
    database = Database.sqlite(folder / "courtyard.db")
    database.start()
    with closing(database):
        migrations.upgrade(database)
        site = (
            "site: bench\nname: {zh: 台, en: Bench}\ntimezone: Asia/Shanghai\n"
            f"buildings: [{{id: 1, units: [{{id: 1, households: 10}}]}}]\ndevices:\n{devices}\n"
        )
        import_site(database, site, load(SHIPPED), shape.start)


def _readings(shape: Shape) -> Iterator[Reading]:
    """Device by device: the store keeps them so, and is filled several times faster than in order of time."""
    dice, start, every = random.Random(1), to_millis(shape.start), round(_EVERY.total_seconds() * 1000)
    sound, low = ([_values(dice, is_low=is_low) for _ in range(_PREPARED)] for is_low in (False, True))
    apart: Millis = max(1, every // shape.devices)
    for device in range(shape.devices):
        for minute in range(shape.readings // shape.devices):
            is_low = (minute + device * _APART) % _LOW_EVERY < _LOW_MINUTES
            values = (low if is_low else sound)[(minute * 31 + device * 7) % _PREPARED]
            at = start + minute * every + device * apart
            yield Reading(f"set-{device}", _ZONE, at, at + 40, "telemetry", values)


def _values(dice: random.Random, *, is_low: bool) -> dict[str, Value]:
    return {name: value_of(dice, name, is_low=is_low) for name in _NAMES}
