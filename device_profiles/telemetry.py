"""How values stand in a time series database: the names that writer, reader and dashboards share. Pure.

One line per reading. Measurement: the profile's family. Tags: `site`, `building`, `device`, `child` (left out where
empty, which equals the empty string in a query). Fields: metrics as floats, states as strings, lasting events as
booleans; and two of our own beside them. A field never changes its type: what does not fit is refused, not written.

    water_pump,site=osmanthus,building=3,device=pump-1 pressure=0.31,running="on" 1780000000000
    charging_station,site=osmanthus,device=shed-2,child=port:4 power=411.5,cy_quality="late",cy_delay=912 1780000000000

Times are whole milliseconds, `measured_at`. Two readings of one device, child and millisecond are one point with the
fields of both; what both say, the later one says.

Three levels, each a retention policy of one database (InfluxDB 1) or a bucket `telemetry`, `telemetry/5m`,
`telemetry/1h` (InfluxDB 2): as measured, and summed up per five minutes and per hour. In the summed-up ones a gauge `m`
is its mean, with `m_min` and `m_max` beside it; a counter, a state and a lasting event are their last value; `cy_count`
is the number of readings.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from device_profiles.schema import DeviceProfile

DATABASE = "telemetry"
TAGS = ("site", "building", "device", "child")
QUALITY = "cy_quality"
"""String; only on readings that are not good, or one of whose values is not: the quality that says so."""
DELAY = "cy_delay"
"""Float, seconds from measured_at to received_at; only where it is above 5 s (or below -5 s)."""
COUNT = "cy_count"
"""Float, in summed-up levels: how many readings the stretch had."""


LATE = "cy_late"
"""Measurement of the raw level: who writes readings of five minutes that are long over says so there, so that they are
summed up again. Tag `of` (the measurement), time of the five minutes' beginning, field `written` (ms, as a float)."""
REDONE = "cy_redone"
"""Measurement of each summed-up level: which `written` of `cy_late` it has taken in; same tag, same times, field
`seen`."""
SUMMED = "cy_summed"
"""Measurement of each summed-up level: field `until` (ms, as a float) says up to when readings are summed up; 0
where that was said by a clock that was ahead."""


class FieldType(StrEnum):
    FLOAT = "float"
    STRING = "string"
    BOOLEAN = "boolean"


class Level(NamedTuple):
    """One retention: `every` None is as measured."""

    name: str
    """Of the retention policy (InfluxDB 1)."""
    every: timedelta | None

    @property
    def bucket(self) -> str:
        """InfluxDB 2's name; there `telemetry` is database telemetry with the policy autogen."""
        return DATABASE if self.every is None else f"{DATABASE}/{self.name}"


RAW = Level("autogen", None)
FIVE_MINUTES = Level("5m", timedelta(minutes=5))
HOURLY = Level("1h", timedelta(hours=1))
LEVELS = (RAW, FIVE_MINUTES, HOURLY)


def fields_of(profile: DeviceProfile) -> dict[str, FieldType]:
    """Every field that readings of this profile can have, in the profile's order."""
    found = dict.fromkeys(profile.metrics, FieldType.FLOAT)
    found |= dict.fromkeys(profile.states, FieldType.STRING)
    found |= {name: FieldType.BOOLEAN for name, event in profile.events.items() if event.lasting}
    return found


def pinned(library: Mapping[str, DeviceProfile]) -> dict[str, dict[str, FieldType]]:
    """Field types by measurement. Where two profiles of one family disagree the first one (by id) keeps the name."""
    found: dict[str, dict[str, FieldType]] = {}
    for _, profile in sorted(library.items()):
        known = found.setdefault(profile.family, {})
        for name, type_ in fields_of(profile).items():
            known.setdefault(name, type_)
    return found


def counters(library: Mapping[str, DeviceProfile]) -> dict[str, frozenset[str]]:
    """Numbers of each measurement whose last value stands for a stretch: they have no `_min` and `_max`. Where two
    profiles of one family disagree the first one (by id) decides."""
    kinds: dict[str, dict[str, str]] = {}
    for _, profile in sorted(library.items()):
        known = kinds.setdefault(profile.family, {})
        for name, metric in profile.metrics.items():
            known.setdefault(name, metric.kind)
    return {
        family: frozenset(name for name, kind in known.items() if kind == "counter") for family, known in kinds.items()
    }
