"""`courtyard bench dashboards`: how long each panel's query takes over a whole district, on a real InfluxDB.

Sites of 180 devices each, of the five kinds of the demo: as measured once a minute for six hours, and hourly for the
days. The site that panels are asked about has every metric and state of every device and child; the devices of the
other sites have their first metric and state, so that index and shards are as full of series as they would be.

A panel shows one site, so its time follows from what that site has, and hardly from how much else is stored. The model
says how much: a constant, so much per series, and so much per point; it is worked out from small questions and checked
against one that is larger than all of them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from dashboards import influxql, macros
from dashboards.answerers import Influx as Answerer
from dashboards.build import all_boards
from dashboards.check import Language, Question, chosen, filled, questions
from device_profiles.library import SHIPPED, load
from device_profiles.schema import DeviceProfile
from device_profiles.telemetry import COUNT, DATABASE, DELAY, HOURLY, QUALITY, RAW
from services.bench.influxd import Influx

END = datetime(2026, 7, 1, tzinfo=UTC)
PER_SITE = 180
RAW_HOURS = 6
KINDS = ("access_gate_json", "camera_frigate", "ebike_charger_json", "sump_pump_json", "booster_set")
CHILDREN = {"port": 8, "camera": 4, "pump": 2, "zone": 2}
ASKED = "site-001"
_LINES_PER_REQUEST = 20_000
_LIMIT_SECONDS = 1.0
_SETTINGS = {
    "INFLUXDB_DATA_CACHE_MAX_MEMORY_SIZE": "4g",
}


class Series(NamedTuple):
    """One series and what it says each time, but for the number."""

    head: str
    fields: str
    """With `{v}` where a number goes."""


def run(*, devices: int, days: int, rounds: int, thin: int, report: Callable[[str], None]) -> dict[str, Any]:
    """Seed, ask, and work the model out. With `thin` the other sites say only every thin-th of what they would, for a
    machine that has no time: index and shards are as full of series all the same. Raises InfluxMissing."""
    library = load(SHIPPED)
    with (
        tempfile.TemporaryDirectory(prefix="courtyard-bench-") as folder,
        Influx(Path(folder), **_SETTINGS) as database,
    ):
        database.query(f'CREATE RETENTION POLICY "{HOURLY.name}" ON "{DATABASE}" DURATION INF REPLICATION 1')
        rows = _seed(database, library, devices=devices, days=days, thin=thin, report=report)
        answerer = Answerer(database.direct_url)
        try:
            return {
                "devices": devices,
                "days": days,
                "thin": thin,
                "rows": rows,
                **_panels(answerer, library, days=days, rounds=rounds, report=report),
                **_model(answerer, days=days, rounds=rounds, thin=thin, sites=devices // PER_SITE, report=report),
            }
        finally:
            answerer.close()


# --- what is stored ---------------------------------------------------------------------------------------------------


def _seed(
    database: Influx,
    library: Mapping[str, DeviceProfile],
    *,
    devices: int,
    days: int,
    thin: int,
    report: Callable[[str], None],
) -> int:
    end = round(END.timestamp() * 1000)
    written = 0
    for level, every, span in ((HOURLY, 3600_000, days * 86_400_000), (RAW, 60_000, RAW_HOURS * 3600_000)):
        series = list(_series(library, devices, summed=level == HOURLY))
        mine = [one for one in series if f"site={ASKED}" in one.head]
        times = range(end - span, end, every)
        waiting: list[str] = []
        for number, at in enumerate(times):
            if number % 10 == 0:
                report(f"{level.name}: {number} of {len(times)} times of {len(series)} series…")
            some = series if number % thin == 0 else mine
            value = f"{number % 97}.5"
            waiting += [f"{one.head} {one.fields.replace('{v}', value)} {at}" for one in some]
            written += len(some)
            if len(waiting) >= _LINES_PER_REQUEST or number == len(times) - 1:
                _write(database, level.name, waiting)
                waiting = []
    return written


def _write(database: Influx, policy: str, lines: Sequence[str]) -> None:
    parameters = {"db": DATABASE, "rp": policy, "precision": "ms"}
    for start in range(0, len(lines), _LINES_PER_REQUEST):
        body = "\n".join(lines[start : start + _LINES_PER_REQUEST])
        database.client.post("/write", params=parameters, content=body).raise_for_status()


def _series(library: Mapping[str, DeviceProfile], devices: int, *, summed: bool) -> Iterator[Series]:
    for number in range(devices):
        site, within = f"site-{number // PER_SITE + 1:03}", number % PER_SITE
        profile = library[KINDS[within % len(KINDS)]]
        whole = site == ASKED
        for child, scope in _parts(profile) if whole else (("", None),):
            fields = _fields(profile, scope, summed=summed, whole=whole)
            if fields:
                tag = f",child={child}" if child else ""
                head = f"{profile.family},building={within % 9}{tag},device=d-{number},site={site}"
                yield Series(head, ",".join(fields))


def _parts(profile: DeviceProfile) -> Iterator[tuple[str, str | None]]:
    yield "", None
    for kind in profile.children:
        for key in range(1, CHILDREN.get(kind, 2) + 1):
            yield f"{kind}:{key}", kind


def _fields(profile: DeviceProfile, scope: str | None, *, summed: bool, whole: bool) -> list[str]:
    metrics = [(name, metric) for name, metric in profile.metrics.items() if metric.scope == scope]
    states = [(name, state) for name, state in profile.states.items() if state.scope == scope]
    found = []
    for name, metric in metrics if whole else metrics[:1]:
        found.append(f"{name}={{v}}")
        if summed and metric.kind == "gauge":
            found += [f"{name}_min={{v}}", f"{name}_max={{v}}"]
    for name, state in states if whole else states[:1]:
        found.append(f'{name}="{next(iter(state.values))}"')
    if summed:
        found.append(f"{COUNT}=60")
    elif whole and scope is None:
        found += [f'{QUALITY}="late"', f"{DELAY}={{v}}"]
    return found


# --- panels -----------------------------------------------------------------------------------------------------------


def _panels(
    answerer: Answerer,
    library: Mapping[str, DeviceProfile],
    *,
    days: int,
    rounds: int,
    report: Callable[[str], None],
) -> dict[str, Any]:
    families = {library[kind].family for kind in KINDS}
    boards = [
        board
        for place, board in all_boards(library, "en")
        if place.stem in {*KINDS, "site", "quality"} or (place.parts[0] == "families" and place.stem in families)
    ]
    asked = [one for board in boards for one in questions(board) if one.language is Language.INFLUXQL]
    figures: dict[str, Any] = {}
    for name, level, hours in (("hourly", HOURLY.name, days * 24), ("raw", RAW.name, RAW_HOURS)):
        report(f"{len(asked)} queries, {name}…")
        what = chosen(level, sites=[ASKED], family="access_gate", end=END, hours=hours)
        # Level 5m is not seeded: what asks for it asks the hourly one.
        what = macros.Chosen(what.start, what.end, {**what.values, "summed": [HOURLY.name]})
        figures |= _timed(answerer, [(one, filled(one, what)) for one in asked], rounds, name)
    return figures


def _timed(answerer: Answerer, asked: list[tuple[Question, str]], rounds: int, name: str) -> dict[str, Any]:
    times = {(one.uid, one.where, one.ref): _seconds(answerer, query, rounds) for one, query in asked}
    slowest = sorted(times.items(), key=lambda item: -item[1][1])[:5]
    typical = [p50 for p50, _ in times.values()]
    return {
        f"{name}_queries": len(times),
        f"{name}_p50_ms": _ms(median(typical)),
        f"{name}_max_ms": _ms(max(worst for _, worst in times.values())),
        f"{name}_max_p50_ms": _ms(max(typical)),
        f"{name}_over_a_second": sum(worst > _LIMIT_SECONDS for _, worst in times.values()),
        f"{name}_slowest": [
            {"dashboard": key[0], "panel": key[1], "query": key[2], "p50_ms": _ms(p50), "max_ms": _ms(worst)}
            for key, (p50, worst) in slowest
        ],
    }


def _seconds(answerer: Answerer, query: str, rounds: int) -> tuple[float, float]:
    """(p50, max) of so many rounds."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        answerer.series(query)
        taken.append(time.perf_counter() - began)
    return median(taken), max(taken)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


