"""`courtyard bench sums`: what it takes to sum up five minutes and an hour of a district, on a real InfluxDB.

The devices are those of `courtyard bench dashboards`, all of them with every metric, state and part, as measured once a
minute for an hour. Beside each figure stands how much of it was the database's answering, what processor of ours it
took, and how many series and fields there are, for that is what it costs: the database opens a cursor for each.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from device_profiles.library import SHIPPED, load
from device_profiles.telemetry import DATABASE, FIVE_MINUTES, HOURLY, RAW, Level
from gateway.reading import Millis
from gateway.telemetry.influx import InfluxAddress, InfluxTelemetry
from gateway.telemetry.influx_range import width
from gateway.telemetry.influxql import InfluxQl, Series
from gateway.telemetry.refused import RefusedPoints
from gateway.telemetry.rollup import Rollup
from services.bench import dashboards
from services.bench.influxd import Influx
from services.bench.ingest import bench_registry

_END = round(dashboards.END.timestamp() * 1000)
_HOUR: Millis = 3_600_000
_MINUTE: Millis = 60_000


class _Answering(InfluxQl):
    """Counts how long its answers were waited for."""

    seconds = 0.0

    def stream(self, statement: str, *, rows_per_chunk: int = 5000) -> Generator[Series, None, None]:
        answer = super().stream(statement, rows_per_chunk=rows_per_chunk)
        while True:
            began = time.perf_counter()
            one = next(answer, None)
            self.seconds += time.perf_counter() - began
            if one is None:
                return
            yield one


class _Taken(NamedTuple):
    """Of one stretch, in seconds."""

    whole: float
    answers: float
    cpu: float
    points: int


def run(*, devices: int, rounds: int, report: Callable[[str], None]) -> dict[str, Any]:
    """Fill an hour, and sum it up. Raises InfluxMissing."""
    library = load(SHIPPED)
    with (
        tempfile.TemporaryDirectory(prefix="courtyard-bench-") as folder,
        Influx(Path(folder) / "influxdb", **dashboards.SETTINGS) as database,
        closing(_Answering(database.direct_url, "")) as ql,
    ):
        for level in (FIVE_MINUTES, HOURLY):
            database.query(f'CREATE RETENTION POLICY "{level.name}" ON "{DATABASE}" DURATION INF REPLICATION 1')
        series = list(dashboards.series_of(library, devices, summed=False))
        for minute in range(60):
            report(f"Minute {minute} of 60, {len(series)} series…")
            at, value = _END - _HOUR + minute * _MINUTE, f"{minute}.5"
            lines = [f"{one.head} {one.fields.replace('{v}', value)} {at}" for one in series]
            dashboards.write(database, RAW.name, lines)
        store = InfluxTelemetry(
            InfluxAddress(url=database.url),
            library=library,
            registry=bench_registry,
            set_aside=RefusedPoints(Path(folder) / "refused.db"),
            now_millis=lambda: _END,
        )
        store.start()
        work = Rollup(ql, store.post, library)
        figures: dict[str, Any] = {
            "devices": devices,
            "series": len(series),
            "fields": sum(one.fields.count("=") for one in series),
        }
        for level in (FIVE_MINUTES, HOURLY):
            report(f"Summing up {level.name}…")
            figures |= _figures(level, [_once(work, ql, level) for _ in range(rounds)])
        store.close()
        return figures


def _once(work: Rollup, ql: _Answering, level: Level) -> _Taken:
    # Of this thread alone: the proxy that lets InfluxDB 1.6 take what is written for InfluxDB 2 is in this process too.
    answers, cpu, began = ql.seconds, time.thread_time(), time.perf_counter()
    points = sum(work.again(level, _END - _HOUR, _END - _HOUR + width(level)))
    whole = time.perf_counter() - began
    return _Taken(whole, ql.seconds - answers, time.thread_time() - cpu, points)


def _figures(level: Level, rounds: list[_Taken]) -> dict[str, Any]:
    best = min(rounds)
    return {
        f"{level.name}_seconds": round(best.whole, 2),
        f"{level.name}_answers_seconds": round(best.answers, 2),
        f"{level.name}_cpu_seconds": round(best.cpu, 2),
        f"{level.name}_points": best.points,
        f"{level.name}_busy_percent": round(best.whole / (width(level) / 1000) * 100, 1),
    }
