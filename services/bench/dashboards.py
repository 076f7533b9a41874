"""`courtyard bench dashboards`: how long each panel's query takes over a whole district, on a real InfluxDB.

Sites of 180 devices each, of the five kinds of the demo: as measured once a minute for six hours, and hourly for the
days. The site that panels are asked about has every metric and state of every device and child; the devices of the
other sites have their first metric and state, so that index and shards are as full of series as they would be.

A panel shows one site, so its time follows from what that site has, and hardly from how much else is stored. The model
says how much: a constant, so much per series, per point, and per comparison of a point with those of other series; it
is worked out from small questions and checked against one that is larger than all of them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations
from math import log2
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
_POINTS_PER_SERIES = 720
"""Of one field, hourly over 30 days."""
SETTINGS = {
    "INFLUXDB_DATA_CACHE_MAX_MEMORY_SIZE": "4g",
    "INFLUXDB_COORDINATOR_WRITE_TIMEOUT": "60s",  # on a busy machine; what is measured are questions
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
        Influx(Path(folder), **SETTINGS) as database,
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
        series = list(series_of(library, devices, summed=level == HOURLY, whole={ASKED}))
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
                write(database, level.name, waiting)
                waiting = []
    return written


def write(database: Influx, policy: str, lines: Sequence[str]) -> None:
    """To one level, in requests of some size."""
    parameters = {"db": DATABASE, "rp": policy, "precision": "ms"}
    for start in range(0, len(lines), _LINES_PER_REQUEST):
        body = "\n".join(lines[start : start + _LINES_PER_REQUEST])
        database.client.post("/write", params=parameters, content=body).raise_for_status()


def series_of(
    library: Mapping[str, DeviceProfile], devices: int, *, summed: bool, whole: Container[str] | None = None
) -> Iterator[Series]:
    """Of so many devices. With every metric, state and part are the sites named in `whole`; None: all."""
    for number in range(devices):
        site, within = f"site-{number // PER_SITE + 1:03}", number % PER_SITE
        profile = library[KINDS[within % len(KINDS)]]
        all_of_it = whole is None or site in whole
        for child, scope in _parts(profile) if all_of_it else (("", None),):
            fields = _fields(profile, scope, summed=summed, whole=all_of_it)
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
    """Seconds of one query. InfluxDB puts the points of all series into one order of time by a heap: each point is
    compared with about log2(series) others, so that it costs the more, the more series there are."""

    constant: float = 0.0
    per_series: float = 0.0
    per_point: float = 0.0
    per_comparison: float = 0.0

    def seconds(self, series: int, points: int) -> float:
        return sum(cost * count for cost, count in zip(self, _counts(series, points), strict=True))

    def points_within(self, seconds: float, points_per_series: int) -> int:
        """How many points a query may read in that time; to one in a thousand."""
        few, many = 0, 10**12
        while many - few > max(1, few // 1000):
            middle = (few + many) // 2
            fits = self.seconds(max(1, middle // points_per_series), middle) <= seconds
            few, many = (middle, many) if fits else (few, middle)
        return few


def _counts(series: int, points: int) -> tuple[float, float, float, float]:
    return 1.0, float(series), float(points), points * log2(max(1, series))


def _model(
    answerer: Answerer, *, days: int, rounds: int, thin: int, sites: int, report: Callable[[str], None]
) -> dict[str, Any]:
    """From up to a fifth of the sites over up to all days; checked against half of the sites over all days."""
    few = sorted({max(least, sites // part) for least, part in ((1, 50), (2, 30), (3, 20), (4, 10), (5, 7), (6, 5))})
    spans = sorted({max(1, days // 10), max(2, days // 5), days // 3, days * 2 // 3, days})
    seen = []
    for some in few:
        report(f"The model: {some} of {few[-1]} sites…")
        seen += [_sized(answerer, some, span, rounds, thin) for span in spans]
    cost = fitted(seen)
    series, points, measured = _sized(answerer, max(7, sites // 2), days, rounds, thin)
    predicted = cost.seconds(series, points)
    return {
        "model_from_series": f"{seen[0][0]}-{seen[-1][0]}",
        "model_constant_ms": _ms(cost.constant),
        "model_us_per_series": round(cost.per_series * 1e6, 2),
        "model_us_per_point": round(cost.per_point * 1e6, 3),
        "model_us_per_comparison": round(cost.per_comparison * 1e6, 3),
        "model_check_series": series,
        "model_check_points": points,
        "model_check_measured_ms": _ms(measured),
        "model_check_predicted_ms": _ms(predicted),
        "model_check_off_percent": round((predicted / measured - 1) * 100, 1),
        "model_seconds_for_a_billion_points": round(
            cost.seconds(1_000_000_000 // _POINTS_PER_SERIES, 1_000_000_000), 1
        ),
        "model_points_within_a_second": cost.points_within(_LIMIT_SECONDS, _POINTS_PER_SERIES),
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
    rows = [(_counts(series, points), seconds, 1 / seconds**2) for series, points, seconds in seen]
    best: tuple[float, Cost] | None = None
    # With four costs there are fifteen choices of those that are not nothing: the one that fits best.
    for used in (some for size in range(1, 5) for some in combinations(range(4), size)):
        matrix = [[sum(w * x[i] * x[j] for x, _, w in rows) for j in used] for i in used]
        right = [sum(w * x[i] * y for x, y, w in rows) for i in used]
        try:
            found = dict(zip(used, _solved(matrix, right), strict=True))
        except ZeroDivisionError:
            continue  # too few sizes to tell these costs apart
        if min(found.values()) < 0:
            continue
        cost = Cost(*(found.get(i, 0.0) for i in range(4)))
        off = sum((cost.seconds(series, points) / seconds - 1) ** 2 for series, points, seconds in seen)
        if best is None or off < best[0]:
            best = (off, cost)
    if best is None or not (best[1].per_point or best[1].per_comparison):
        raise ValueError("expected times that grow with the points, found others: the machine was too busy")
    return best[1]


def _solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gaussian elimination; four unknowns at most."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i in range(len(rows)):
        rows[i:] = sorted(rows[i:], key=lambda row: -abs(row[i]))
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for j in range(len(rows)):
            if j != i:
                rows[j] = [a - rows[j][i] * b for a, b in zip(rows[j], rows[i], strict=True)]
    return [row[-1] for row in rows]