# --- the model --------------------------------------------------------------------------------------------------------


class Cost(NamedTuple):
    """Seconds of one query = constant + series * per_series + points * per_point."""

    constant: float
    per_series: float
    per_point: float

    def seconds(self, series: int, points: int) -> float:
        return self.constant + series * self.per_series + points * self.per_point


def _model(
    answerer: Answerer, *, days: int, rounds: int, thin: int, sites: int, report: Callable[[str], None]
) -> dict[str, Any]:
    """From up to a fifth of the sites and of the days; checked against half of the sites over all days."""
    report("The model…")
    few = sorted({max(1, sites // 50), max(2, sites // 20), max(3, sites // 10), max(4, sites // 5)})
    seen = [
        _sized(answerer, some, span, rounds, thin)
        for some in few
        for span in sorted({max(1, days // 10), days // 3, days})
    ]
    cost = fitted(seen)
    series, points, measured = _sized(answerer, max(5, sites // 2), days, rounds, thin)
    predicted = cost.seconds(series, points)
    whole = round(1_000_000_000 / 720)  # of one field and hourly over 30 days, a billion points are so many series
    return {
        "model_constant_ms": _ms(cost.constant),
        "model_us_per_series": round(cost.per_series * 1e6, 2),
        "model_us_per_point": round(cost.per_point * 1e6, 3),
        "model_check_series": series,
        "model_check_points": points,
        "model_check_measured_ms": _ms(measured),
        "model_check_predicted_ms": _ms(predicted),
        "model_seconds_for_a_billion_points": round(cost.seconds(whole, 1_000_000_000), 1),
        "model_points_within_a_second": round(
            (_LIMIT_SECONDS - cost.constant) / (cost.per_point + cost.per_series / 720)
        ),
    }


def _sized(answerer: Answerer, sites: int, days: int, rounds: int, thin: int) -> tuple[int, int, float]:
    """(series, points, seconds at best) of the mean of one metric of each gate of so many sites."""
    metric = next(name for name, one in load(SHIPPED)[KINDS[0]].metrics.items() if one.scope is None)
    named = [f"site-{number + 2:03}" for number in range(sites)]  # not the asked one: it has more fields
    what = macros.Chosen(
        END - timedelta(days=days),
        END,
        {"site": named, "device": [macros.ALL], "resolution": [HOURLY.name]},
    )
    query = macros.influxql(influxql.last("access_gate", metric, None), what, every="7200s")
    taken = []
    for _ in range(max(3, rounds)):
        began = time.perf_counter()
        answerer.series(query)
        taken.append(time.perf_counter() - began)
    series = sites * PER_SITE // len(KINDS)
    return series, series * days * 24 // thin, min(taken)


def fitted(seen: Sequence[tuple[int, int, float]]) -> Cost:
    """Least squares over (series, points, seconds), each weighed by its own size; no cost is below nothing."""
    rows = [((1.0, float(series), float(points)), seconds, 1 / seconds**2) for series, points, seconds in seen]
    for used in ((0, 1, 2), (1, 2), (0, 2), (2,)):
        matrix = [[sum(w * x[i] * x[j] for x, _, w in rows) for j in used] for i in used]
        right = [sum(w * x[i] * y for x, y, w in rows) for i in used]
        found = dict(zip(used, _solved(matrix, right), strict=True))
        if all(value >= 0 for value in found.values()):
            return Cost(found.get(0, 0.0), found.get(1, 0.0), found.get(2, 0.0))
    raise ValueError("expected times that grow with the points, found others: the machine was too busy")


def _solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gaussian elimination; three unknowns at most."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i in range(len(rows)):
        rows[i:] = sorted(rows[i:], key=lambda row: -abs(row[i]))
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for j in range(len(rows)):
            if j != i:
                rows[j] = [a - rows[j][i] * b for a, b in zip(rows[j], rows[i], strict=True)]
    return [row[-1] for row in rows]
